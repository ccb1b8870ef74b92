// The environment of a script.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fcgi/params.hpp"
#include "fpm/config/config.hpp"
#include "fpm/handlers/cgi/script.hpp"

namespace fpm::handlers::cgi {

/// What the environment of every script of a pool begins with, lowest precedence first: PATH
/// (/usr/local/bin:/usr/bin:/bin); with clear_env = no what fpm was started with (`inherited`,
/// "NAME=value" each, ends with nullptr), less NOTIFY_SOCKET, WATCHDOG_*, LISTEN_* and FPM_*; HOME
/// and USER of the pool's user if known, which win over inherited ones as in php-fpm; then env[].
config::Variables base_environment(const config::Pool& pool, const std::string& home,
                                   const std::string& user, const char* const* inherited);

/// An environment in the form that execve(2) takes.
class Environment {
 public:
  /// Adds the request's parameters to `base`; they win. Of a repeated name the last non-empty value
  /// holds. Dropped are: empty names, names with `=` or NUL, values with NUL (they would be cut),
  /// HTTP_PROXY (clients set it by a header, and programs believe it: "httpoxy"),
  /// HTTP_TRANSFER_ENCODING (the body comes decoded), an empty CONTENT_LENGTH (the body ends by
  /// end of file), and what steers the dynamic loader or the shell: LD_*, BASH_FUNC_*, BASH_ENV,
  /// GCONV_PATH, GLIBC_TUNABLES (env[] may set those).
  /// Set where the front left them out (RFC 3875 §4.1): GATEWAY_INTERFACE, QUERY_STRING,
  /// REQUEST_METHOD (GET), SCRIPT_NAME, SERVER_PROTOCOL (HTTP/1.0), SERVER_SOFTWARE (fpm), and
  /// SCRIPT_FILENAME. Addresses and names of hosts are never invented.
  /// Where PATH_INFO was found in SCRIPT_FILENAME: that and SCRIPT_FILENAME, SCRIPT_NAME,
  /// PATH_TRANSLATED are set as RFC 3875 wants them.
  Environment(const config::Variables& base, const fcgi::Params& params, const Script& script);

  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// "NAME=value" each, ended by nullptr; lives as long as this object.
  char* const* get() const { return pointers_.data(); }
  /// A name that was in the request more than once with different non-empty values; empty if none.
  const std::string& repeated() const { return repeated_; }

 private:
  std::string bytes_;
  std::vector<char*> pointers_;
  std::string repeated_;
};

}  // namespace fpm::handlers::cgi
