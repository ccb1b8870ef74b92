#include "fpm/handlers/cgi/cgi_handler.hpp"
#include "fpm/handlers/fastcgi/fastcgi_handler.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/handlers/module/module_handler.hpp"
#include "fpm/handlers/php/loader.hpp"

namespace fpm::handlers {

std::unique_ptr<Handler> make_handler(const config::Pool& pool, const os::Identity& user) {
  switch (pool.handler) {
    case config::HandlerKind::cgi:
      return std::make_unique<cgi::CgiHandler>(pool, user);
    case config::HandlerKind::fastcgi:
      return std::make_unique<fastcgi::FastcgiHandler>(pool, user);
    case config::HandlerKind::module:
      return std::make_unique<module::ModuleHandler>(pool, user);
    case config::HandlerKind::php:
      return php::make_loader(pool, user);
  }
  return nullptr;
}

std::string find_parts(config::Pool& pool) {
  return pool.handler == config::HandlerKind::php ? php::find_library(pool) : std::string();
}

}  // namespace fpm::handlers
