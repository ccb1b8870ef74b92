// What a pool says of its workers, in the log and in the access log.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/log/lost_request.hpp"
#include "fpm/log/new_logs.hpp"
#include "fpm/master/pool.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/policy/exits.hpp"

namespace fpm::master {

using scoreboard::Stage;
using std::chrono::duration_cast;

/// php-fpm's line, once each time the limit is reached, and its counter.
void Pool::tell_limit(bool at_limit) {
  if (at_limit && !at_limit_) {
    totals().max_children_reached.fetch_add(1, std::memory_order_relaxed);
    log::in_pool(log::Level::warning, config().name,
                 "server reached pm.max_children setting ({}), consider raising it",
                 config().max_children);
  }
  at_limit_ = at_limit;
}

/// What the worker took with it, read from its slot before that is given away.
std::string Pool::request_of(int slot) const {
  // The counter may be odd: the worker ended while it wrote. What it wrote is then not known.
  const auto seen = board_.worker(slot, scoreboard::monotonic_ns());
  if (!seen || !scoreboard::is_active(seen->stage)) return {};
  if (seen->stage == Stage::reading_headers) return ", while it read a request";
  return fmt::format(", with the request \"{} {}{}{}\" that ran for {:.3f} s",
                     log::printable(seen->method, 32), log::printable(seen->uri),
                     seen->query.empty() ? "" : "?", log::printable(seen->query, 256),
                     static_cast<double>(seen->request_duration.count()) / 1e6);
}

/// The access log's line of a request that its worker could not write any more.
void Pool::log_lost_request(int slot, const os::Exit& exit) {
  const auto seen = board_.worker(slot, scoreboard::monotonic_ns());
  // Before info it is no request yet; in stage finished the client has its answer.
  if (!seen || seen->stage < Stage::info || seen->stage >= Stage::finished) return;
  totals().killed.fetch_add(1, std::memory_order_relaxed);
  // A door writes its own line, whatever became of the worker.
  if (!parts_.access_log || seen->from_door || config().listen.hidden) return;
  const Worker& worker = *slots_[static_cast<std::size_t>(slot)];
  log::write_lost_request(parts_.access_log.get(), access_format_,
                          {.pool = config().name,
                           .remote = seen->remote == "-" ? "" : seen->remote,
                           .method = seen->method,
                           .uri = seen->uri,
                           .query = seen->query,
                           .script = seen->script,
                           .user = seen->user,
                           .request_id = seen->request_id,
                           .content_length = seen->content_length,
                           .status = worker.given_status != 0 ? worker.given_status : seen->status,
                           .pid = exit.pid,
                           .master_pid = ::getpid(),
                           .duration = seen->request_duration,
                           .end = worker.overdue ? log::RequestEnd::timeout
                                                 : log::RequestEnd::worker_died});
}

bool Pool::reopen_logs() {
  bool all = true;
  if (parts_.access_log) {
    if (auto opened = log::open_file(config().access_log)) {
      parts_.access_log = std::move(*opened);
    } else {
      log::in_pool(log::Level::error, config().name, "failed to reopen access log ({}): {}",
                   config().access_log, opened.error().text());
      all = false;
    }
  }
  if (parts_.slow_log) {
    if (auto opened = log::open_file(config().slowlog)) {
      parts_.slow_log = std::move(*opened);
      slow_log_.reset();
    } else {
      log::in_pool(log::Level::error, config().name, "failed to reopen slow log ({}): {}",
                   config().slowlog, opened.error().text());
      all = false;
    }
  }
  if (board_) pulse().log_generation.fetch_add(1, std::memory_order_release);
  template_has_new_logs_ = false;
  for (auto& worker : slots_) {
    if (worker) worker->has_new_logs = false;
  }
  return all;
}

bool Pool::send_new_logs() {
  bool all = send_new_logs_to_template();
  for (int slot = 0; slot < board_.slots(); ++slot) {
    auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (!worker) continue;
    // One that does not listen to signals yet would be ended by them: later.
    if (worker->order != 0 || board_.stage(slot) == Stage::starting) {
      all = false;
      continue;
    }
    if (!worker->has_new_logs) worker->has_new_logs = send_new_logs(*worker);
    if (worker->has_new_logs && os::all_was_read(worker->channel.get())) continue;
    // In a request it looks before its next line. Elsewhere it may be asleep in accept or recv, or
    // about to be: it is woken until it has looked.
    if (board_.stage(slot) == Stage::executing) continue;
    signal(*worker, SIGUSR1);
    all = false;
  }
  return all;
}

/// @return they are on their way, or nobody is there to read them.
bool Pool::send_new_logs(const Worker& worker) {
  const auto sent = log::send_new_logs(worker.channel.get(), pulse().log_generation.load(),
                                       log::descriptor(), parts_.access_log.get(),
                                       log::output_descriptor(config().name),
                                       parts_.slow_log.get());
  if (sent) return *sent;
  const int code = sent.error().code;  // any other refusal passes
  return code == EPIPE || code == ECONNRESET || code == ENOTCONN;
}

void Pool::count_exit(int slot, const os::Exit& exit, bool was_ready) {
  using scoreboard::ExitCause;
  const Worker& worker = *slots_[static_cast<std::size_t>(slot)];
  ExitCause cause = exit.code() == 0 ? ExitCause::done : ExitCause::crash;
  if (worker.overdue) {
    cause = ExitCause::timeout;
  } else if (worker.asked) {
    cause = *worker.asked;
  } else if (!was_ready) {
    cause = ExitCause::setup;
  }
  totals().worker_exits[static_cast<std::size_t>(cause)].fetch_add(1, std::memory_order_relaxed);
}

void Pool::tell_end(const Worker& worker, int slot, const os::Exit& exit, Clock::time_point now) {
  if (worker.failure) {
    if (policy::Backoff next = backoff_; (void)next.failed(), next.worth_a_line()) {
      log::in_pool(log::Level::error, config().name, "child {} failed to initialize: {}", exit.pid,
                   os::Error(worker.failure->code, log::printable(worker.failure->step)).text());
    }
    return;
  }
  const Stage stage = board_.stage(slot);
  const policy::ExitVerdict verdict = policy::judge_exit({.signal = exit.signal(),
                                                          .code = exit.code(),
                                                          .was_ready = stage != Stage::starting,
                                                          .asked = worker.asked.has_value()});
  const std::string how =
      exit.signaled() ? fmt::format("on signal {} ({}{})", exit.signal(),
                                    os::signal_name(exit.signal()),
                                    exit.dumped_core() ? " - core dumped" : "")
                      : fmt::format("with code {}", exit.code());
  const double alive =
      static_cast<double>(duration_cast<std::chrono::microseconds>(now - worker.started).count()) /
      1e6;
  log::in_pool(verdict.level, config().name, "child {} exited {} after {:.6f} seconds from start{}",
               exit.pid, how, alive, request_of(slot));
}

}  // namespace fpm::master
