// What a worker answers by itself: ping and the pool's status page.
#pragma once

#include <string>
#include <string_view>

#include "fpm/config/config.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/ledger.hpp"
#include "fpm/status/render.hpp"
#include "fpm/worker/exchange.hpp"

namespace fpm::worker {

/// What a request asks for.
enum class Route { ping, status, application };

/// SCRIPT_NAME equal to ping.path or pm.status_path, as php-fpm compares it.
Route choose_route(const config::Pool& pool, const Exchange& exchange);

/// `first`: lines of header, each with its CR LF, that the handler has for every page.
void answer_ping(const config::Pool& pool, std::string_view first, Exchange& exchange);

/// The pool's status page. All is borrowed; `listener` is asked for the length of its queue.
class StatusPage {
 public:
  StatusPage(const config::Pool& pool, const scoreboard::Board& board,
             const scoreboard::Totals& totals, int listener)
      : pool_(pool), board_(board), totals_(totals), listener_(listener) {}

  /// Appends the page to `text`.
  void render(status::Format format, bool full, bool extended, std::string& text) const;
  /// As the request's query asks. `text` is the worker's buffer for the page and keeps its memory.
  void answer(std::string_view first, std::string& text, Exchange& exchange) const;

 private:
  const config::Pool& pool_;
  const scoreboard::Board& board_;
  const scoreboard::Totals& totals_;
  const int listener_;
};

}  // namespace fpm::worker
