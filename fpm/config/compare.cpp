#include "fpm/config/compare.hpp"

#include <algorithm>

#include "fpm/config/directives.hpp"

namespace fpm::config {

bool same_directives(const Pool& one, const Pool& other) {
  // print() shows variables as they were written: what they stand for is compared besides.
  if (one.env != other.env || one.module_options != other.module_options) return false;
  const auto rows = pool_directives();
  return std::all_of(rows.begin(), rows.end(),
                     [&](const auto& row) { return print(row, one) == print(row, other); });
}

std::vector<std::string> needing_restart(const Global& running, const Global& wanted) {
  std::vector<std::string> names;
  for (const auto& row : global_directives()) {
    if (row.reload != Reload::needs_restart || print(row, running) == print(row, wanted)) continue;
    names.emplace_back(row.name);
  }
  return names;
}

}  // namespace fpm::config
