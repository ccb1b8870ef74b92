/* A FastCGI program of libfcgi that does as the query says. */
#include <fcgi_stdio.h>
#include <fcgiapp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int has(const char *query, const char *word) {
  return query != NULL && strstr(query, word) != NULL;
}

static long number(const char *query, const char *name) {
  const char *found = query ? strstr(query, name) : NULL;
  return found ? atol(found + strlen(name)) : 0;
}

static long read_all(void) {
  long size = 0;
  while (getchar() != EOF) size++;
  return size;
}

/* Past libfcgi, into descriptor 2. */
static void say(const char *text) {
  if (write(2, text, strlen(text)) < 0) _exit(5);
}

/* A process that leaves, and becomes a zombie of whoever is its parent then. */
static void leave_an_orphan(void) {
  if (fork() == 0) {
    if (fork() == 0) usleep(50000);
    _exit(0);
  }
  signal(SIGCHLD, SIG_IGN);
}

static void act(const char *query) {
  static char *leak[64];
  static int leaks;
  if (has(query, "orphan")) leave_an_orphan();
  if (has(query, "leak") && leaks < 64) {
    leak[leaks] = malloc(16 << 20);
    memset(leak[leaks++], 1, 16 << 20);
  }
  if (has(query, "drip")) {
    printf("\n");
    while (putchar('x') != EOF && fflush(stdout) != EOF) usleep(5000);
    say("it has gone\n");
  }
}

int main(void) {
  const char *delay = getenv("START_DELAY_MS");
  if (delay) usleep((useconds_t)atol(delay) * 1000);
  for (int count = 1; FCGI_Accept() >= 0; ++count) {
    const char *query = getenv("QUERY_STRING");
    if (has(query, "die")) _exit(3);
    if (has(query, "junk")) {
      printf("no header at all\001\n\n");
      continue;
    }
    usleep((useconds_t)number(query, "sleep_ms=") * 1000);
    const char *role = getenv("FCGI_ROLE");
    if (role && strcmp(role, "AUTHORIZER") == 0) {
      printf("Status: 200 OK\r\nVariable-WHO: somebody\r\n\r\n");
      continue;
    }
    printf("Content-Type: text/plain\r\nX-Pid: %d\r\nX-Count: %d\r\n%s\r\n", (int)getpid(), count,
           has(query, "early") ? "Content-Length: 8\r\n" : "");
    act(query);
    const long size = has(query, "early") ? -1 : read_all();
    for (long left = number(query, "print="); left > 0; --left) putchar('y');
    printf("body %ld\n", size);
    if (role && strcmp(role, "FILTER") == 0) {
      FCGI_StartFilterData();
      printf("data %ld\n", read_all());
    }
    if (has(query, "cut")) {
      fflush(stdout);
      _exit(4);
    }
    if (has(query, "err")) fprintf(stderr, "said something\n");
  }
  if (!FCGX_IsCGI()) say("ends in order\n");
  return 0;
}
