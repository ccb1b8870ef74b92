#include "fpm/status/render.hpp"

#include <fmt/format.h>
#include <locale.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <initializer_list>
#include <iterator>

#include "fpm/status/escape.hpp"

namespace fpm::status {
namespace {

using scoreboard::PoolSnapshot;
using scoreboard::WorkerSnapshot;
using Clock = std::chrono::system_clock;

constexpr std::size_t kTextColumn = 22;

/// The name of a key of a query string: as far as its value or PHP's array brackets, undecoded.
std::string_view key_of(std::string_view pair) { return pair.substr(0, pair.find_first_of("=[")); }

bool has_key(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    if (key_of(query.substr(0, end)) == key) return true;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return false;
}

std::int64_t epoch(Clock::time_point at) {
  return std::chrono::floor<std::chrono::seconds>(at.time_since_epoch()).count();
}

/// How a value is written: as it is, or as a string of the format.
enum class Kind { number, string };

/// One cell of the page. Views into the snapshot or into a buffer that lives during the call.
struct Cell {
  std::string_view name;
  Kind kind;
  std::string_view value;
  std::string_view second = {};  // appended to the value: the query of a URI
};

/// Formats numbers and times into a buffer of its own; what it gives holds until the next call.
class Scratch {
 public:
  explicit Scratch(Format format)
      : text_times_(format == Format::text || format == Format::html),
        json_(format == Format::json) {}

  template <class Integer>
  std::string_view number(Integer value) {
    return {buffer_, std::to_chars(buffer_, buffer_ + sizeof buffer_, value).ptr};
  }
  /// Unknown is not 0.
  std::string_view maybe(const std::optional<unsigned>& value) {
    if (!value) return json_ ? "null" : "-";
    return number(*value);
  }
  std::string_view percent(double value) {
    // A broken worker may have written anything; JSON has no NaN.
    const double shown = std::isfinite(value) ? std::clamp(value, 0.0, 1e9) : 0.0;
    const auto end = fmt::format_to_n(buffer_, sizeof buffer_, "{:.2f}", shown);
    return {buffer_, std::min(end.size, sizeof buffer_)};
  }
  /// Text and html show the local time, json and xml the seconds since 1970.
  Cell time(Clock::time_point at) {
    if (!text_times_) return {"start time", Kind::number, number(epoch(at))};
    static const ::locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
    const std::time_t seconds = epoch(at);
    std::tm parts{};
    if (::localtime_r(&seconds, &parts) == nullptr) return {"start time", Kind::string, "-"};
    const std::size_t size =
        ::strftime_l(buffer_, sizeof buffer_, "%d/%b/%Y:%H:%M:%S %z", &parts, locale);
    return {"start time", Kind::string, {buffer_, size}};
  }
  std::string_view since(Clock::time_point start, Clock::time_point now) {
    return number(std::max<std::int64_t>(0, epoch(now) - epoch(start)));
  }

 private:
  bool text_times_;
  bool json_;
  char buffer_[64];
};

/// Percentiles of durations, in microseconds, and how many were recorded.
template <class Each>
void percentile_cells(const scoreboard::HistogramSnapshot& seen, Scratch& scratch,
                      const std::array<std::string_view, 5>& names, Each each) {
  constexpr std::array<double, 4> kShares{0.5, 0.9, 0.99, 0.999};
  for (std::size_t i = 0; i < kShares.size(); ++i) {
    each(Cell{names[i], Kind::number, scratch.number(seen.percentile(kShares[i]).count())});
  }
  each(Cell{names[4], Kind::number, scratch.number(seen.count())});
}

/// The doors of a pool: connections by what they do, then counters.
template <class Each>
void door_cells(const scoreboard::DoorCounts& door, Scratch& scratch, Each each) {
  const auto number = [&](std::string_view name, std::uint64_t value) {
    each(Cell{name, Kind::number, scratch.number(value)});
  };
  std::string name;
  for (std::size_t i = 0; i < scoreboard::kDoorStates; ++i) {
    name.assign("door ").append(door_state_name(static_cast<scoreboard::DoorState>(i)));
    number(name, door.connections[i]);
  }
  number("door accepted conn", door.accepted);
  number("door requests", door.requests);
  number("door passed", door.passed);
  number("door aborted", door.aborted);
  number("door queue full", door.queue_full);
  number("door queue timeout", door.queue_timeout);
  number("door retried", door.retried);
  number("door refused", door.refused);
  number("door bytes in", door.bytes_in);
  number("door bytes out", door.bytes_out);
}

/// What php-fpm does not have.
template <class Each>
void extended_cells(const PoolSnapshot& pool, Format format, Scratch& scratch, Each each) {
  const auto number = [&](std::string_view name, auto value) {
    each(Cell{name, Kind::number, scratch.number(value)});
  };
  std::uint64_t rejected = 0;
  for (const std::uint64_t one : pool.rejected) rejected += one;
  number("max children", pool.max_children);
  number("timed out requests", pool.timed_out);
  number("killed requests", pool.killed);
  number("rejected requests", rejected);
  number("aborted requests", pool.aborted);
  percentile_cells(pool.duration, scratch,
                   {"duration p50", "duration p90", "duration p99", "duration p99.9",
                    "duration count"},
                   each);
  percentile_cells(pool.queue_wait, scratch,
                   {"queue wait p50", "queue wait p90", "queue wait p99", "queue wait p99.9",
                    "queue wait count"},
                   each);
  number("memory", pool.memory);
  number("generation", pool.generation);
  if (pool.last_reload) {
    Cell cell = scratch.time(*pool.last_reload);
    cell.name = "last reload";
    each(cell);
  } else {
    const bool text = format == Format::text || format == Format::html;
    each(Cell{"last reload", Kind::number, text ? "-" : "0"});
  }
  each(Cell{"state", Kind::string, scoreboard::state_word(pool)});
  if (pool.door) door_cells(*pool.door, scratch, each);
}

/// Calls `each(Cell)` for the fields of a pool, in php-fpm's order.
template <class Each>
void pool_cells(const PoolSnapshot& pool, Format format, bool extended, Each each) {
  Scratch scratch(format);
  const auto number = [&](std::string_view name, auto value) {
    each(Cell{name, Kind::number, scratch.number(value)});
  };
  each(Cell{"pool", Kind::string, pool.name});
  each(Cell{"process manager", Kind::string, pool.process_manager});
  each(scratch.time(pool.started));
  each(Cell{"start since", Kind::number, scratch.since(pool.started, pool.now)});
  number("accepted conn", pool.accepted);
  each(Cell{"listen queue", Kind::number, scratch.maybe(pool.listen_queue)});
  number("max listen queue", pool.max_listen_queue);
  number("listen queue len", pool.listen_queue_limit);
  number("idle processes", pool.idle);
  number("active processes", pool.active);
  number("total processes", pool.idle + pool.active);
  number("max active processes", pool.max_active);
  number("max children reached", pool.max_children_reached);
  number("slow requests", pool.slow_requests);
  if (extended) extended_cells(pool, format, scratch, each);
}

std::string_view or_dash(std::string_view value) { return value.empty() ? "-" : value; }

/// The same for the fields of a worker.
template <class Each>
void worker_cells(const WorkerSnapshot& worker, Clock::time_point now, Format format,
                  bool extended, Each each) {
  Scratch scratch(format);
  const auto number = [&](std::string_view name, auto value) {
    each(Cell{name, Kind::number, scratch.number(value)});
  };
  number("pid", worker.pid);
  each(Cell{"state", Kind::string, scoreboard::stage_name(worker.stage)});
  each(scratch.time(worker.started));
  each(Cell{"start since", Kind::number, scratch.since(worker.started, now)});
  number("requests", worker.requests);
  number("request duration", std::max<std::int64_t>(0, worker.request_duration.count()));
  each(Cell{"request method", Kind::string, or_dash(worker.method)});
  each(Cell{format == Format::text ? "request URI" : "request uri", Kind::string,
            or_dash(worker.uri), worker.query});
  number("content length", worker.content_length);
  each(Cell{"user", Kind::string, or_dash(worker.user)});
  each(Cell{"script", Kind::string, or_dash(worker.script)});
  each(Cell{"last request cpu", Kind::number, scratch.percent(worker.last_cpu_percent)});
  number("last request memory", worker.last_memory);
  if (extended) number("memory", worker.memory);
}

/// The value of a cell, escaped the way of the format.
template <class Append>
void append_value(std::string& out, const Cell& cell, Append append) {
  append(out, cell.value);
  if (cell.second.empty()) return;
  append(out, "?");
  append(out, cell.second);
}

// One group of functions a format ---------------------------------------------------------------

void text_row(std::string& out, const Cell& cell) {
  out.append(cell.name).append(":");
  out.append(kTextColumn - std::min(kTextColumn, cell.name.size() + 1), ' ');
  append_value(out, cell, append_text);
  out += '\n';
}

void render_text(std::string& out, const PoolSnapshot& pool, bool full, bool extended) {
  pool_cells(pool, Format::text, extended, [&](const Cell& cell) { text_row(out, cell); });
  if (!full) return;
  for (const WorkerSnapshot& worker : pool.workers) {
    out += "\n************************\n";
    worker_cells(worker, pool.now, Format::text, extended,
                 [&](const Cell& cell) { text_row(out, cell); });
  }
}

/// `"name":value,` for each cell; the caller removes the last comma.
void json_member(std::string& out, const Cell& cell) {
  out.append("\"").append(cell.name).append("\":");
  if (cell.kind == Kind::string) {
    out += '"';
    append_value(out, cell, append_json);
    out += '"';
  } else {
    out.append(cell.value);
  }
  out += ',';
}

void render_json(std::string& out, const PoolSnapshot& pool, bool full, bool extended) {
  out += '{';
  pool_cells(pool, Format::json, extended, [&](const Cell& cell) { json_member(out, cell); });
  out.pop_back();
  if (full) {
    out += ", \"processes\":[";
    for (const WorkerSnapshot& worker : pool.workers) {
      if (&worker != &pool.workers.front()) out += ',';
      out += '{';
      worker_cells(worker, pool.now, Format::json, extended,
                   [&](const Cell& cell) { json_member(out, cell); });
      out.back() = '}';
    }
    out += ']';
  }
  out += '}';
}

void xml_tag(std::string& out, std::string_view open, std::string_view name) {
  out.append(open);
  for (const char c : name) out += c == ' ' ? '-' : c;
  out += '>';
}

void xml_element(std::string& out, const Cell& cell) {
  xml_tag(out, "<", cell.name);
  append_value(out, cell, append_markup);
  xml_tag(out, "</", cell.name);
}

void render_xml(std::string& out, const PoolSnapshot& pool, bool full, bool extended) {
  out += "<?xml version=\"1.0\" ?>\n<status>\n";
  pool_cells(pool, Format::xml, extended, [&](const Cell& cell) {
    xml_element(out, cell);
    out += '\n';
  });
  if (full) {
    out += "<processes>\n";
    for (const WorkerSnapshot& worker : pool.workers) {
      out += "<process>";
      worker_cells(worker, pool.now, Format::xml, extended,
                   [&](const Cell& cell) { xml_element(out, cell); });
      out += "</process>\n";
    }
    out += "</processes>\n";
  }
  out += "</status>";
}

constexpr std::string_view kHtmlHead =
    "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" "
    "\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\">\n"
    "<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n"
    "<head><title>PHP-FPM Status Page</title></head>\n"
    "<body>\n"
    "<table>\n";

void html_workers(std::string& out, const PoolSnapshot& pool, bool extended) {
  out += "<table border=\"1\">\n<tr>";
  worker_cells(WorkerSnapshot{}, {}, Format::html, extended,
               [&](const Cell& cell) { out.append("<th>").append(cell.name).append("</th>"); });
  out += "</tr>\n";
  for (const WorkerSnapshot& worker : pool.workers) {
    out += "<tr>";
    worker_cells(worker, pool.now, Format::html, extended, [&](const Cell& cell) {
      out += "<td>";
      append_value(out, cell, append_markup);
      out += "</td>";
    });
    out += "</tr>\n";
  }
  out += "</table>";
}

void render_html(std::string& out, const PoolSnapshot& pool, bool full, bool extended) {
  out += kHtmlHead;
  pool_cells(pool, Format::html, extended, [&](const Cell& cell) {
    out.append("<tr><th>").append(cell.name).append("</th><td>");
    append_value(out, cell, append_markup);
    out += "</td></tr>\n";
  });
  out += "</table>\n";
  if (full) html_workers(out, pool, extended);
  out += "</body></html>";
}

/// A metric with its descriptions, in php-fpm's order: HELP, TYPE, value.
template <class Value>
void metric(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            Value value) {
  fmt::format_to(std::back_inserter(out),
                 "# HELP phpfpm_{0} {2}\n# TYPE phpfpm_{0} {1}\nphpfpm_{0} {3}\n", name, type, help,
                 value);
}

/// Ours as gauges; a name of a metric has no blanks and dots.
void extended_metrics(std::string& out, const PoolSnapshot& pool) {
  Scratch scratch(Format::openmetrics);
  extended_cells(pool, Format::openmetrics, scratch, [&](const Cell& cell) {
    if (cell.kind == Kind::string) return;
    std::string name(cell.name);
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == ' ' || c == '.'; }, '_');
    metric(out, name, "gauge", fmt::format("The {} of the pool.", cell.name), cell.value);
  });
}

void render_openmetrics(std::string& out, const PoolSnapshot& pool, bool extended) {
  out += "# HELP phpfpm_up Could pool ";
  append_text(out, pool.name);
  out += " using a ";
  append_text(out, pool.process_manager);
  out += " PM on PHP-FPM be reached?\n# TYPE phpfpm_up gauge\nphpfpm_up 1\n";
  Scratch scratch(Format::openmetrics);
  metric(out, "start_since", "counter", "The number of seconds since FPM has started.",
         scratch.since(pool.started, pool.now));
  metric(out, "accepted_connections", "counter", "The number of requests accepted by the pool.",
         pool.accepted);
  metric(out, "listen_queue", "gauge",
         "The number of requests in the queue of pending connections.",
         pool.listen_queue ? scratch.number(*pool.listen_queue) : "NaN");
  metric(out, "max_listen_queue", "counter",
         "The maximum number of requests in the queue of pending connections since FPM has "
         "started.",
         pool.max_listen_queue);
  // This one has its lines the other way round, as in php-fpm.
  fmt::format_to(std::back_inserter(out),
                 "# TYPE phpfpm_listen_queue_length gauge\n"
                 "# HELP phpfpm_listen_queue_length The size of the socket queue of pending "
                 "connections.\n"
                 "phpfpm_listen_queue_length {}\n",
                 pool.listen_queue_limit);
  metric(out, "idle_processes", "gauge", "The number of idle processes.", pool.idle);
  metric(out, "active_processes", "gauge", "The number of active processes.", pool.active);
  metric(out, "total_processes", "gauge", "The number of idle + active processes.",
         pool.idle + pool.active);
  metric(out, "max_active_processes", "counter",
         "The maximum number of active processes since FPM has started.", pool.max_active);
  metric(out, "max_children_reached", "counter",
         "The number of times, the process limit has been reached, when pm tries to start more "
         "children (works only for pm 'dynamic' and 'ondemand').",
         pool.max_children_reached);
  metric(out, "slow_requests", "counter",
         "The number of requests that exceeded your 'request_slowlog_timeout' value.",
         pool.slow_requests);
  if (extended) extended_metrics(out, pool);
  out += "# EOF\n";
}

}  // namespace

Format choose_format(std::string_view query) {
  if (has_key(query, "html")) return Format::html;
  if (has_key(query, "xml")) return Format::xml;
  if (has_key(query, "json")) return Format::json;
  if (has_key(query, "openmetrics")) return Format::openmetrics;
  return Format::text;
}

bool wants_full(std::string_view query) { return has_key(query, "full"); }
bool wants_extended(std::string_view query) { return has_key(query, "extended"); }

std::string_view content_type(Format format) {
  switch (format) {
    case Format::text:
      return "text/plain;charset=UTF-8";
    case Format::json: return "application/json";
    case Format::html:
      return "text/html;charset=UTF-8";
    case Format::xml:
      return "text/xml;charset=UTF-8";
    case Format::openmetrics:
      return "application/openmetrics-text; version=1.0.0; charset=utf-8";
  }
  return "text/plain;charset=UTF-8";
}

std::string_view content_type_header(Format format) {
  return format == Format::json || format == Format::openmetrics ? "Content-Type" : "Content-type";
}

void render(std::string& out, const PoolSnapshot& pool, Format format, bool full,
            bool extended) {
  switch (format) {
    case Format::text: return render_text(out, pool, full, extended);
    case Format::json: return render_json(out, pool, full, extended);
    case Format::html: return render_html(out, pool, full, extended);
    case Format::xml: return render_xml(out, pool, full, extended);
    case Format::openmetrics: return render_openmetrics(out, pool, extended);
  }
}

}  // namespace fpm::status
