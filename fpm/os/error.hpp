// What went wrong in the operating system: an errno and the step that met it.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <utility>

namespace fpm::os {

/// A failed system call. `what` names the step and its object: "bind /run/www.sock".
struct Error {
  // Not an aggregate: C++20 would make it constructible from a lone int, and Result<int> ambiguous.
  Error() = default;
  Error(int code_, std::string what_) : code(code_), what(std::move(what_)) {}

  int code = 0;  ///< errno; 0: `what` tells all of it
  std::string what;

  /// "bind /run/www.sock: Address already in use (98)"
  std::string text() const;
};

/// A value or the Error that kept it from being made. The caller adds context or handles the
/// error; it never both logs it and returns it.
template <class T>
using Result = boost::system::result<T, Error>;

/// The Error of the system call that failed just now (reads errno).
Error last_error(std::string what);

/// "Address already in use (98)", the way the log prints every errno.
std::string errno_text(int code);

/// Called by Result::value() on an Error: a bug of ours, since callers check first.
[[noreturn]] void throw_exception_from_error(const Error& error,
                                             const boost::source_location& where);

}  // namespace fpm::os
