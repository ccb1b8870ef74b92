// The floor of any worker that blocks: accept, one recv, one send of a ready answer, close.
//
//     limit ADDRESS WORKERS [kept] [answer=BYTES] [piece=BYTES] [relay=PROGRAM]
//
// ADDRESS is a path or 127.0.0.1:PORT. `kept` serves request after request on a connection; a body is
// received to its end, and `answer` is how many bytes follow the header ("pong" without it).
// `piece` sends that much at a time: the floor of a program that writes its answer so.
// With `relay` each worker has a FastCGI program of its own, which gets the request over one connection
// that is kept, and whose answer it passes on: the floor of any relay.
// Ends, with its workers, when its stdin does. Says "ready" on stdout when it listens.
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>

#include "listen.h"

static char request[262144];
static size_t request_size;  // of what was received last
static int application = -1;  // the connection to the program
static char* answer;
static size_t answer_size;
static size_t piece = (size_t)-1;
static int kept;

static void append_record(int type, const char* content, size_t size) {
  const unsigned char head[8] = {1, (unsigned char)type, 0, 1, (unsigned char)(size >> 8),
                                 (unsigned char)size, 0, 0};
  memcpy(answer + answer_size, head, sizeof head);
  memcpy(answer + answer_size + sizeof head, content, size);
  answer_size += sizeof head + size;
}

static void make_answer(size_t bytes) {
  static const char head[] = "Content-type: text/plain\r\n\r\n";
  enum { kMost = 65528 };
  const size_t size = sizeof head - 1 + (bytes > 0 ? bytes : 4);
  char* const text = malloc(size);
  answer = malloc(size + 8 * (size / kMost + 4));
  memset(text, 'x', size);
  memcpy(text, head, sizeof head - 1);
  if (bytes == 0) memcpy(text + sizeof head - 1, "pong", 4);
  for (size_t at = 0; at < size; at += kMost) {
    append_record(6, text + at, size - at < kMost ? size - at : kMost);
  }
  append_record(3, "\0\0\0\0\0\0\0", 8);
  free(text);
}

// Receives to the empty STDIN record. 0 at the end of the connection.
static int receive(int fd) {
  static const char end[8] = {1, 5, 0, 1, 0, 0, 0, 0};
  for (;;) {
    const ssize_t got = recv(fd, request, sizeof request, 0);
    if (got <= 0) return 0;
    request_size = (size_t)got;
    if (got >= 8 && memcmp(request + got - 8, end, sizeof end) == 0) return 1;
  }
}

// The program listens on its standard input, as FastCGI programs do.
static void start_application(const char* program) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t size = sizeof name;
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bind(listener, (struct sockaddr*)&name, sizeof(sa_family_t));  // the kernel finds a name
  listen(listener, 1);
  getsockname(listener, (struct sockaddr*)&name, &size);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(listener, 0);
    execl(program, program, (char*)NULL);
    perror(program);
    _exit(1);
  }
  application = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(application, (struct sockaddr*)&name, size) < 0) _exit(1);
  close(listener);
}

// A small request that arrived in one piece, and an answer that ends with END_REQUEST.
static int relay(int fd) {
  static char said[262144];
  size_t size = 0;
  request[10] = 1;  // FCGI_KEEP_CONN of BEGIN_REQUEST
  if (send(application, request, request_size, MSG_NOSIGNAL) < 0) _exit(1);
  do {
    const ssize_t got = recv(application, said + size, sizeof said - size, 0);
    if (got <= 0) _exit(1);
    size += (size_t)got;
  } while (size < 16 || memcmp(said + size - 16, "\1\3\0\1\0\10\0\0", 8) != 0);
  return send(fd, said, size, MSG_NOSIGNAL) >= 0;
}

static int send_answer(int fd) {
  for (size_t at = 0; at < answer_size;) {
    const size_t size = answer_size - at < piece ? answer_size - at : piece;
    if (send(fd, answer + at, size, MSG_NOSIGNAL) < 0) return 0;
    at += size;
  }
  return 1;
}

static void serve(int listener) {
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) _exit(1);
    while (receive(fd)) {
      const int sent = application >= 0 ? relay(fd) : send_answer(fd);
      if (!sent || !kept) break;
    }
    close(fd);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  size_t bytes = 0;
  const char* program = NULL;
  for (int i = 3; i < argc; ++i) {
    if (strcmp(argv[i], "kept") == 0) kept = 1;
    if (strncmp(argv[i], "relay=", 6) == 0) program = argv[i] + 6;
    if (strncmp(argv[i], "answer=", 7) == 0) bytes = strtoul(argv[i] + 7, NULL, 10);
    if (strncmp(argv[i], "piece=", 6) == 0) piece = strtoul(argv[i] + 6, NULL, 10);
  }
  make_answer(bytes);
  const int listener = listen_at(argv[1]);
  for (int i = 0; i < atoi(argv[2]); ++i) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (program != NULL) start_application(program);
      serve(listener);
    }
  }
  say_ready_and_wait(argv[1]);
  return 0;
}
