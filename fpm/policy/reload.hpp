// What a reload does with which pool. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::policy {

/// What was asked for.
struct ReloadWish {
  std::optional<std::string> pool;  ///< this one alone; nothing: all
  bool changed = false;             ///< only what differs from what runs
};

/// A pool that runs, and whether its directives are those of the new configuration.
struct RunningPool {
  std::string name;
  bool same = false;
};

struct ReloadPlan {
  std::vector<std::string> start;   ///< get a new generation, in the order of the configuration
  std::vector<std::string> remove;  ///< are in the configuration no more
  std::string refused;              ///< why nothing can be done; empty: go on
};

/// `configured`: the names of the new configuration, in its order. A pool that does not run is
/// started by a reload of all or by its name.
ReloadPlan plan_reload(const ReloadWish& wish, const std::vector<RunningPool>& running,
                       const std::vector<std::string>& configured);

/// A wish that waits takes in another if doing the one does the other too. @return it did.
bool merge(ReloadWish& waiting, const ReloadWish& wish);

/// How a generation that drains is pushed: its idle kept connections are closed at half of the
/// patience, TERM at its end, KILL a second later and each second after that.
class Drain {
 public:
  enum class Step { close_kept, terminate, kill };

  explicit Drain(config::Milliseconds patience) : patience_(patience) {}

  /// From the last step, or from the beginning, to the next.
  config::Milliseconds wait() const;
  Step next();

 private:
  config::Milliseconds patience_;
  Step step_ = Step::close_kept;
};

}  // namespace fpm::policy
