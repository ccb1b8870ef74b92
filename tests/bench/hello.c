// The smallest program of libfcgi, for the row relay.
#include <fcgi_stdio.h>

int main(void) {
  while (FCGI_Accept() >= 0) printf("Content-type: text/plain\r\n\r\nhello");
  return 0;
}
