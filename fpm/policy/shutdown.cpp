#include "fpm/policy/shutdown.hpp"

#include <algorithm>

namespace fpm::policy {

namespace {
constexpr std::chrono::milliseconds kAfterTerminate{1000};
constexpr std::chrono::milliseconds kAfterKill{1000};
}  // namespace

std::optional<StopStep> Shutdown::order(StopOrder order) {
  if (order == StopOrder::finish) {
    if (state_ != State::serving) return std::nullopt;
    return enter(State::finishing);
  }
  return enter(state_ < State::terminating ? State::terminating : State::killing);
}

StopStep Shutdown::escalate() {
  return enter(state_ < State::terminating ? State::terminating : State::killing);
}

StopStep Shutdown::enter(State state) {
  state_ = state;
  switch (state) {
    case State::serving:
    case State::finishing:
      return {Push::quit, patience_};
    case State::terminating:
      return {Push::terminate, kAfterTerminate};
    case State::killing:
      break;
  }
  return {Push::kill, kAfterKill};
}

}  // namespace fpm::policy
