#include "fpm/http/service.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fpm/os/socket.hpp"

namespace fpm::http {

Service::Service(Settings settings_, os::UniqueFd place_)
    : settings(std::move(settings_)),
      site(settings),
      types(MediaTypes::load()),
      proxies(settings.trusted_proxies, settings.real_ip_header),
      access_line(settings.access_format),
      place(std::move(place_)) {
  if (place) {
    const sockaddr_un name = os::place_address(place.get());
    std::memcpy(&address, &name, sizeof name);
    address_size = sizeof name;
  } else {
    address_size = static_cast<socklen_t>(std::min(settings.pool_address.size(), sizeof address));
    std::memcpy(&address, settings.pool_address.data(), address_size);
  }
}

}  // namespace fpm::http
