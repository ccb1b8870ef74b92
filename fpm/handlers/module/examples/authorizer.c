/* A FastCGI authorizer: lets requests with the right token pass and tells the application who it is.
 *
 *   module.option[token] = secret
 *   module.option[user] = somebody
 */
#include <fpm/module.h>
#include <string.h>

struct config {
  const char *token;
  const char *user;
};

static int load(const fpm_setup *setup, void **module) {
  static struct config config;
  config.token = setup->option(setup, "token");
  config.user = setup->option(setup, "user");
  if (config.token == NULL || config.user == NULL) {
    setup->fail(setup, "module.option[token] and module.option[user] must be set");
    return -1;
  }
  *module = &config;
  return 0;
}

static int handle(fpm_request *request, void *worker) {
  const struct config *config = worker;
  const fpm_text given = fpm_param(request, "HTTP_X_TOKEN");
  if (fpm_role(request) != FPM_AUTHORIZER) {
    fpm_status(request, 500, NULL);
    fpm_log(request, FPM_ERROR, "asked as a responder, it is an authorizer");
    return 0;
  }
  if (given.size == strlen(config->token) && memcmp(given.data, config->token, given.size) == 0) {
    return fpm_header(request, "Variable-REMOTE_USER", config->user);
  }
  fpm_status(request, 403, NULL);
  fpm_header(request, "Content-Type", "text/plain");
  return fpm_write(request, "a token is missing\n", 19);
}

const struct fpm_module fpm_module = {
    FPM_MODULE_HEAD, .name = "authorizer", .load = load, .handle = handle};
