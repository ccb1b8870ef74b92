// What an operator can ask of the running master: the border between the control socket and the
// loop. The loop implements it; tests of the socket hand in another.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/policy/reload.hpp"
#include "fpm/scoreboard/door_snapshot.hpp"
#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::master {

/// What became of an order.
struct Reply {
  bool done = false;
  std::string text;  ///< one line: what was done, or why not; no line feed
};

/// Which pools a reload replaces.
using ReloadOrder = policy::ReloadWish;

/// Called in the loop's thread; nothing here waits.
class Orders {
 public:
  virtual ~Orders() = default;

  /// Reads the configuration and replaces the pools. `done` is called once, at the latest when
  /// every new generation serves or has failed; before this returns if the order is refused.
  virtual void reload(const ReloadOrder& order, std::function<void(Reply)> done) = 0;
  virtual Reply reopen_logs() = 0;
  /// Takes a pool out of service: new clients are sent elsewhere, what runs is finished.
  virtual Reply drain(std::string_view pool) = 0;
  virtual Reply resume(std::string_view pool) = 0;
  /// `now`: as TERM, else as QUIT.
  virtual Reply stop(bool now) = 0;
  /// Every pool of the configuration, in its order, workers of generations that drain included when
  /// `full`.
  virtual std::vector<scoreboard::PoolSnapshot> pools(bool full) = 0;
  /// What the doors of a pool do, and their connections: the 1,000 oldest if there are more.
  virtual Reply connections(std::string_view pool, scoreboard::DoorSnapshot& seen) = 0;
};

}  // namespace fpm::master
