// A program and its arguments, as one line of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fpm::config {

/// Splits at blanks; double quotes group, and \" and \\ within them stand for themselves. @return empty if
/// a quote is not closed or there is nothing.
std::vector<std::string> split_command(std::string_view text);

}  // namespace fpm::config
