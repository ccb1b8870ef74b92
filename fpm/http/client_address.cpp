#include "fpm/http/client_address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <utility>

namespace fpm::http {

namespace {

/// @return false: it is no address.
bool parse(std::string_view text, sockaddr_storage& out) {
  const std::string copy(text);
  in_addr v4{};
  in6_addr v6{};
  std::memset(&out, 0, sizeof out);
  if (::inet_pton(AF_INET, copy.c_str(), &v4) == 1) {
    auto& address = reinterpret_cast<sockaddr_in&>(out);
    address.sin_family = AF_INET;
    address.sin_addr = v4;
    return true;
  }
  if (::inet_pton(AF_INET6, copy.c_str(), &v6) != 1) return false;
  auto& address = reinterpret_cast<sockaddr_in6&>(out);
  address.sin6_family = AF_INET6;
  address.sin6_addr = v6;
  return true;
}

/// "[::1]:80", "192.0.2.1:80" and quotes, as proxies write them, made a bare address.
std::string_view bare(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    return end == text.npos ? std::string_view() : text.substr(1, end - 1);
  }
  const std::size_t colon = text.find(':');
  if (colon != text.npos && text.find(':', colon + 1) == text.npos) return text.substr(0, colon);
  return text;
}

}  // namespace

TrustedProxies::TrustedProxies(const std::vector<std::string>& networks, std::string header)
    : used_(!networks.empty() && !header.empty()),
      header_(std::move(header)),
      networks_(networks) {}

bool TrustedProxies::trusts(std::string_view peer) const {
  if (!used_) return false;
  if (peer == "unix:") return true;
  sockaddr_storage parsed{};
  return parse(peer, parsed) && networks_.allows(parsed);
}

std::string TrustedProxies::client(std::string_view peer, const Head& head) const {
  std::string client(peer);
  if (!trusts(peer)) return client;
  // A header may come more than once: all of it is one list (RFC 9110 §5.3), the last proxy's at its end.
  for (auto field = head.fields.rbegin(); field != head.fields.rend(); ++field) {
    if (!same_text(field->name, header_)) continue;
    std::string_view list = field->value;
    while (!list.empty()) {
      const std::size_t comma = list.rfind(',');
      const std::string_view item = bare(list.substr(comma == list.npos ? 0 : comma + 1));
      sockaddr_storage parsed{};
      if (!parse(item, parsed)) return client;
      client = item;
      if (!networks_.allows(parsed)) return client;
      list = comma == list.npos ? std::string_view() : list.substr(0, comma);
    }
  }
  return client;
}

bool is_this_machine(std::string_view address) {
  return address == "unix:" || address == "::1" || address.starts_with("127.");
}

bool is_forwarded(const Head& head) {
  for (const std::string_view name : {"forwarded", "x-forwarded-for", "x-real-ip", "via"}) {
    if (!head.field(name).empty()) return true;
  }
  return false;
}

}  // namespace fpm::http
