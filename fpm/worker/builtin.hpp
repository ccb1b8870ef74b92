// What a worker answers by itself: ping and the pool's status page.
#pragma once

#include <string>

#include "fpm/config/config.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/ledger.hpp"
#include "fpm/worker/exchange.hpp"

namespace fpm::worker {

/// What a request asks for.
enum class Route { ping, status, application };

/// SCRIPT_NAME equal to ping.path or pm.status_path, as php-fpm compares it.
Route choose_route(const config::Pool& pool, const Exchange& exchange);

void answer_ping(const config::Pool& pool, Exchange& exchange);

/// `listener`, borrowed, is asked for the length of its queue. `text` is the worker's buffer for
/// the page and keeps its memory.
void answer_status(const config::Pool& pool, const scoreboard::Board& board,
                   const scoreboard::Totals& totals, int listener,
                   std::string& text, Exchange& exchange);

}  // namespace fpm::worker
