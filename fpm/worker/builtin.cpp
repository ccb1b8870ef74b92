#include "fpm/worker/builtin.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "fpm/os/socket.hpp"
#include "fpm/status/render.hpp"

namespace fpm::worker {

namespace {

std::string_view name_of(config::ProcessManager pm) {
  switch (pm) {
    case config::ProcessManager::static_pm: return "static";
    case config::ProcessManager::dynamic: return "dynamic";
    case config::ProcessManager::ondemand: return "ondemand";
  }
  return "static";
}

void begin_page(Exchange& exchange, std::string_view content_type) {
  // php-fpm's header block, so that proxies do not cache what is true for a moment only.
  std::array<char, 320> head;
  const auto end = fmt::format_to_n(head.data(), head.size(),
                                    "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                                    "Cache-Control: no-cache, no-store, must-revalidate, "
                                    "max-age=0\r\nContent-type: {}\r\n\r\n",
                                    content_type);
  exchange.begin(200, {head.data(), std::min(end.size, head.size())});
}

bool wants_body(const Exchange& exchange) {
  return exchange.params().last_non_empty("REQUEST_METHOD") != "HEAD";
}

}  // namespace

Route choose_route(const config::Pool& pool, const Exchange& exchange) {
  const std::string_view name = exchange.params().last_non_empty("SCRIPT_NAME");
  if (name.empty()) return Route::application;
  if (name == pool.ping_path) return Route::ping;
  if (name == pool.status_path) return Route::status;
  return Route::application;
}

void answer_ping(const config::Pool& pool, Exchange& exchange) {
  begin_page(exchange, "text/plain;charset=UTF-8");
  if (wants_body(exchange)) exchange.write_all(pool.ping_response);
}

void answer_status(const config::Pool& pool, const scoreboard::Board& board,
                   const scoreboard::Totals& totals, int listener, std::string& text, Exchange& exchange) {
  const std::string_view query = exchange.params().last_non_empty("QUERY_STRING");
  const bool full = status::wants_full(query);
  scoreboard::PoolSnapshot seen = board.snapshot(full);
  scoreboard::read_totals(totals, seen);
  seen.name = pool.name;
  seen.process_manager = name_of(pool.pm);
  seen.max_children = static_cast<unsigned>(pool.max_children);
  seen.listen_queue = os::listen_queue_length(listener);
  seen.max_listen_queue = std::max(seen.max_listen_queue, seen.listen_queue.value_or(0));
  seen.listen_queue_limit = static_cast<unsigned>(os::effective_backlog(pool.listen_backlog));
  const status::Format format = status::choose_format(query);
  text.clear();
  status::render(text, seen, format, full, status::wants_extended(query));
  begin_page(exchange, status::content_type(format));
  if (wants_body(exchange)) exchange.write_all(text);
}

}  // namespace fpm::worker
