// Holds a request whose code runs in this very process to its times: that code cannot be asked to stop,
// and may be anywhere.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "fcgi/writer.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/log/late_report.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/worker/exchange.hpp"

namespace fpm::worker {

/// Answers and reports in a signal handler on a stack of its own. The master sends time_signal() when a
/// request may be slow or its time over; the handler looks at the clock itself, since the request may be
/// another one by then.
///   slow   where the request is goes to the master, which writes the slow log; the request goes on
///   over   the client gets the prepared 504, unless an answer was begun; the worker marks its slot, tells
///          where the request was, and stands still, so that nothing of it runs on, until the master kills it
///   TERM   the same with 503; the worker then ends by itself
class TimeLimit {
 public:
  /// All are borrowed. `channel`: to the master, -1: none. `wakeup`: what wakes it.
  /// `on_end`: called before this process ends by itself; may be empty.
  TimeLimit(const config::Pool& pool, handlers::Handler& handler, Exchange& exchange,
            scoreboard::Pen pen, int channel, int wakeup, const std::function<void()>& on_end);
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

  /// Once, in the thread that executes requests: the signal's handler and its stack. Only for handlers
  /// that run inside; without it a Watch does nothing.
  os::Result<void> install();

  /// The handler executes a request while such an object lives.
  class Watch {
   public:
    explicit Watch(TimeLimit& limit);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
  };

 private:
  static void on_time(int);
  static void on_terminate();

  void look();
  void tell_slow();
  [[noreturn]] void give_up(bool killed);
  log::LateReport::Answer answer(const Page& page);
  void report(log::Lateness lateness, log::LateReport::Answer answer);
  void wake_master() const;
  std::size_t where();
  [[noreturn]] void stand_still(bool killed);

  const config::Pool& pool_;
  handlers::Handler& handler_;
  Exchange& exchange_;
  scoreboard::Pen pen_;
  const int channel_;
  const int wakeup_;
  const std::function<void()>& on_end_;
  const Page late_;
  const Page stopping_;
  bool installed_ = false;
  pid_t thread_ = 0;
  std::unique_ptr<char[]> stack_;
  std::array<char, 4096> records_;
  fcgi::ResponseWriter writer_{std::span<char>(records_)};
  std::array<char, 12 * 1024> frames_;
  std::array<char, log::kLateReport> packet_;
};

}  // namespace fpm::worker
