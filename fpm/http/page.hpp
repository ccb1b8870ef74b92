// What the door itself says: the reason of a status, and a plain page about it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace fpm::http {

/// "Not Found" for 404; "Unknown" for a status that has no name.
std::string_view reason(int status);
/// Two lines of text about an error, for people.
std::string error_page(int status);

}  // namespace fpm::http
