// The stages of a request, php-fpm's, in their order.
#pragma once

#include <cstdint>
#include <string_view>

namespace fpm::scoreboard {

/// Where a worker is. `vacant` and `starting` are ours: a slot without a worker, and a worker that
/// has not reached accept for the first time. The numbers are those in shared memory.
enum class Stage : std::uint8_t {
  vacant = 0,
  starting = 1,
  accepting = 2,        ///< waits for a request: idle
  reading_headers = 3,  ///< the first byte has arrived, the parameters have not all
  info = 4,             ///< decides what the request asks for
  executing = 5,        ///< the handler runs
  ending = 6,           ///< END_REQUEST goes out
  finished = 7,         ///< the client has its answer, the log has its line
};

/// php-fpm's word for the stage, as the status page prints it: "Idle", "Reading headers", ...
constexpr std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::vacant: return "Vacant";
    case Stage::starting: return "Starting";
    case Stage::accepting: return "Idle";
    case Stage::reading_headers: return "Reading headers";
    case Stage::info: return "Getting request information";
    case Stage::executing: return "Running";
    case Stage::ending: return "Ending";
    case Stage::finished: return "Finishing";
  }
  return "Unknown";  // a byte that some worker scribbled over
}

/// Idle and active are derived from the stage wherever they are shown or decided upon.
constexpr bool is_idle(Stage stage) { return stage == Stage::accepting; }
constexpr bool is_active(Stage stage) {
  return stage >= Stage::reading_headers && stage <= Stage::finished;
}

}  // namespace fpm::scoreboard
