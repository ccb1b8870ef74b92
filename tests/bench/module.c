// What a user of fpm/module.h writes: the same as hello.c. A query `big` is answered with 1 MB; a body is read to
// its end.
#include <fpm/module.h>
#include <string.h>

static char buffer[65536];

static int handle(fpm_request* request, void* worker) {
  const fpm_text query = fpm_param(request, "QUERY_STRING");
  (void)worker;
  while (fpm_body(request).size > 0) {
  }
  fpm_header(request, "Content-Type", "text/plain");
  if (query.size != 3 || memcmp(query.data, "big", 3) != 0) {
    return fpm_write(request, "hello", 5);
  }
  for (int i = 0; i < 16; ++i) {
    if (fpm_write(request, buffer, sizeof buffer) != 0) return -1;
  }
  return 0;
}

const struct fpm_module fpm_module = {FPM_MODULE_HEAD, .name = "hello", .handle = handle};
