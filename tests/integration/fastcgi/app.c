/* A FastCGI program of libfcgi that does as the query says. */
#include <fcgi_stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long number(const char *query, const char *name) {
  const char *found = query ? strstr(query, name) : NULL;
  return found ? atol(found + strlen(name)) : 0;
}

int main(void) {
  const char *delay = getenv("START_DELAY_MS");
  if (delay) usleep((useconds_t)atol(delay) * 1000);
  for (int count = 1; FCGI_Accept() >= 0; ++count) {
    const char *query = getenv("QUERY_STRING");
    if (query && strstr(query, "die")) _exit(3);
    if (query && strstr(query, "junk")) {
      printf("no header at all\001\n\n");
      continue;
    }
    usleep((useconds_t)number(query, "sleep_ms=") * 1000);
    printf("Content-Type: text/plain\r\nX-Pid: %d\r\nX-Count: %d\r\n\r\n", (int)getpid(), count);
    long size = 0;
    for (int c; (c = getchar()) != EOF;) size++;
    for (long left = number(query, "print="); left > 0; --left) putchar('y');
    printf("body %ld\n", size);
    if (query && strstr(query, "cut")) {
      fflush(stdout);
      _exit(4);
    }
    if (query && strstr(query, "err")) fprintf(stderr, "said something\n");
  }
  return 0;
}
