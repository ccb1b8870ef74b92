// The floor of any worker that blocks: accept, one recv, one send of a ready answer, close.
//
//     limit SOCKET WORKERS
//
// Ends, with its workers, when its stdin does. Says "ready" on stdout when it listens.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char kAnswer[] =
    "\1\6\0\1\0\40\0\0Content-type: text/plain\r\n\r\npong"  // STDOUT, 32 bytes
    "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0";                       // END_REQUEST; the last 0 is the string's

static void serve(int listener) {
  char request[65536];
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) _exit(1);
    if (recv(fd, request, sizeof request, 0) > 0) send(fd, kAnswer, sizeof kAnswer, MSG_NOSIGNAL);
    close(fd);
  }
}

int main(int argc, char** argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 3) return 64;
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) < 0 ||
      listen(listener, 4096) < 0) {
    perror(argv[1]);
    return 1;
  }
  for (int i = 0; i < atoi(argv[2]); ++i) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(listener);
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
