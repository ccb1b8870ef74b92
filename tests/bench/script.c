// A CGI program that waits SLEEP_MS milliseconds and says hello: the cheapest there can be. It reads a
// body to its end first, and a query `big` is answered with 1 MB.
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char buffer[65536];

static int put(const char* text, size_t size) {
  while (size > 0) {
    const ssize_t put = write(1, text, size);
    if (put <= 0) return 1;
    text += put;
    size -= (size_t)put;
  }
  return 0;
}

int main(void) {
  static const char answer[] = "Content-Type: text/plain\r\n\r\nhello\n";
  const struct timespec pause = {SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000000L};
  const char* const length = getenv("CONTENT_LENGTH");
  const char* const query = getenv("QUERY_STRING");
  if (SLEEP_MS > 0) nanosleep(&pause, NULL);
  for (long left = length != NULL ? atol(length) : 0; left > 0;) {
    const ssize_t got = read(0, buffer, sizeof buffer);
    if (got <= 0) break;
    left -= got;
  }
  if (put(answer, sizeof answer - 1) != 0) return 1;
  if (query == NULL || strcmp(query, "big") != 0) return 0;
  for (int i = 0; i < 16; ++i) {
    if (put(buffer, sizeof buffer) != 0) return 1;
  }
  return 0;
}
