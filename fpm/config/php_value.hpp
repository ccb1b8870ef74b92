// What php.ini makes of a bare value.
#pragma once

#include <string>
#include <string_view>

namespace fpm::config {

/// A bare (unquoted) value as PHP's INI scanner reads it: on, yes and true give "1"; off, no, false,
/// none and null give ""; E_ALL and its like are numbers, and |, &, ^, ~, ! and parentheses
/// calculate with them ("E_ALL & ~E_NOTICE" is "32759"). Anything else stays as it is. Pure.
/// Source: php.ini-production, "error_reporting"; Zend/zend_ini_parser.y.
std::string php_value(std::string_view text);

}  // namespace fpm::config
