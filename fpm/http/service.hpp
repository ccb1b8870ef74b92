// Settings with what follows from them, for the requests that begin while they hold.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <vector>

#include "fpm/http/access_line.hpp"
#include "fpm/http/client_address.hpp"
#include "fpm/http/message.hpp"
#include "fpm/http/mime.hpp"
#include "fpm/http/site.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::http {

struct Service {
  /// `place`: of the pool's UNIX socket; empty for TCP. Reads the system's table of media types.
  Service(Settings settings_, os::UniqueFd place_);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  const Settings settings;
  Site site;
  const MediaTypes types;
  const TrustedProxies proxies;
  AccessLine access_line;
  const os::UniqueFd place;
  sockaddr_storage address{};  ///< where the pool listens
  socklen_t address_size = 0;
};

}  // namespace fpm::http
