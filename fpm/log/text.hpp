// Bytes from strangers, made fit for a line of a log.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fpm::log {

/// Length of the UTF-8 sequence that `text` begins with, 1 to 4; 0 if it is none (a stray or
/// overlong byte, a surrogate, the end in the middle). `text` is not empty. Source: RFC 3629 §4.
std::size_t utf8_length(std::string_view text);

/// Bytes at the beginning of `text` that may go into a log line as they are: everything but
/// control characters (C0, DEL, C1), `"`, `\` and what is no UTF-8.
std::size_t harmless_prefix(std::string_view text);

/// `text` with the other bytes as \xNN, so that it can neither begin a new line, close a quote nor
/// talk to a terminal, and can be read back without doubt. At most `limit` bytes, "..." at the end
/// if that was not enough. For every text that a client or an application chose.
std::string printable(std::string_view text, std::size_t limit = 512);

}  // namespace fpm::log
