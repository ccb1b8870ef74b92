// How the program stops: which signal the workers get, and what follows if they stay. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace fpm::policy {

/// What the operator asked for: QUIT finishes what is under way, TERM and INT stop now.
enum class StopOrder { finish, terminate };

/// What the workers are sent. `terminate` ends a request with an answer where none was begun.
enum class Push { quit, terminate, kill };

struct StopStep {
  Push push = Push::quit;
  std::chrono::milliseconds wait{};  ///< until escalate() is due, if workers are left then
};

/// States, in rising order; a lower order never overrides a higher one (php-fpm.md 2.2):
///   serving -> finishing (QUIT sent) -> terminating (TERM sent) -> killing (KILL sent, repeated)
class Shutdown {
 public:
  /// `patience`: process_control_timeout, how long QUIT may take.
  explicit Shutdown(std::chrono::milliseconds patience) : patience_(patience) {}

  bool stopping() const { return state_ != State::serving; }
  /// A reload changed process_control_timeout.
  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }
  /// An order arrived. A second one of the same or a higher kind hurries: finish after finish is
  /// ignored, terminate after terminate kills. @return what to do now; nothing: ignored.
  std::optional<StopStep> order(StopOrder order);
  /// The wait of the last step is over and workers are left.
  StopStep escalate();

 private:
  enum class State { serving, finishing, terminating, killing };

  StopStep enter(State state);

  State state_ = State::serving;
  std::chrono::milliseconds patience_;
};

}  // namespace fpm::policy
