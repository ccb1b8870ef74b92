#include "tools/fcgi_bench/address.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/un.h>

#include <cstring>
#include <stdexcept>

namespace fcgi_bench {

namespace {

Address unix_path(const std::string& path) {
  Address address;
  auto* const out = reinterpret_cast<sockaddr_un*>(&address.storage);
  out->sun_family = AF_UNIX;
  if (path.size() >= sizeof out->sun_path) throw std::runtime_error("the path is too long");
  path.copy(out->sun_path, sizeof out->sun_path - 1);
  address.length = sizeof *out;
  return address;
}

}  // namespace

Address resolve(const std::string& text) {
  if (text.starts_with("unix:")) return unix_path(text.substr(5));
  const std::size_t colon = text.rfind(':');
  if (text.find('/') != text.npos || colon == text.npos) return unix_path(text);

  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int code = ::getaddrinfo(host.c_str(), text.c_str() + colon + 1, &hints, &found);
  if (code != 0) throw std::runtime_error(fmt::format("{}: {}", text, ::gai_strerror(code)));
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  address.tcp = true;
  ::freeaddrinfo(found);
  return address;
}

}  // namespace fcgi_bench
