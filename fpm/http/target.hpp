// What a request asks for: its target as a path and a query. Pure.
#pragma once

#include <string>
#include <string_view>

namespace fpm::http {

/// A target that was read (RFC 9112 §3.2).
struct Target {
  /// Decoded once, begins with '/', without empty and "." segments. Its bytes may be any but NUL.
  std::string path;
  std::string query;      ///< as it was written, without its '?'
  std::string authority;  ///< of a target in absolute form, which counts more than Host; else empty
  bool has_query = false;
  bool whole_server = false;  ///< "*"

  bool is_folder() const { return path.ends_with('/'); }
};

/// @return 0, or the status of the refusal: 400 for what is no target, holds a wrong escape, an encoded
/// NUL, or a ".." segment, whether written or encoded; 501 for CONNECT.
int read_target(std::string_view method, std::string_view text, Target& target);

/// A segment of `path` begins with a dot, other than /.well-known (RFC 8615) as the first one.
bool is_hidden(std::string_view path);

/// A path as a URI: everything but what is safe in a path is percent-encoded.
std::string encode_path(std::string_view path);

}  // namespace fpm::http
