#include "fpm/worker/worker.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "fpm/log/log.hpp"
#include "fpm/log/output_lines.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/socket.hpp"
#include "fpm/worker/life.hpp"
#include "fpm/worker/queue_wait.hpp"
#include "fpm/worker/request_loop.hpp"
#include "fpm/worker/setup.hpp"
#include "fpm/worker/stand_in.hpp"

namespace fpm::worker {

namespace {

/// A request that kept the worker long enough for clients in the queue to give up.
constexpr std::uint64_t kLongRequest = 5'000'000;
/// accept() that returns sooner did not sleep.
constexpr std::uint64_t kNoWait = 20'000;

}  // namespace

void Worker::serve() {
  pen_.update([&](scoreboard::Pen& pen) {
    pen.number(Field::pid, static_cast<std::uint64_t>(::getpid()));
    pen.number(Field::started_ns, scoreboard::realtime_ns());
  });
  while (accept()) {
    while (serve_request()) {
    }
    wire_.close();
  }
  access_log_.flush();
}

/// One request. @return the connection stays open for another.
bool Worker::serve_request() {
  if (!read_headers()) return false;
  const Busy busy;
  route_ = choose_route();
  const handlers::Outcome outcome = run(route_);
  end(outcome);
  finish(outcome);
  return keep_;
}

bool Worker::accept() {
  // Before the stage here, after it in leave_accept: when the master sets the hint anew from the
  // stages in between, it becomes too small, which costs a call. Too large it would lose one.
  pulse_.spare.fetch_add(1, std::memory_order_seq_cst);
  pen_.enter(Stage::accepting, stage_bits());
  if (pulse_.announce.load(std::memory_order_relaxed) != 0 && !announced_) call_master();
  announced_ = true;
  while (may_accept()) {
    look_after_handler();
    if (parking_.has_too_many() && may_take_more()) {
      park();
      continue;
    }
    const std::uint64_t before = scoreboard::monotonic_ns();
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    os::UniqueFd socket(::accept4(start_.listener, reinterpret_cast<sockaddr*>(&peer), &length,
                                  SOCK_CLOEXEC));
    if (!socket) {
      // The queue is non-blocking only while it is served for the last time.
      if ((errno == EAGAIN || errno == EWOULDBLOCK) && !may_take_more()) break;
      accept_failed(errno);
      continue;
    }
    if (!allowed_.allows(peer)) {
      char text[46];
      os::peer_text(peer, text);
      log::in_pool(log::Level::error, pool_.name,
                   "Connection disallowed: IP address '{}' has been dropped.", text);
      continue;
    }
    wire_.open(std::move(socket), peer);
    first_on_connection_ = true;
    began_ns_ = scoreboard::monotonic_ns();
    queued_ = began_ns_ - before < kNoWait;
    // After a request that took its time this client may have waited for long, and have left.
    may_have_waited_ = last_took_ns_ > kLongRequest;
    return true;
  }
  pulse_.spare.fetch_sub(1, std::memory_order_seq_cst);
  parking_.refill();
  return false;
}

/// Enough others wait in accept: sleeps until they are fewer, or a signal asks for something.
void Worker::park() {
  pen_.enter(Stage::accepting, stage_bits() | scoreboard::kParkedBit);
  parking_.enter(start_.slot);
  const Parked parked(parking_, start_.slot);
  parking_.sleep(start_.slot);
  parking_.unpark(start_.slot);
  log_channel_.follow(access_log_);
  pen_.enter(Stage::accepting, stage_bits());
}

/// Wakes the master to look at this pool.
void Worker::call_master() {
  const std::uint64_t one = 1;
  (void)!::write(start_.wakeup, &one, sizeof one);
}

/// This worker waits in accept no more. Whoever takes the last spare place tells the master, if the
/// master or a worker on a kept connection wants to know.
void Worker::leave_accept() {
  const std::int32_t left = pulse_.spare.fetch_sub(1, std::memory_order_seq_cst) - 1;
  parking_.refill();
  if (left < pulse_.threshold.load(std::memory_order_relaxed) &&
      pulse_.armed.load(std::memory_order_seq_cst) != 0 &&
      pulse_.armed.exchange(0, std::memory_order_seq_cst) != 0) {
    call_master();
  }
}

/// This worker has done enough. One that takes long to start is not missed for a moment: it serves
/// on until another one does.
void Worker::retire() {
  if (last_ || retiring_) return;
  if (handler_.starts_slowly()) {
    retiring_ = true;
  } else {
    last_ = true;
  }
}

/// A successor serves in this worker's place.
bool Worker::is_relieved() {
  std::int32_t left = pulse_.relieved.load(std::memory_order_relaxed);
  while (retiring_ && left > 0) {
    if (pulse_.relieved.compare_exchange_weak(left, left - 1)) return true;
  }
  return false;
}

/// Another worker of the pool waits for clients or is in a request.
bool Worker::others_serve() const {
  const auto counts = start_.board.counts();
  return counts.idle + counts.active > 0;
}

/// A signal came: what the handler owns may need something. Not counted as idle meanwhile. A worker
/// whose handler is not able to execute would only answer 503: it comes back when it is able, or
/// nobody else is left to tell clients so.
void Worker::look_after_handler() {
  if (!handler_.looks_after()) return;
  pulse_.spare.fetch_sub(1, std::memory_order_seq_cst);
  parking_.refill();
  pen_.enter(Stage::starting);
  call_master();
  handler_.look_after();
  while (!handler_.able() && may_accept() && others_serve()) {
    ::poll(nullptr, 0, 50);
    handler_.look_after();
  }
  pulse_.spare.fetch_add(1, std::memory_order_seq_cst);
  pen_.enter(Stage::accepting, stage_bits());
}

void Worker::accept_failed(int code) {
  log_channel_.follow(access_log_);
  if (code == EINTR || code == ECONNABORTED || code == EINVAL || finish_asked()) return;
  // EMFILE, ENFILE, ENOBUFS, ENOMEM: nothing that a faster loop would mend.
  log::in_pool(log::Level::error, pool_.name, "accept: {}", os::errno_text(code));
  ::poll(nullptr, 0, 100);
}

Route Worker::choose_route() {
  const bool enough = !last_ && !retiring_ &&
                      lifespan_.is_last(pen_.read(Field::requests), began_ns_);
  if (enough) retire();
  pen_.enter(Stage::info, stage_bits());
  if (enough) call_master();  // for a successor that is there before this worker is missed
  totals_.accepted.fetch_add(1, std::memory_order_relaxed);
  exchange_.start(begin_.id, begin_.role, as_time(began_ns_), begin_.keep_conn);
  access_log_.begin();
  const Route route = worker::choose_route(pool_, exchange_);
  note_start(route);
  return route;
}

void Worker::note_start(Route route) {
  const fcgi::Params& params = exchange_.params();
  const std::string_view length = params.last_non_empty("CONTENT_LENGTH");
  std::array<char, 64> user_buffer;
  pen_.update([&](scoreboard::Pen& pen) {
    pen.number(Field::request_id, begin_.id);
    pen.number(Field::content_length, parse_length(length));
    pen.number(Field::status, 0);
    pen.number(Field::from_door, exchange_.from_door() ? 1 : 0);
    pen.text(scoreboard::kMethod, params.last_non_empty("REQUEST_METHOD"));
    pen.text(scoreboard::kUri, exchange_.uri());
    pen.text(scoreboard::kQuery, params.last_non_empty("QUERY_STRING"));
    pen.text(scoreboard::kUser, user_of(params, user_buffer));
    pen.text(scoreboard::kRequestId, exchange_.request_id());
    // Pages of our own execute nothing.
    const bool executes = route == Route::application;
    pen.text(scoreboard::kScript, executes ? params.last_non_empty("SCRIPT_FILENAME") : "");
    pen.text(scoreboard::kRemote, wire_.peer());
  });
}

handlers::Outcome Worker::run(Route route) {
  pen_.enter(Stage::executing, stage_bits());
  if (route != Route::application) exchange_.executes_nothing();
  switch (route) {
    case Route::ping:
      answer_ping(pool_, handler_.page_header(), exchange_);
      return {};
    case Route::status:
      status_page_.answer(handler_.page_header(), page_, exchange_);
      return {};
    case Route::application:
      break;
  }
  measure_wait();
  if (is_stale()) {
    exchange_.answer(503, "The service is busy, please try again in a moment.");
    return {.end = handlers::End::rejected};
  }
  if (is_abandoned()) return {.end = handlers::End::abort};
  const handlers::Outcome outcome = execute();
  if (!exchange_.begun() && outcome.end != handlers::End::abort) {
    exchange_.answer(502, "The application gave no answer.");
  }
  return outcome;
}

handlers::Outcome Worker::execute() {
  const TimeLimit::Watch watch(time_limit_);
  return handler_.handle(exchange_);
}

/// How long the request waited before this worker took it, as far as that is known.
void Worker::measure_wait() {
  waited_ = queue_wait(exchange_.params(), scoreboard::realtime_ns());
  if (waited_ || !first_on_connection_ || !queued_ || !wire_.is_tcp()) return;
  if (sampled_++ % 64 == 0) waited_ = tcp_wait(wire_.fd());
}

/// The request waited longer than request_queue_timeout, by its front's stamp.
bool Worker::is_stale() {
  if (pool_.request_queue_timeout.count() == 0) return false;
  if (!waited_ || *waited_ <= pool_.request_queue_timeout) return false;
  exchange_.log(log::Level::notice, "waited too long in the queue, answered 503 and not run");
  return true;
}

/// The client went away while its request waited in the queue.
bool Worker::is_abandoned() {
  if (!pool_.request_drop_abandoned || !may_have_waited_) return false;
  exchange_.pump();
  if (!exchange_.aborted()) return false;
  exchange_.log(log::Level::notice, "its client has gone while it waited, not run");
  return true;
}

bool Worker::may_keep(const handlers::Outcome& outcome) const {
  return begin_.keep_conn && !outcome.truncated && !outcome.unfinished &&
         outcome.end != handlers::End::abort && !wire_.failed() && wire_.parser().input_ended() &&
         !reading_was_shut() &&
         may_take_more() && !(retiring_ && pulse_.relieved.load(std::memory_order_relaxed) > 0) &&
         start_.board.anyone_accepts(start_.slot);
}

void Worker::end(const handlers::Outcome& outcome) {
  pen_.enter(Stage::ending, stage_bits());
  keep_ = false;
  if (exchange_.finished()) {
    exchange_.end_output();
    return wire_.parser().request_done();
  }
  const bool hidden = outcome.truncated && outcome.app_status == 0;
  exchange_.end(static_cast<std::uint32_t>(hidden ? 1 : outcome.app_status));
  exchange_.discard_body();
  const bool keep = may_keep(outcome);
  if (!keep) wire_.send_last(begin_.keep_conn && wire_.parser().input_ended());
  const bool delivered = exchange_.send_all();
  keep_ = keep && delivered;
  if (!delivered) wire_.drop();
  wire_.parser().request_done();
  // The client must not wait for what follows: the connection ends before the log is written.
  if (!keep_ && wire_.is_open()) wire_.end();
}

/// What the application wrote to the worker's own stderr is not joined with what the next request does.
void Worker::end_own_output() {
  const bool caught = pool_.catch_workers_output || !pool_.output_log.empty();
  if (!caught || !handler_.runs_inside() || start_.channel < 0) return;  // --single: nobody's pipe
  (void)!::write(STDERR_FILENO, log::kEndOfRequest.data(), log::kEndOfRequest.size());
}

void Worker::finish(const handlers::Outcome& outcome) {
  pen_.enter(Stage::finished, stage_bits());
  const std::uint64_t now = scoreboard::monotonic_ns();
  if (outcome.unfinished) {
    handler_.finish(exchange_);
    exchange_.end_output();
  }
  if (route_ == Route::application) end_own_output();
  if (outcome.end == handlers::End::abort) totals_.aborted.fetch_add(1);
  if (outcome.end == handlers::End::rejected) totals_.rejected[0].fetch_add(1);
  log_channel_.follow(access_log_);
  access_log_.write(exchange_, wire_.peer(), outcome.end, now - began_ns_);
  if (route_ == Route::application) record(now);
  const auto memory = own_memory_.look(now);
  pen_.update([&](scoreboard::Pen& pen) {
    pen.number(Field::requests, pen.read(Field::requests) + 1);
    pen.number(Field::duration_ns, now - began_ns_);
    pen.number(Field::cpu_permyriad, cpu_permyriad(exchange_.usage(), now - began_ns_));
    pen.number(Field::memory_bytes, exchange_.usage().peak_bytes);
    if (memory) pen.number(Field::private_bytes, *memory + handler_.memory());
  });
  first_on_connection_ = false;
  // Clients may have waited in the queue for all that this worker did.
  last_took_ns_ = (outcome.unfinished ? scoreboard::monotonic_ns() : now) - began_ns_;
  if (!last_ && !retiring_ && lifespan_.grown_too_large(now, &handler_)) {
    retire();
    log::in_pool(log::Level::notice, pool_.name, "child {} is larger than pm.max_memory, it ends",
                 ::getpid());
    pen_.enter(Stage::finished, stage_bits());
    call_master();
  }
  // On a kept connection not before the next answer, with which the connection ends.
  if (!keep_ && is_relieved()) last_ = true;
}

/// Durations into the histograms of the pool: those of the application, not of pages that the worker answers
/// itself.
void Worker::record(std::uint64_t now_ns) {
  totals_.duration.record(std::chrono::nanoseconds(now_ns - began_ns_));
  if (waited_) totals_.queue_wait.record(*waited_);
}

std::unique_ptr<handlers::Handler> make_handler(const master::WorkerStart& start) {
  auto handler = start.identity != nullptr ? handlers::make_handler(start.pool, *start.identity)
                                           : handlers::make_handler(start.pool);
  if (handler == nullptr) {
    give_up(start.channel, os::Error(ENOSYS, "this build has no such handler"));
  }
  return handler;
}

namespace {

/// Set-up of a process that loads its application for itself alone.
os::Result<void> load_alone(const master::WorkerStart& start, handlers::Handler& handler) {
  if (!handler.preloads()) {
    if (auto done = set_up(start); !done) return done;
    return handler.load();
  }
  if (auto done = set_up_to_load(start, SIGQUIT); !done) return done;
  if (auto done = handler.load(); !done) return done;
  if (auto done = enter_place(start); !done) return done;
  return set_up_loaded(start);
}

}  // namespace

void run_worker(const master::WorkerStart& start) {
  log::become_worker(log::WorkerLog::direct, start.pool.name);
  install_signals(start.listener, start.board.pulse().draining);
  // Without a master the end of a terminal's ^C and TERM goes through the loop, to on_end.
  std::optional<Busy> alone;
  if (start.on_end) {
    alone.emplace();
    interrupt_terminates();
  }
  // On the heap and never deleted: nothing here is destroyed, the process just ends.
  handlers::Handler* const handler =
      start.stand_in ? new StandIn : make_handler(start).release();
  if (auto done = load_alone(start, *handler); !done) give_up(start.channel, done.error());
  serve(start, *handler);
}

void serve(const master::WorkerStart& start, handlers::Handler& handler) {
  handler.set_stop_asked(finish_asked);
  handler.set_hurry_asked(terminate_asked);
  std::optional<Busy> gently;
  if (handler.needs_stop()) gently.emplace();
  if (auto done = handler.start(); !done) {
    if (finish_asked()) os::exit_now(0);  // no failure: nobody needs it any more
    // Beside an old generation, which goes on, this one fails. Else clients wait: they get an answer, and
    // the handler tries again.
    const auto others = start.board.counts();
    const bool others_serve =
        start.board.pulse().announce.load() == 2 || others.idle + others.active > 0;
    if (others_serve || !handler.starts_slowly()) give_up(start.channel, done.error());
  }
  auto* worker = new Worker(start, handler);
  if (auto done = worker->prepare(); !done) give_up(start.channel, done.error());
  worker->serve();
  handler.stop();
  if (start.on_end) start.on_end();
  os::exit_now(0);
}

}  // namespace fpm::worker
