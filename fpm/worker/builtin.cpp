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

// php-fpm's header blocks, to the order of their lines and the case of a name: proxies shall not
// cache what is true for a moment only.
constexpr std::string_view kNotCached =
    "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "Cache-Control: no-cache, no-store, must-revalidate, max-age=0\r\n";

void begin_ping(Exchange& exchange, std::string_view first) {
  std::array<char, 512> head;
  const auto end = fmt::format_to_n(head.data(), head.size(),
                                    "{}Content-type: text/plain;charset=UTF-8\r\n{}\r\n", first,
                                    kNotCached);
  exchange.begin(200, {head.data(), std::min(end.size, head.size())});
}

void begin_status(Exchange& exchange, std::string_view first, status::Format format) {
  std::array<char, 512> head;
  const auto end = fmt::format_to_n(head.data(), head.size(), "{}{}{}: {}\r\n\r\n", first, kNotCached,
                                    status::content_type_header(format),
                                    status::content_type(format));
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

void answer_ping(const config::Pool& pool, std::string_view first, Exchange& exchange) {
  begin_ping(exchange, first);
  if (wants_body(exchange)) exchange.write_all(pool.ping_response);
}

void StatusPage::render(status::Format format, bool full, bool extended, std::string& text) const {
  scoreboard::PoolSnapshot seen = board_.snapshot(full);
  scoreboard::read_totals(totals_, seen);
  seen.name = pool_.name;
  seen.process_manager = name_of(pool_.pm);
  seen.max_children = static_cast<unsigned>(pool_.max_children);
  seen.listen_queue = os::listen_queue_length(listener_);
  seen.max_listen_queue = std::max(seen.max_listen_queue, seen.listen_queue.value_or(0));
  seen.listen_queue_limit = static_cast<unsigned>(os::effective_backlog(pool_.listen_backlog));
  status::render(text, seen, format, full, extended);
}

void StatusPage::answer(std::string_view first, std::string& text, Exchange& exchange) const {
  const std::string_view query = exchange.params().last_non_empty("QUERY_STRING");
  const status::Format format = status::choose_format(query);
  text.clear();
  render(format, status::wants_full(query), status::wants_extended(query), text);
  begin_status(exchange, first, format);
  if (wants_body(exchange)) exchange.write_all(text);
}

}  // namespace fpm::worker
