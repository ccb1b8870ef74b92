// Times as HTTP writes them (RFC 9110 §5.6.7). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fpm::http {

/// "Sun, 06 Nov 1994 08:49:37 GMT". `seconds` since 1970, UTC.
std::string http_date(std::int64_t seconds);
/// Reads that form, and the two old ones: "Sunday, 06-Nov-94 08:49:37 GMT" and asctime(3)'s.
/// @return nothing if it is none.
std::optional<std::int64_t> parse_http_date(std::string_view text);

}  // namespace fpm::http
