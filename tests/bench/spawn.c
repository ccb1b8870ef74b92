// The floor of CGI: for each request nothing but pipe, posix_spawn, read to the end and wait.
//
//     spawn COUNT PROGRAM [big|body]
//
// `big`: the program is asked for 1 MB; `body`: it gets 1 MB on its stdin. Prints microseconds of CPU time
// a run, the children's included.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kBody = 1 << 20 };

static char buffer[262144];

static void give_up(const char* what) {
  perror(what);
  exit(1);
}

static void write_body(int fd) {
  for (size_t left = kBody; left > 0;) {
    const ssize_t put = write(fd, buffer, left < sizeof buffer ? left : sizeof buffer);
    if (put <= 0) give_up("write");
    left -= (size_t)put;
  }
  close(fd);
}

static size_t run(const char* program, char** environment, int body) {
  int in[2], out[2];
  if (pipe2(out, O_CLOEXEC) < 0 || (body && pipe2(in, O_CLOEXEC) < 0)) give_up("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  if (body) posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  char* arguments[] = {(char*)program, NULL};
  pid_t pid;
  if (posix_spawn(&pid, program, &actions, NULL, arguments, environment) != 0) give_up(program);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (body) {
    close(in[0]);
    write_body(in[1]);
  }
  size_t total = 0;
  for (ssize_t got; (got = read(out[0], buffer, sizeof buffer)) > 0;) total += (size_t)got;
  close(out[0]);
  int status;
  if (waitpid(pid, &status, 0) < 0 || status != 0) give_up("wait");
  return total;
}

static double cpu_us(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  const int count = atoi(argv[1]);
  const int big = argc > 3 && strcmp(argv[3], "big") == 0;
  const int body = argc > 3 && strcmp(argv[3], "body") == 0;
  char* environment[] = {"PATH=/usr/bin:/bin", big ? "QUERY_STRING=big" : "QUERY_STRING=",
                         body ? "CONTENT_LENGTH=1048576" : NULL, NULL};
  for (int i = 0; i < count; ++i) {
    if (run(argv[2], environment, body) < (big ? kBody : 1)) return 1;
  }
  printf("%.3f\n", (cpu_us(RUSAGE_SELF) + cpu_us(RUSAGE_CHILDREN)) / count);
  return 0;
}
