// How a pool holds its workers to the time limits of requests. Workers end their requests by
// themselves; what follows here is for those that do not.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/log/slow_log.hpp"
#include "fpm/master/pool.hpp"
#include "fpm/os/child.hpp"

namespace fpm::master {

using scoreboard::Stage;
using std::chrono::milliseconds;

namespace {

/// How soon it is looked at again whether a worker stands still, and when that no longer counts: in
/// a system call that no signal ends it runs none of its code either.
constexpr milliseconds kStopAgain{1};
constexpr milliseconds kStopPatience{20};
/// How soon connections that were answered here are looked at again.
constexpr milliseconds kFarewellAgain{50};

bool runs(Stage stage) { return stage >= Stage::info && stage <= Stage::finished; }

}  // namespace

std::optional<Clock::time_point> Pool::check_deadlines() {
  const auto now = Clock::now();
  std::erase_if(farewells_, [&](Farewell& farewell) { return farewell.over(now); });
  const policy::DeadlinePlan plan =
      policy::plan_deadlines(config(), moments(), scoreboard::monotonic_ns());
  for (const policy::Overdue& overdue : plan.overdue) {
    Worker& worker = *slots_[static_cast<std::size_t>(overdue.slot)];
    switch (overdue.action) {
      case policy::DeadlineAction::wake:
        signal(worker, wake_signal());
        break;
      case policy::DeadlineAction::kill:
        log::in_pool(log::Level::warning, config().name,
                     "child {} did not stop reading a request after {} ms, it is killed", worker.pid,
                     overdue.running.count());
        worker.overdue = true;
        signal(worker, SIGKILL);
        break;
      case policy::DeadlineAction::take_over:
        hold(worker, overdue.request_started_ns, now);
        break;
      case policy::DeadlineAction::tell_slow:
      case policy::DeadlineAction::tell_over:
        ask(worker, overdue);
        break;
      case policy::DeadlineAction::slow_here:
        tell_slow_here(worker, overdue.slot, overdue.request_started_ns);
        break;
      case policy::DeadlineAction::end:
        read_reports(worker);
        os::kill_groups_of(worker.pid);
        os::kill_with_group(worker.pid);
        worker.overdue = true;
        signal(worker, SIGKILL);
        break;
    }
  }
  bool any_held = false;
  for (int slot = 0; slot < board_.slots(); ++slot) {
    auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (worker && worker->held) any_held = !take_over(*worker, slot, now) || any_held;
  }
  if (any_held) return now + kStopAgain;
  if (!farewells_.empty()) return now + kFarewellAgain;
  if (!plan.next_check_ns || workers_ == 0) return std::nullopt;
  return Clock::time_point(std::chrono::nanoseconds(*plan.next_check_ns));
}

/// Of workers that are not being ended already.
std::vector<scoreboard::Moment> Pool::moments() {
  std::vector<scoreboard::Moment> moments;
  moments.reserve(slots_.size());
  for (int slot = 0; slot < board_.slots(); ++slot) {
    auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (!worker || worker->overdue || worker->held) continue;
    if (worker->if_slow.request != 0 || worker->to_end.request != 0) read_reports(*worker);
    scoreboard::Moment moment = board_.moment(slot);
    const std::uint64_t request = moment.request_started_ns;
    if (request != 0) {
      if (worker->if_slow.request == request) moment.asked_if_slow_ns = worker->if_slow.at_ns;
      if (worker->to_end.request == request) moment.asked_to_end_ns = worker->to_end.at_ns;
      moment.slow_told = moment.slow_told || worker->slow_here == request;
    }
    moments.push_back(moment);
  }
  return moments;
}

/// A worker whose code runs inside it looks at the time of its request, once for each reason: a signal
/// that it blocks would be queued again and again.
void Pool::ask(Worker& worker, const policy::Overdue& overdue) {
  const bool slow = overdue.action == policy::DeadlineAction::tell_slow;
  (slow ? worker.if_slow : worker.to_end) = {overdue.request_started_ns,
                                             scoreboard::monotonic_ns()};
  signal(worker, time_signal());
}

/// What the worker has told through its channel; a few packets at most, since it may send any number.
void Pool::read_reports(Worker& worker) {
  std::array<char, log::kLateReport> packet;
  for (int i = 0; i < 4; ++i) {
    const ssize_t got =
        ::recv(worker.channel.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    if (got <= 0) return;
    const auto size = static_cast<std::size_t>(got);
    if (const auto report = log::read_late_report({packet.data(), size})) {
      tell_late(worker, *report);
      continue;
    }
    SetupFailure failure;
    const std::uint32_t magic = failure.magic;
    if (size != sizeof failure) continue;
    std::memcpy(&failure, packet.data(), sizeof failure);
    failure.step[sizeof failure.step - 1] = '\0';
    if (failure.magic == magic) worker.failure = failure;
  }
}

namespace {

/// The lines of a report, made printable.
std::vector<std::string> frames_of(std::string_view lines, std::size_t most) {
  std::vector<std::string> frames;
  while (!lines.empty() && frames.size() < most) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    if (!line.empty()) frames.push_back(log::printable(line, 1024));
  }
  return frames;
}

std::string_view told_client(log::LateReport::Answer answer) {
  switch (answer) {
    case log::LateReport::Answer::given: return "its client got 504";
    case log::LateReport::Answer::refused: return "its client did not take the 504";
    case log::LateReport::Answer::begun: return "its answer was begun, its client gets no more";
    case log::LateReport::Answer::whole: break;
  }
  return "its client has the whole answer";
}

}  // namespace

void Pool::tell_late(Worker& worker, const log::LateReport& report) {
  const bool slow = report.lateness == log::Lateness::slow;
  // It blocked the signal for a while, and has been told of meanwhile.
  if (slow && std::exchange(worker.slow_here, 0) != 0) return;
  log::LateRequest request = report.request;
  request.pid = worker.pid;
  log::write_about(log::Level::warning, {.pool = config().name, .request_id = report.request_id},
                   log::late_line(request, report.lateness));
  if (slow) {
    totals().slow.fetch_add(1, std::memory_order_relaxed);
    write_slow(report, worker.pid);
    return;
  }
  totals().timed_out.fetch_add(1, std::memory_order_relaxed);
  if (report.answer == log::LateReport::Answer::given) worker.given_status = 504;
  std::string where;
  for (const std::string& frame : frames_of(report.frames, 8)) {
    where += where.empty() ? "it was in " : " < ";
    where += frame;
  }
  if (where.empty()) where = log::printable(os::whereabouts(worker.pid));
  log::in_pool(log::Level::warning, config().name, "child {} is ended with that request, {}: {}",
               worker.pid, told_client(report.answer), where);
}

/// A slow request whose worker does not hear signals, as the slot and /proc show it.
void Pool::tell_slow_here(Worker& worker, int slot, std::uint64_t request) {
  const auto seen = board_.worker(slot, scoreboard::monotonic_ns());
  if (seen) {
    tell_late(worker, {.lateness = log::Lateness::slow,
                       .request = {.pid = worker.pid,
                                   .script = seen->script,
                                   .method = seen->method,
                                   .uri = seen->uri,
                                   .query = seen->query,
                                   .taken = seen->request_duration},
                       .request_id = seen->request_id});
  }
  worker.slow_here = request;
}

void Pool::write_slow(const log::LateReport& report, pid_t pid) {
  if (!slow_log_) {
    auto copy = os::duplicate(parts_.slow_log.get());
    if (!copy) return;
    slow_log_ = std::make_unique<log::SlowLog>(copy->release(), config().request_slowlog_trace_depth);
  }
  auto frames = frames_of(report.frames, 1000);
  if (frames.empty()) {
    frames.push_back("[0x0000000000000000] " + log::printable(os::whereabouts(pid)));
  }
  slow_log_->write({.pool = config().name,
                    .pid = pid,
                    .script = report.request.script,
                    .frames = frames});
}

/// Stops a worker, so that it can neither end the request nor answer it while that is decided upon.
void Pool::hold(Worker& worker, std::uint64_t request_started_ns, Clock::time_point now) {
  // Before: afterwards it is stuck in the stop.
  const bool ours = os::has_stopped(worker.pid).has_value();
  worker.held = Held{request_started_ns, now, ours ? os::whereabouts(worker.pid) : std::string()};
  signal(worker, SIGSTOP);
}

/// Answers in the place of a worker that stands still, and kills it, if it is still in the request
/// that was overdue. @return it is done; else call again soon.
bool Pool::take_over(Worker& worker, int slot, Clock::time_point now) {
  const Held held = *worker.held;
  const auto stopped = os::has_stopped(worker.pid);
  if (stopped && !*stopped && now - held.since < kStopPatience) return false;
  worker.held.reset();
  const scoreboard::Moment moment = board_.moment(slot);
  const bool over = !runs(moment.stage) || moment.request_started_ns != held.request_started_ns;
  if (over || moment.expired_ns != 0) {
    signal(worker, SIGCONT);  // it has come to the end just before it was stopped
    return true;
  }
  std::optional<Farewell> farewell;
  std::uint16_t id = 0;
  std::string outcome = "no answer was possible";
  if (stopped) {
    outcome = reach_client(worker, slot, farewell, id);
    os::kill_groups_of(worker.pid);
    os::kill_with_group(worker.pid);
  }
  worker.overdue = true;
  signal(worker, SIGKILL);
  if (farewell) {
    const bool taken = farewell->answer(id);
    outcome = taken ? "its client got 504 from the master" : "its client did not take the 504";
    if (taken) worker.given_status = 504;
    farewells_.push_back(std::move(*farewell));
  }
  totals().timed_out.fetch_add(1, std::memory_order_relaxed);
  tell_overdue(worker, slot, held.where, outcome);
  return true;
}

/// The client's connection of a worker that stands still. @return why there is none.
std::string Pool::reach_client(const Worker& worker, int slot, std::optional<Farewell>& farewell,
                               std::uint16_t& id) {
  const auto client = board_.client(slot);
  if (!client) return "whether its answer was begun is not known, its client gets no more";
  if (client->answer_begun) return "its answer was begun, its client gets no more";
  if (client->request_id == 0 || client->request_id > 0xffff || client->connection > 0x7fffffff) {
    return "its client is not known";
  }
  auto connection = os::take_descriptor(worker.pid, static_cast<int>(client->connection));
  auto found = connection ? Farewell::to(std::move(*connection), Clock::now())
                          : os::Result<Farewell>(connection.error());
  if (!found) {
    return fmt::format("its client gets a reset instead of 504 ({})", found.error().text());
  }
  id = static_cast<std::uint16_t>(client->request_id);
  farewell.emplace(std::move(*found));
  return {};
}

void Pool::tell_overdue(const Worker& worker, int slot, const std::string& where,
                        const std::string& outcome) {
  const auto seen = board_.worker(slot, scoreboard::monotonic_ns());
  log::LateRequest request{.pid = worker.pid};
  if (seen) {
    request = {.pid = worker.pid,
               .script = seen->script,
               .method = seen->method,
               .uri = seen->uri,
               .query = seen->query,
               .taken = seen->request_duration};
  }
  log::in_pool(log::Level::warning, config().name, "{}",
               log::late_line(request, log::Lateness::overdue));
  log::in_pool(log::Level::warning, config().name,
               "child {} did not end that request by itself and is killed, {}: {}", worker.pid,
               outcome, log::printable(where));
}

}  // namespace fpm::master
