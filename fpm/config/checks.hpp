// The checks of single values that rows of the table name.
#pragma once

#include <string>
#include <string_view>

namespace fpm::config {

// Each gives what is wrong with the value, empty for nothing. An empty value unsets a directive;
// where that would open a pool to every program or client, the check refuses it: the danger is a
// ${NAME} that turned out empty.

std::string anything(std::string_view value);
std::string not_empty(std::string_view value);
std::string log_file(std::string_view value);
std::string event_mechanism(std::string_view value);
std::string php_version(std::string_view value);
std::string shared_object(std::string_view value);
std::string command(std::string_view value);
std::string client(std::string_view value);
/// php-fpm's three texts for pm.status_path and ping.path; empty is off.
std::string status_path(std::string_view value);
std::string ping_path(std::string_view value);
std::string ping_response(std::string_view value);
std::string folder(std::string_view value);
std::string door_fallback(std::string_view value);
std::string file_suffix(std::string_view value);
std::string file_name(std::string_view value);
std::string trusted_proxy(std::string_view value);
std::string header_name(std::string_view value);
/// Bytes that a request head needs at least.
std::string header_size(std::string_view value);
std::string absolute_program(std::string_view value);

}  // namespace fpm::config
