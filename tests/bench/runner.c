// The floor of any CGI runner behind FastCGI: limit.c's connection and spawn.c's program in one process, and
// what neither has and no runner can leave out: the request's parameters as an environment, pipes for all
// three of stdin, stdout and stderr, a process group that could be ended.
//
//     runner ADDRESS PROGRAM
//
// ADDRESS is a path. One connection after the other, everything blocks: first the body goes to the program,
// then its answer to the client as it comes, then its stderr nowhere, then it is waited for. A program that
// answers before it has read its body, or says much on stderr, stands still for ever, as does one that does
// not end: a runner has to do more than this, and none can do less.
// Ends when its stdin does. Says "ready" on stdout when it listens.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kHead = 8, kParams = 4, kStdin = 5, kStdout = 6, kEnd = 3, kMost = 65535, kVariables = 100 };

static unsigned char input[262144];
static size_t input_at, input_end;
static char output[kHead + 65528 + 2 * kHead + 8];

static void give_up(const char* what) {
  perror(what);
  _exit(1);
}

static int receive(int fd) {
  const ssize_t got = recv(fd, input, sizeof input, 0);
  input_at = 0;
  input_end = got > 0 ? (size_t)got : 0;
  return got > 0;
}

// --- The environment --------------------------------------------------------------------------

static size_t length_at(const unsigned char** at) {
  const unsigned char* const p = *at;
  *at += *p < 128 ? 1 : 4;
  return *p < 128 ? *p : (size_t)(p[0] & 127) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

// Of one PARAMS record.
static void make_environment(const unsigned char* at, size_t size, char** pointers, char* text) {
  size_t count = 0;
  for (const unsigned char* const end = at + size; at < end && count < kVariables;) {
    const size_t name = length_at(&at), value = length_at(&at);
    pointers[count++] = text;
    text = mempcpy(text, at, name);
    *text++ = '=';
    text = mempcpy(text, at + name, value);
    *text++ = '\0';
    at += name + value;
  }
  pointers[count] = NULL;
}

// --- The program ------------------------------------------------------------------------------

struct pipes {
  int in, out, err;
};

static pid_t start(const char* program, char** environment, struct pipes* ours) {
  int in[2], out[2], err[2];
  if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0) give_up("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  char* arguments[] = {(char*)program, NULL};
  pid_t pid;
  if (posix_spawn(&pid, program, &actions, &attributes, arguments, environment) != 0) give_up(program);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  close(err[1]);
  *ours = (struct pipes){in[1], out[0], err[0]};
  return pid;
}

// --- A request --------------------------------------------------------------------------------

static void write_all(int fd, struct iovec* parts, int count) {
  while (count > 0) {
    ssize_t put = writev(fd, parts, count);
    if (put < 0) give_up("writev");
    for (; count > 0 && (size_t)put >= parts->iov_len; --count) put -= (ssize_t)(parts++)->iov_len;
    if (count > 0) {
      parts->iov_base = (char*)parts->iov_base + put;
      parts->iov_len -= (size_t)put;
    }
  }
}

// What STDIN records hold, all of one recv by one writev. Records come without padding.
static void pass_body(int fd, int to) {
  for (size_t left = 0;;) {
    struct iovec parts[16];
    int count = 0, ended = 0;
    while (input_at < input_end && count < 16 && !ended) {
      if (left == 0) {
        if (input_end - input_at < kHead) break;
        const unsigned char* const head = input + input_at;
        left = (size_t)head[4] << 8 | head[5];
        input_at += kHead;
        ended = left == 0;
        continue;
      }
      const size_t size = left < input_end - input_at ? left : input_end - input_at;
      parts[count++] = (struct iovec){input + input_at, size};
      input_at += size;
      left -= size;
    }
    write_all(to, parts, count);
    if (ended) break;
    if (count == 16) continue;
    // A head that came in part goes to the front.
    const size_t rest = input_end - input_at;
    memmove(input, input + input_at, rest);
    const ssize_t got = recv(fd, input + rest, sizeof input - rest, 0);
    if (got <= 0) break;
    input_at = 0;
    input_end = rest + (size_t)got;
  }
  close(to);
}

static size_t put_record(char* at, int type, size_t size) {
  const unsigned char head[kHead] = {1, (unsigned char)type, 0, 1, (unsigned char)(size >> 8),
                                     (unsigned char)size, 0, 0};
  memcpy(at, head, sizeof head);
  return kHead + size;
}

static void pass_answer(int from, int fd) {
  for (ssize_t got; (got = read(from, output + kHead, 65528)) > 0;) {
    if (send(fd, output, put_record(output, kStdout, (size_t)got), MSG_NOSIGNAL) < 0) break;
  }
  close(from);
}

static void serve(int fd, const char* program) {
  static char* environment[kVariables + 1];
  static char text[2 * kMost];
  if (!receive(fd) || input_end < 3 * kHead) return;
  // BEGIN_REQUEST, PARAMS in one record, its end: a front sends them together.
  const unsigned char* const params = input + 2 * kHead;
  const size_t size = (size_t)params[4] << 8 | params[5];
  make_environment(params + kHead, size, environment, text);
  input_at = 2 * kHead + kHead + size + params[6] + kHead;
  struct pipes pipes;
  const pid_t pid = start(program, environment, &pipes);
  pass_body(fd, pipes.in);
  pass_answer(pipes.out, fd);
  while (read(pipes.err, text, sizeof text) > 0) {
  }
  close(pipes.err);
  int status;
  if (waitpid(pid, &status, 0) < 0) give_up("wait");
  size_t end = put_record(output, kStdout, 0);
  memset(output + end + kHead, 0, 8);
  end += put_record(output + end, kEnd, 8);
  send(fd, output, end, MSG_NOSIGNAL);
}

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  strncpy(path.sun_path, argv[1], sizeof path.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr*)&path, sizeof path) < 0 || listen(listener, 4096) < 0) give_up(argv[1]);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
      if (fd < 0) _exit(1);
      serve(fd, argv[2]);
      close(fd);
    }
  }
  puts("ready");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  unlink(argv[1]);
  return 0;
}
