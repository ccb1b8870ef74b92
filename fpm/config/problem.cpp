#include "fpm/config/problem.hpp"

#include <fmt/format.h>

namespace fpm::config {

std::string Problem::message() const {
  if (as_php_fpm) return fmt::format("[{}:{}] {}", file, line, text);
  std::string out;
  if (!file.empty())
    out = line > 0 ? fmt::format("{}:{}: ", file, line) : fmt::format("{}: ", file);
  if (!pool.empty()) out += fmt::format("[pool {}] ", pool);
  return out + text;
}

}  // namespace fpm::config
