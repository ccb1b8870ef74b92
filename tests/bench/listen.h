// What the floors have in common.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// `where` is a path or 127.0.0.1:PORT.
static int listen_at(const char* where) {
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const char* const colon = strchr(where, '/') == NULL ? strchr(where, ':') : NULL;
  const int listener = socket(colon ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  int bound = -1;
  if (colon) {
    port.sin_port = htons((unsigned short)atoi(colon + 1));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bound = bind(listener, (struct sockaddr*)&port, sizeof port);
  } else {
    strncpy(path.sun_path, where, sizeof path.sun_path - 1);
    bound = bind(listener, (struct sockaddr*)&path, sizeof path);
  }
  if (bound < 0 || listen(listener, 4096) < 0) {
    perror(where);
    exit(1);
  }
  return listener;
}

static void say_ready_and_wait(const char* where) {
  puts("ready");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  unlink(where);
}
