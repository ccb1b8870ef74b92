#include "fpm/status/all_pools.hpp"

#include "fpm/status/render.hpp"

namespace fpm::status {

void render_all_pools(std::string& out, std::span<const scoreboard::PoolSnapshot> pools,
                      bool full) {
  out += "{\"pools\":[";
  for (std::size_t i = 0; i < pools.size(); ++i) {
    if (i > 0) out += ',';
    render(out, pools[i], Format::json, full, true);
  }
  out += "]}";
}

}  // namespace fpm::status
