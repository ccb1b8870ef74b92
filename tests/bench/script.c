// A CGI program that waits SLEEP_MS milliseconds and says hello: the cheapest there can be.
#include <time.h>
#include <unistd.h>

int main(void) {
  static const char answer[] = "Content-Type: text/plain\r\n\r\nhello\n";
  const struct timespec pause = {SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000000L};
  if (SLEEP_MS > 0) nanosleep(&pause, NULL);
  return write(1, answer, sizeof answer - 1) == sizeof answer - 1 ? 0 : 1;
}
