#include "fpm/reporter/pages.hpp"

#include <fmt/format.h>

#include <charconv>
#include <vector>

#include "fpm/build_config.hpp"
#include "fpm/status/all_pools.hpp"
#include "fpm/status/dashboard.hpp"
#include "fpm/status/metrics.hpp"
#include "fpm/status/ready.hpp"
#include "fpm/status/render.hpp"

namespace fpm::reporter {

namespace {

Page not_found() { return {.status = 404, .body = "File not found.\n"}; }

/// %XX undone; what is none stays as it is.
std::string decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const char* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_blank ? ' ' : text[i];
    }
  }
  return out;
}

/// The value of a key of a query string; nothing if the key is not there.
std::optional<std::string> value_of(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    return equals == pair.npos ? std::string() : decoded(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

/// The pools that `?pool=` names, or all; nothing if there is none of that name.
std::optional<std::vector<std::size_t>> chosen(const View& view, std::string_view query) {
  std::vector<std::size_t> indexes;
  if (const auto name = value_of(query, "pool")) {
    const auto found = view.find(*name);
    if (!found) return std::nullopt;
    indexes.push_back(*found);
    return indexes;
  }
  for (std::size_t i = 0; i < view.size(); ++i) indexes.push_back(i);
  return indexes;
}

Page all_pools_page(View& view, std::string_view query) {
  const auto which = chosen(view, query);
  if (!which) return not_found();
  const bool full = status::wants_full(query);
  Page page{.type = std::string(status::content_type(status::Format::json))};
  status::render_all_pools(page.body, view.snapshots(*which, full), full);
  return page;
}

Page metrics_page(View& view, std::string_view query) {
  const auto which = chosen(view, query);
  if (!which) return not_found();
  const bool full = status::wants_full(query);
  Page page{.type = std::string(status::kMetricsType)};
  status::render_metrics(page.body, view.snapshots(*which, full), full, FPM_VERSION);
  return page;
}

Page ready_page(View& view, std::string_view query, View::Time now) {
  const auto which = chosen(view, query);
  if (!which) return not_found();
  const std::vector<scoreboard::PoolSnapshot> seen = view.snapshots(*which, false);
  std::vector<std::string> reasons;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const PoolNews& news = view.pool((*which)[i]);
    const status::ReadyLimits limits{
        news.ready_queue,
        std::chrono::milliseconds(static_cast<std::int64_t>(news.ready_wait_ms))};
    reasons.push_back(
        status::unready_reason(seen[i], limits, view.recent_wait((*which)[i], now)));
  }
  std::vector<status::Readiness> pools;
  for (std::size_t i = 0; i < seen.size(); ++i) pools.push_back({seen[i].name, reasons[i]});
  Page page;
  page.status = status::render_ready(page.body, pools) ? 200 : 503;
  return page;
}

Page status_page(View& view, std::size_t index, std::string_view query, status::Format format) {
  const bool full = status::wants_full(query);
  Page page{.type = std::string(status::content_type(format)),
            .type_header = status::content_type_header(format)};
  status::render(page.body, view.snapshot(index, full), format, full,
                 status::wants_extended(query));
  return page;
}

Page one_pool_page(View& view, std::string_view name, std::string_view query) {
  const auto index = view.find(decoded(name, false));
  if (!index) return not_found();
  status::Format format = status::choose_format(query);
  if (format == status::Format::text && !value_of(query, "text")) format = status::Format::json;
  return status_page(view, *index, query, format);
}

Page dashboard_page() {
  return {.type = "text/html;charset=UTF-8",
          .policy = status::kDashboardPolicy,
          .body = std::string(status::dashboard())};
}

}  // namespace

std::string_view Page::reason() const {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
  }
}

std::string Page::head() const {
  constexpr std::string_view kNotCached =
      "Expires: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
      "Cache-Control: no-cache, no-store, must-revalidate, max-age=0\r\n";
  std::string text = fmt::format("{}: {}\r\n", type_header, type);
  text.insert(type_first ? text.size() : 0, kNotCached);
  if (!policy.empty()) text += fmt::format("Content-Security-Policy: {}\r\n", policy);
  if (status == 405) text += "Allow: GET, HEAD\r\n";
  return text;
}

Page general_page(View& view, const Ask& ask, View::Time now) {
  constexpr std::string_view kOne = "/status/";
  if (ask.method != "GET" && ask.method != "HEAD") {
    return {.status = 405, .body = "Only GET and HEAD are answered here.\n"};
  }
  if (ask.path == "/") return dashboard_page();
  if (ask.path == "/status" || ask.path == kOne) return all_pools_page(view, ask.query);
  if (ask.path == "/metrics") return metrics_page(view, ask.query);
  if (ask.path == "/ready") return ready_page(view, ask.query, now);
  if (ask.path == "/ping") return {.body = "pong"};
  if (ask.path.substr(0, kOne.size()) == kOne) {
    return one_pool_page(view, ask.path.substr(kOne.size()), ask.query);
  }
  return not_found();
}

Page pool_page(View& view, std::string_view pool, const Ask& ask) {
  const auto index = view.find(pool);
  if (!index || ask.path.empty()) return not_found();
  const PoolNews& news = view.pool(*index);
  if (ask.path == news.ping_path) return {.body = news.ping_response, .type_first = true};
  if (ask.path != (news.status_path.empty() ? "/" : news.status_path)) return not_found();
  return status_page(view, *index, ask.query, status::choose_format(ask.query));
}

}  // namespace fpm::reporter
