// A worker's request loop. For the sources of this room that run it: worker.cpp has the stages in
// their order, reading.cpp how a request gets in.
#pragma once

#include <string>

#include "fpm/handlers/handler.hpp"
#include "fpm/master/worker_entry.hpp"
#include "fpm/os/allowed_clients.hpp"
#include "fpm/worker/access_log.hpp"
#include "fpm/worker/builtin.hpp"
#include "fpm/worker/exchange.hpp"
#include "fpm/worker/late_requests.hpp"
#include "fpm/worker/lifespan.hpp"
#include "fpm/worker/log_channel.hpp"
#include "fpm/worker/signals.hpp"
#include "fpm/worker/time_limit.hpp"
#include "fpm/worker/wire.hpp"

namespace fpm::worker {

using scoreboard::Field;
using scoreboard::Stage;
using std::chrono::steady_clock;

inline steady_clock::time_point as_time(std::uint64_t monotonic_ns) {
  return steady_clock::time_point(std::chrono::nanoseconds(monotonic_ns));
}

/// The state of the one worker of this process, and its request loop.
class Worker {
 public:
  Worker(const master::WorkerStart& start, handlers::Handler& handler)
      : start_(start),
        pool_(start.pool),
        pulse_(start.board.pulse()),
        totals_(start.totals),
        pen_(start.board.pen(start.slot)),
        parking_(start.board.parking()),
        handler_(handler),
        allowed_(start.pool.listen_allowed_clients),
        exchange_(start.pool, wire_, pen_, &late_requests_),
        access_log_(start.pool, start.access_log, start.master_pid),
        slow_log_(start.slow_log, start.pool.request_slowlog_trace_depth),
        log_channel_(start.channel, pulse_.log_generation, start.log_generation, &slow_log_),
        late_requests_(start.pool, totals_, log_channel_, access_log_, slow_log_),
        status_page_(start.pool, start.board, start.totals, start.listener),
        time_limit_(start.pool, handler, exchange_, pen_, start.channel, start.wakeup, start.on_end),
        lifespan_(start.pool, scoreboard::monotonic_ns(),
                  scoreboard::realtime_ns() * 6364136223846793005U +
                      static_cast<std::uint64_t>(::getpid()) * 1442695040888963407U) {
    exchange_.pass_data(handler.takes_data());
    exchange_.use_status([this] {
      std::string page;
      status_page_.render(status::Format::json, true, false, page);
      return page;
    });
  }

  os::Result<void> prepare() {
    return handler_.runs_inside() ? time_limit_.install() : os::Result<void>();
  }
  void serve();
  handlers::Handler& handler() { return handler_; }

 private:
  // The stages; the first line of each enters it, nothing else writes it.
  bool accept();
  bool wait_for_next_request();
  bool read_headers();
  Route choose_route();
  handlers::Outcome run(Route route);
  void end(const handlers::Outcome& outcome);
  void finish(const handlers::Outcome& outcome);

  scoreboard::Draining draining() const {
    return static_cast<scoreboard::Draining>(pulse_.draining.load(std::memory_order_seq_cst));
  }
  /// Nothing asks this worker to go, and it has not done enough.
  bool may_take_more() const {
    return !last_ && !finish_asked() && draining() == scoreboard::Draining::no;
  }
  /// Or it is to serve what waits in the queue before it goes.
  bool may_accept() const {
    return may_take_more() ||
           (!last_ && !terminate_asked() && draining() == scoreboard::Draining::serve_queue);
  }
  std::uint8_t stage_bits() const {
    const unsigned last = last_ ? scoreboard::kLastBit : 0U;
    const unsigned retiring = retiring_ ? scoreboard::kRetiringBit : 0U;
    return static_cast<std::uint8_t>(last | retiring);
  }
  handlers::Outcome execute();
  bool is_stale();
  void measure_wait();
  void record(std::uint64_t now_ns);
  void end_own_output();
  bool is_abandoned();
  void call_master();
  void retire();
  bool is_relieved();
  void look_after_handler();
  bool others_serve() const;
  bool may_keep(const handlers::Outcome& outcome) const;
  bool serve_request();
  bool end_early(const fcgi::Event& begin, fcgi::ProtocolStatus status);
  bool receive_more(std::uint64_t deadline_ns);
  bool refuse(const fcgi::Event& bad);
  void note_start(Route route);
  void park();
  void leave_accept();
  void accept_failed(int code);

  const master::WorkerStart& start_;
  const config::Pool& pool_;
  scoreboard::Pulse& pulse_;
  scoreboard::Totals& totals_;
  scoreboard::Pen pen_;
  scoreboard::Parking parking_;
  handlers::Handler& handler_;
  os::AllowedClients allowed_;
  Wire wire_;
  Exchange exchange_;
  AccessLog access_log_;
  log::SlowLog slow_log_;
  LogChannel log_channel_;
  LateRequests late_requests_;
  StatusPage status_page_;
  TimeLimit time_limit_;
  Lifespan lifespan_;
  std::string page_;  // of the status page

  std::uint64_t began_ns_ = 0;  // the request's first byte, CLOCK_MONOTONIC
  Route route_ = Route::application;
  fcgi::Event begin_;           // of the request at hand
  bool keep_ = false;           // the connection stays open after this request
  bool last_ = false;           // this worker ends after this request
  bool retiring_ = false;       // it ends when its successor serves
  bool may_have_waited_ = false;  // the connection was in the queue while this worker was busy
  std::uint64_t last_took_ns_ = 0;
  std::optional<std::chrono::nanoseconds> waited_;  // of the request at hand, in the front's queue
  bool queued_ = false;            // accept had the connection at once
  unsigned sampled_ = 0;
  OwnMemory own_memory_;
  bool first_on_connection_ = true;
  bool announced_ = false;  // accept was reached
};

}  // namespace fpm::worker
