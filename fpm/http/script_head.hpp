// The header block of a script's answer, as the pool gives it (RFC 3875 §6), read for a browser. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fpm::http {

/// What a script's header block says.
struct ScriptHead {
  int status = 0;      ///< 0: none was written
  std::string reason;  ///< "Not Found", as the script wrote it
  std::string location;
  std::string send_file;  ///< X-Sendfile: the file that is the body
  /// What is passed on, "Name: value\r\n" each. Left out are Status, X-Sendfile, and what concerns one
  /// connection (Connection, Keep-Alive, Transfer-Encoding, Upgrade, Trailer, TE, Proxy-Connection).
  std::string fields;
  std::optional<std::uint64_t> length;  ///< Content-Length, which is not among the fields
  bool has_content_type = false;
  bool has_date = false;
  bool has_server = false;

  /// RFC 3875 §6.2.2: to be answered as if the client had asked for that path.
  bool is_local_redirect() const {
    return status == 0 && location.starts_with('/') && !location.starts_with("//");
  }
};

/// Bytes of a block, blank line included.
inline constexpr std::size_t kLongestScriptHead = 64 * 1024;

/// How many bytes the block at the beginning of `bytes` has, its blank line included; 0: its end is not
/// there. `from`: so many bytes held no end before.
std::size_t script_head_size(std::string_view bytes, std::size_t from);

/// Reads a complete block. @return false if it is malformed: a name that is no token, control
/// characters, a status that is none, a length that is none or comes twice with different values.
bool read_script_head(std::string_view bytes, ScriptHead& head);

}  // namespace fpm::http
