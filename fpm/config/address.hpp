// Addresses: of `listen`, and of clients that may connect.
#pragma once

#include <string>
#include <string_view>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// php-fpm's forms: a path, `port`, `host:port`, `[v6]:port`. Whatever begins with `/` is a path,
/// else a `:` or digits alone mean TCP. A path stays as written (relative ones are not resolved).
/// `any_port`: the port may be 0, which is any free one.
/// @return what is wrong with it, empty: nothing.
std::string parse_address(std::string_view text, Address& out, bool any_port = false);

/// Whether both cannot be listened on at once: one path in two spellings, or one port of which
/// either covers the other ("9000" and "127.0.0.1:9000"). Names are not resolved: they are compared
/// as text, but for localhost, which is 127.0.0.1.
bool overlap(const Address& a, const Address& b);
/// Addresses that overlap() have the same key; so only those with one key have to be compared.
std::string overlap_key(const Address& address);

/// The address can be reached from this machine alone: a UNIX socket, 127.0.0.0/8, [::1] or
/// localhost. Other names are taken for reachable, because resolving may change its mind.
bool is_local(const Address& address);

/// An IPv4 or IPv6 address, or a network of them in CIDR form. @return what was expected, empty
/// when the text is one.
std::string check_client(std::string_view text);

}  // namespace fpm::config
