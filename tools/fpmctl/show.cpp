#include "tools/fpmctl/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace fpmctl {

namespace json = boost::json;

namespace {

/// What strangers chose must not steer the terminal.
std::string harmless(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+009B is CSI to some terminals
    out += byte < 0x20 || byte == 0x7f || c1 ? '?' : text[i];
    if (c1) ++i;
  }
  return out;
}

const json::value* member(const json::value& of, std::string_view name) {
  return of.is_object() ? of.as_object().if_contains({name.data(), name.size()}) : nullptr;
}

std::string text(const json::value& of, std::string_view name) {
  const json::value* const found = member(of, name);
  if (found == nullptr || !found->is_string()) return "-";
  return harmless(std::string_view(found->as_string().data(), found->as_string().size()));
}

std::int64_t number(const json::value& of, std::string_view name) {
  const json::value* const found = member(of, name);
  if (found == nullptr) return 0;
  if (found->is_int64()) return found->as_int64();
  if (found->is_uint64()) return static_cast<std::int64_t>(found->as_uint64() & INT64_MAX);
  return found->is_double() ? static_cast<std::int64_t>(found->as_double()) : 0;
}

std::string count(const json::value& of, std::string_view name) {
  const json::value* const found = member(of, name);
  return found == nullptr || found->is_null() ? "-" : std::to_string(number(of, name));
}

std::string duration(std::int64_t microseconds) {
  const auto us = static_cast<double>(microseconds);
  if (us >= 1e6) return fmt::format("{:.1f}s", us / 1e6);
  return fmt::format("{:.1f}ms", us / 1e3);
}

std::string size(std::int64_t bytes) {
  const auto all = static_cast<double>(bytes);
  if (all >= 1e9) return fmt::format("{:.1f}G", all / (1 << 30));
  return fmt::format("{:.1f}M", all / (1 << 20));
}

using Row = std::vector<std::string>;

/// Columns as wide as their longest cell; `left` has an `l` at the place of each that goes to the left.
std::vector<std::string> aligned(const std::vector<Row>& rows, std::string_view left) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::vector<std::string> lines;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      if (i < left.size() && left[i] == 'l') {
        line += fmt::format("{:<{}}", row[i], widths[i]);
      } else {
        line += fmt::format("{:>{}}", row[i], widths[i]);
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> pool_lines(const json::value& pools) {
  std::vector<Row> rows{{"POOL", "STATE", "PM", "ACTIVE", "IDLE", "MAX", "QUEUE", "REQUESTS",
                         "SLOW", "TIMEOUT", "P50", "P99", "MEMORY", "GEN"}};
  std::int64_t active = 0, idle = 0, requests = 0, memory = 0;
  for (const json::value& pool : pools.as_array()) {
    active += number(pool, "active processes");
    idle += number(pool, "idle processes");
    requests += number(pool, "accepted conn");
    memory += number(pool, "memory");
    rows.push_back({text(pool, "pool"), text(pool, "state"), text(pool, "process manager"),
                    count(pool, "active processes"), count(pool, "idle processes"),
                    count(pool, "max children"), count(pool, "listen queue"),
                    count(pool, "accepted conn"), count(pool, "slow requests"),
                    count(pool, "timed out requests"), duration(number(pool, "duration p50")),
                    duration(number(pool, "duration p99")), size(number(pool, "memory")),
                    count(pool, "generation")});
  }
  rows.push_back({fmt::format("{} pools", pools.as_array().size()), "", "", std::to_string(active),
                  std::to_string(idle), "", "", std::to_string(requests), "", "", "", "",
                  size(memory), ""});
  return aligned(rows, "ll");
}

struct Seen {
  const json::value* pool;
  const json::value* worker;
  bool busy;
  std::int64_t in_request;
};

std::vector<Seen> workers_of(const json::value& pools) {
  std::vector<Seen> all;
  for (const json::value& pool : pools.as_array()) {
    const json::value* const workers = member(pool, "processes");
    if (workers == nullptr || !workers->is_array()) continue;
    for (const json::value& worker : workers->as_array()) {
      const std::string state = text(worker, "state");
      const bool busy = state != "Idle" && state != "Starting";
      all.push_back({&pool, &worker, busy, busy ? number(worker, "request duration") : 0});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Seen& a, const Seen& b) {
    return a.busy != b.busy ? a.busy : a.in_request > b.in_request;
  });
  return all;
}

Row worker_row(const Seen& seen, const Whereabouts& waits_in) {
  const json::value& worker = *seen.worker;
  const std::string query = seen.busy ? text(worker, "request method") + " " +
                                            text(worker, "request uri")
                                      : "";
  return {text(*seen.pool, "pool"),
          count(worker, "pid"),
          text(worker, "state"),
          seen.busy ? harmless(waits_in(number(worker, "pid"))) : "-",
          seen.busy ? duration(seen.in_request) : "-",
          fmt::format("{}s", number(worker, "start since")),
          count(worker, "requests"),
          number(worker, "memory") == 0 ? "-" : size(number(worker, "memory")),
          query};
}

/// "3 connections: 1 reading, 0 body, ...": how many are in each state.
std::string states_line(const json::value& door) {
  const json::value* const states = member(door, "states");
  std::string line;
  std::int64_t all = 0;
  if (states != nullptr && states->is_object()) {
    for (const auto& [name, value] : states->as_object()) {
      const std::int64_t of_state = number(*states, {name.data(), name.size()});
      all += of_state;
      line += fmt::format("{}{} {}", line.empty() ? "" : ", ", of_state,
                          harmless({name.data(), name.size()}));
    }
  }
  line = fmt::format("{} connections: {}", all, line);
  const std::int64_t hidden = number(door, "not shown");
  return hidden > 0 ? line + fmt::format("; {} of them are not shown", hidden) : line;
}

}  // namespace

std::string connection_table(const json::value& door) {
  std::vector<Row> rows{
      {"STATE", "AGE", "IN STATE", "BYTES IN", "BYTES OUT", "REQUESTS", "REMOTE", "REQUEST"}};
  const json::value* const all = member(door, "connections");
  if (all != nullptr && all->is_array()) {
    for (const json::value& one : all->as_array()) {
      rows.push_back({text(one, "state"), duration(number(one, "age")),
                      duration(number(one, "in state")), count(one, "bytes in"),
                      count(one, "bytes out"), count(one, "requests"), text(one, "remote"),
                      text(one, "request")});
    }
  }
  std::string out;
  if (rows.size() > 1) {
    for (const std::string& line : aligned(rows, "l     ll")) out += line + '\n';
  }
  return out + states_line(door) + '\n';
}

std::string pool_table(const json::value& pools) {
  std::string out;
  for (const std::string& line : pool_lines(pools)) out += line + '\n';
  return out;
}

std::vector<std::string> top_lines(const json::value& pools, std::size_t rows, std::size_t columns,
                                   const Whereabouts& waits_in) {
  std::vector<std::string> lines = pool_lines(pools);
  // Many pools leave room for workers: the sum always stays.
  if (rows > 0 && lines.size() > rows / 2 + 2) {
    const std::string sum = lines.back();
    lines.resize(rows / 2 + 1);
    lines.push_back(sum);
  }
  lines.emplace_back();
  const std::vector<Seen> workers = workers_of(pools);
  std::size_t shown = workers.size();
  if (rows > 0) shown = std::min(shown, rows > lines.size() + 1 ? rows - lines.size() - 1 : 0);
  std::vector<Row> table{
      {"POOL", "PID", "STATE", "WAITS IN", "FOR", "AGE", "REQUESTS", "MEMORY", "REQUEST"}};
  for (std::size_t i = 0; i < shown; ++i) table.push_back(worker_row(workers[i], waits_in));
  for (std::string& line : aligned(table, "llll    l")) lines.push_back(std::move(line));
  for (std::string& line : lines) {
    if (columns > 0 && line.size() > columns) line.resize(columns);
  }
  return lines;
}

}  // namespace fpmctl
