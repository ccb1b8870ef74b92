#include "fpm/status/connections.hpp"

#include <fmt/format.h>

#include <iterator>

#include "fpm/status/escape.hpp"

namespace fpm::status {
namespace {

using scoreboard::DoorConnection;
using scoreboard::DoorSnapshot;

/// What a broken door says may lie ahead.
std::uint64_t microseconds(std::uint64_t since_ns, std::uint64_t now_ns) {
  return since_ns < now_ns ? (now_ns - since_ns) / 1000 : 0;
}

void append_string(std::string& out, std::string_view name, std::string_view value) {
  out.append("\"").append(name).append("\":\"");
  append_json(out, value);
  out += '"';
}

void append_connection(std::string& out, const DoorConnection& one, std::uint64_t now_ns) {
  out += '{';
  append_string(out, "state", scoreboard::door_state_name(one.state));
  fmt::format_to(std::back_inserter(out),
                 R"(,"age":{},"in state":{},"bytes in":{},"bytes out":{},"requests":{},)",
                 microseconds(one.opened_ns, now_ns), microseconds(one.changed_ns, now_ns),
                 one.bytes_in, one.bytes_out, one.requests);
  append_string(out, "remote", one.remote);
  out += ',';
  append_string(out, "request", one.request);
  out += '}';
}

}  // namespace

void render_connections(std::string& out, std::string_view pool, const DoorSnapshot& door) {
  out += '{';
  append_string(out, "pool", pool);
  out += ",\"states\":{";
  for (std::size_t i = 0; i < scoreboard::kDoorStates; ++i) {
    fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", i > 0 ? "," : "",
                   door_state_name(static_cast<scoreboard::DoorState>(i)),
                   door.counts.connections[i]);
  }
  out += "},\"connections\":[";
  for (std::size_t i = 0; i < door.oldest.size(); ++i) {
    if (i > 0) out += ',';
    append_connection(out, door.oldest[i], door.now_ns);
  }
  const std::uint64_t all = door.counts.all_connections();
  const std::uint64_t shown = door.oldest.size();
  fmt::format_to(std::back_inserter(out), "],\"not shown\":{}}}", all > shown ? all - shown : 0);
}

}  // namespace fpm::status
