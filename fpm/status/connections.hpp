// The connections of a door as JSON. Pure.
#pragma once

#include <string>
#include <string_view>

#include "fpm/scoreboard/door_snapshot.hpp"

namespace fpm::status {

/// Appends {"pool":"www","states":{"reading":0,...},"connections":[{"state":"writing","age":1500000,
/// "in state":20000,"bytes in":80,"bytes out":4096,"requests":1,"remote":"127.0.0.1",
/// "request":"GET /x"},...],"not shown":0}. Times are microseconds. Strings may be anything.
void render_connections(std::string& out, std::string_view pool, const scoreboard::DoorSnapshot& door);

}  // namespace fpm::status
