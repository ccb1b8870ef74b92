#include "fpm/os/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace fpm::os {

std::string Error::text() const {
  return code == 0 ? what : fmt::format("{}: {}", what, errno_text(code));
}

Error last_error(std::string what) {
  const int code = errno;
  return Error{code, std::move(what)};
}

std::string errno_text(int code) {
  char buffer[128];
  // The GNU strerror_r: thread-safe, may return a constant instead of filling the buffer.
  return fmt::format("{} ({})", ::strerror_r(code, buffer, sizeof buffer), code);
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::runtime_error(error.text());
}

}  // namespace fpm::os
