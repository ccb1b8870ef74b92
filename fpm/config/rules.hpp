// Rules over several directives, and over what the system says about a value.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/config/load.hpp"
#include "fpm/config/problem.hpp"

namespace fpm::config {

/// A directive as it was last written in its section.
struct Written {
  Place place;
  std::string text;
  bool good = false;  ///< taken; otherwise a problem tells why not
};

/// What was written, by the table's name of the directive.
using Section = std::map<std::string, Written, std::less<>>;

/// Everything that was written: of each pool, in the order of Config::pools.
struct Draft {
  Section global;
  std::vector<Section> pools;
};

/// Checks `config` and adds what is wrong to `problems`; a value that is refused already is not
/// judged again. Drops what needs root when we are not root, with a NOTICE each, and fills in what
/// depends on other directives (pm.start_servers). Blocks on the disk and on the name service.
void check_rules(const Draft& draft, const LoadOptions& options, Config& config,
                 std::vector<Problem>& problems);

}  // namespace fpm::config
