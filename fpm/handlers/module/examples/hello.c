/* The smallest module: the same answer to every request. */
#include <fpm/module.h>

static int handle(fpm_request *request, void *worker) {
  static const char text[] = "hello\n";
  (void)worker;
  fpm_header(request, "Content-Type", "text/plain");
  return fpm_write(request, text, sizeof text - 1) == 0 ? 0 : -1;
}

const struct fpm_module fpm_module = {FPM_MODULE_HEAD, .name = "hello", .handle = handle};
