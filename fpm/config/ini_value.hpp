// The right-hand side of `name = value`: quotes, comment and ${NAME}.
#pragma once

#include <string>
#include <string_view>

namespace fpm::config {

/// A value as the file means it.
struct IniValue {
  std::string text;
  bool quoted = false;
  std::string error;  ///< what is wrong with it, one line; empty: nothing
};

/// Reads a value as php.ini does: "..." with \" \\ and \' (other backslashes stay), '...' as it
/// stands, bare text up to a `;` or the end. ${NAME} and ${NAME:-default} are replaced from the
/// environment outside single quotes; a NAME that is not set and has no default is an error,
/// because an empty path could mean "anything". A NAME that is set and empty gives its default, as
/// in the shell, else nothing.
IniValue read_value(std::string_view raw);

}  // namespace fpm::config
