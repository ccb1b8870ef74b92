// All pools as one JSON text. Pure.
#pragma once

#include <span>
#include <string>

#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::status {

/// Appends {"pools":[{...},...]}, each pool as its own page shows it with `extended`, and with its
/// workers if `full`.
void render_all_pools(std::string& out, std::span<const scoreboard::PoolSnapshot> pools, bool full);

}  // namespace fpm::status
