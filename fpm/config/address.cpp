#include "fpm/config/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>

#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kExpected = "expected a path, port, host:port or [v6]:port";

/// An address as 16 bytes; an IPv4 one is mapped (::ffff:0:0/96).
struct Literal {
  std::array<unsigned char, 16> bytes{};
  bool v4 = false;

  bool any() const {
    const std::size_t first = v4 ? 12 : 0;
    for (std::size_t i = first; i < bytes.size(); ++i) {
      if (bytes[i] != 0) return false;
    }
    return true;
  }
};

std::optional<Literal> parse_literal(std::string_view text) {
  const std::string host(text);
  Literal out;
  if (inet_pton(AF_INET, host.c_str(), out.bytes.data() + 12) == 1) {
    out.bytes[10] = out.bytes[11] = 0xff;
    out.v4 = true;
    return out;
  }
  if (inet_pton(AF_INET6, host.c_str(), out.bytes.data()) != 1) return std::nullopt;
  // A mapped address is the IPv4 one in another spelling: the kernel binds the same.
  in6_addr v6{};
  std::memcpy(&v6, out.bytes.data(), sizeof v6);
  out.v4 = IN6_IS_ADDR_V4MAPPED(&v6);
  return out;
}

std::string host_of(const Address& address) {
  return same_word(address.host, "localhost") ? "127.0.0.1" : address.host;
}

std::string parse_port(std::string_view text, bool any, std::uint16_t& out) {
  int port = 0;
  if (!parse_number(text, any ? 0 : 1, 65535, port).empty()) {
    return fmt::format("invalid port value '{}', expected {} to 65535", text, any ? 0 : 1);
  }
  out = static_cast<std::uint16_t>(port);
  return {};
}

std::string check_host(std::string_view host, bool bracketed) {
  const std::optional<Literal> literal = parse_literal(host);
  if (bracketed) {
    const bool v6 = literal && host.find(':') != std::string_view::npos;
    return v6 ? std::string() : "expected an IPv6 address between the brackets";
  }
  if (host.find(':') != std::string_view::npos) {
    return "expected an IPv6 address in brackets, as in [::1]:9000";
  }
  const bool numeric = host.find_first_not_of("0123456789.") == std::string_view::npos;
  if (literal || (!numeric && host.find_first_of("/ \t*@[]") == std::string_view::npos)) return {};
  return std::string(kExpected);
}

}  // namespace

std::string parse_address(std::string_view text, Address& out, bool any_port) {
  Address parsed;
  parsed.text = text;
  if (text.empty()) return std::string(kExpected);
  const bool digits = text.find_first_not_of(kDigits) == std::string_view::npos;
  const std::size_t colon = text.rfind(':');
  if (text.front() == '/' || (!digits && colon == std::string_view::npos)) {
    parsed.path = text;
    out = std::move(parsed);
    return {};
  }
  std::string error = parse_port(digits ? text : text.substr(colon + 1), any_port, parsed.port);
  if (error.empty() && !digits) {
    std::string_view host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    error = check_host(host, bracketed);
    parsed.host = host;
  }
  if (error.empty()) out = std::move(parsed);
  return error;
}

bool overlap(const Address& a, const Address& b) {
  if (a.is_unix() != b.is_unix()) return false;
  if (a.hidden || b.hidden) return false;
  if (!a.is_unix() && (a.port == 0 || b.port == 0)) return false;  // whichever is free
  if (a.is_unix()) {
    using std::filesystem::path;
    return path(a.path).lexically_normal() == path(b.path).lexically_normal();
  }
  if (a.port != b.port) return false;
  // A bare port listens on [::], which takes IPv4 too, or on 0.0.0.0.
  if (a.host.empty() || b.host.empty()) return true;
  const std::optional<Literal> first = parse_literal(host_of(a));
  const std::optional<Literal> second = parse_literal(host_of(b));
  if (first && first->any() && (!first->v4 || (second && second->v4))) return true;
  if (second && second->any() && (!second->v4 || (first && first->v4))) return true;
  if (first && second) return first->bytes == second->bytes;
  return same_word(a.host, b.host);
}

std::string overlap_key(const Address& address) {
  if (!address.is_unix()) return std::to_string(address.port);
  return std::filesystem::path(address.path).lexically_normal().string();
}

bool is_local(const Address& address) {
  if (address.is_unix()) return true;
  const std::optional<Literal> literal = parse_literal(host_of(address));
  if (!literal) return false;
  if (literal->v4) return literal->bytes[12] == 127;
  in6_addr v6{};
  std::memcpy(&v6, literal->bytes.data(), sizeof v6);
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string check_client(std::string_view text) {
  constexpr std::string_view kClient =
      "expected IPv4 or IPv6 addresses or networks (192.0.2.0/24), separated by commas";
  const std::size_t slash = text.find('/');
  const std::string_view host = text.substr(0, slash);
  if (!parse_literal(host)) return std::string(kClient);
  if (slash == std::string_view::npos) return {};
  const std::string_view bits = text.substr(slash + 1);
  const int most = host.find(':') == std::string_view::npos ? 32 : 128;
  int prefix = 0;
  const bool digits = bits.find_first_not_of(kDigits) == std::string_view::npos;
  if (digits && parse_number(bits, 0, most, prefix).empty()) return {};
  return std::string(kClient);
}

}  // namespace fpm::config
