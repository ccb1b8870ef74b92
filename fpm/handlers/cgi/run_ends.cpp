// How a run ends: by itself, by its time, by its client, badly.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fpm/handlers/cgi/run.hpp"
#include "fpm/handlers/cgi/say.hpp"

namespace fpm::handlers::cgi {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// For a process to go after KILL; longer only where the kernel holds it (a dead file server).
constexpr milliseconds kPatience{1000};
// From TERM to KILL when the worker itself has to end: the master kills it a second after its TERM.
constexpr milliseconds kStopGrace{300};
// How long nobody looks at what a script prints while it goes.
constexpr milliseconds kSlice{20};

std::chrono::microseconds duration_of(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

double seconds_since(Clock::time_point moment) {
  return std::chrono::duration<double>(Clock::now() - moment).count();
}

}  // namespace

Run::~Run() {
  if (pid_ > 0) os::end_group(pid_, milliseconds(0), kPatience);
}

// The script's own process has ended. It is reaped now, for its status: its number stays taken
// while its group has a member, so that TERM and KILL to the group find nobody else.
Outcome Run::finish() {
  const bool kill_others = pool_.cgi_background == config::Background::kill;
  if (kill_others) terminate();
  const os::Ended ended = os::reap_child(pid_).value_or(os::Ended{});
  take_usage(ended);
  read_last_errors();
  const bool track = pool_.request_terminate_timeout_track_finished &&
                     pool_.request_terminate_timeout.count() > 0;
  Outcome outcome{End::ok, ended.code(), false};
  if (discard_) {
    outcome.end = End::abort;
  } else if (header_.state() != HeaderParser::State::complete) {
    outcome = no_header(ended);
  } else if (ended.by_signal()) {
    say(exchange_, log::Level::warning,
        fmt::format("script {} (pid {}) {} in the middle of its answer", path_, pid_,
                    ended.text()));
    outcome = {End::failed, ended.code(), true};
  }
  outcome.unfinished = (kill_others || track) && os::group_exists(pid_);
  if (!outcome.unfinished) pid_ = -1;
  return outcome;
}

Outcome Run::client_gone() {
  terminate();
  return {End::abort, 0, exchange_.begun(), true};
}

Outcome Run::timed_out() {
  const std::string where = ended_ ? "its client does not take the answer" : os::whereabouts(pid_);
  terminate();
  const std::string script = fmt::format("script {} (pid {})", path_, pid_);
  if (exchange_.deadline() == Clock::time_point::min()) {
    say(exchange_, log::Level::warning,
        fmt::format("{} had to stop with its worker after {:.3f} s: {}", script,
                    seconds_since(since_), where));
  } else {
    exchange_.tell_overdue(visible(fmt::format("{} is terminated: {}", script, where)));
  }
  const bool begun = exchange_.begun();
  if (!begun) exchange_.answer(504, "The application took too long to answer.");
  return {End::timeout, 0, begun, true};
}

Outcome Run::body_missing() {
  const double stood = seconds_since(body_moved_);
  terminate();
  say(exchange_, log::Level::warning,
      fmt::format("its client sent nothing of the rest of the body for {:.3f} s, script {} (pid {}) "
                  "is terminated",
                  stood, path_, pid_));
  const bool begun = exchange_.begun();
  if (!begun) exchange_.answer(408, "The request was not sent in time.");
  return {End::timeout, 0, begun, true};
}

Outcome Run::malformed() {
  terminate();
  say(exchange_, log::Level::error,
      fmt::format("script {} (pid {}) gave no proper header: {}", path_, pid_, header_.problem()));
  exchange_.answer(502, "The application did not give a proper answer.");
  return {End::failed, 0, false, true};
}

Outcome Run::no_header(const os::Ended& ended) {
  say(exchange_, log::Level::error,
      fmt::format("script {} (pid {}) {} {}", path_, ended.pid, ended.text(),
                  header_.begun() ? "before its header was complete" : "without an answer"));
  exchange_.answer(502, "The application ended without an answer.");
  return {End::failed, ended.code(), false};
}

void Run::tell_slow() {
  std::vector<std::string> frames;
  if (ended_) {
    frames.push_back("[0x0000000000000000] its client does not take the answer");
  } else {
    for (const os::Place& place : os::places_of(pid_)) {
      // No stack, but a line that whoever reads php-fpm's slow logs takes for a frame.
      frames.push_back(visible(fmt::format("[0x0000000000000000] pid {} ({}) {}: {}", place.pid,
                                           place.name, place.waits, place.command)));
    }
    std::reverse(frames.begin(), frames.end());
  }
  exchange_.tell_slow(frames);
}

// --- The end of the process group ---------------------------------------------------------------

// TERM to the whole group. Nobody reads on: a script that writes while it cleans up gets EPIPE
// instead of waiting for us. What it says before the answer goes to the front, too.
void Run::terminate() {
  (void)os::send_group_signal(pid_, SIGTERM);
  terminated_ = Clock::now();
  in_.reset();
  out_.reset();
  for (int reads = 0; err_ && reads < 16 && waiting_in(err_.get()) > 0; ++reads) read_errors();
}

void Run::read_last_errors() {
  for (int reads = 0; err_ && reads < 16 && waiting_in(err_.get()) > 0; ++reads) read_errors();
  err_.reset();
  error_lines_.end();
}

// Waits until no process of the group is left, at most until the moment that `limit` gives each
// time it is asked. @return none is left.
template <class Limit>
bool Run::group_gone_by(Limit limit) {
  for (;;) {
    const auto until = limit();
    const os::GroupEnd end = os::wait_for_group(pid_, std::min(until, Clock::now() + kSlice));
    if (end.leader) take_usage(*end.leader);
    while (err_ && waiting_in(err_.get()) > 0) read_errors();
    if (end.gone || Clock::now() >= limit()) return end.gone;
  }
}

void Run::conclude() {
  answered_ = true;
  const bool stay = !terminated_;
  bool gone = stay && group_gone_by([this] { return exchange_.deadline(); });
  if (stay && !gone) {
    exchange_.tell_overdue(visible(
        fmt::format("what script {} left in the background is terminated", path_)));
    terminate();
  }
  gone = gone || group_gone_by([this] {
           const bool stopping = exchange_.deadline() == Clock::time_point::min();
           const milliseconds grace = pool_.request_terminate_grace;
           return *terminated_ + (stopping ? std::min(grace, kStopGrace) : grace);
         });
  if (!gone) {
    (void)os::send_group_signal(pid_, SIGKILL);
    const auto until = Clock::now() + kPatience;
    gone = group_gone_by([until] { return until; });
  }
  if (!gone) {
    say(exchange_, log::Level::error,
        fmt::format("process group {} of script {} does not end: {}", pid_, path_,
                    os::whereabouts(pid_)));
  }
  if (err_) read_last_errors();
  pid_ = -1;
}

void Run::take_usage(const os::Ended& ended) {
  Usage usage;
  usage.user = duration_of(ended.usage.ru_utime);
  usage.system = duration_of(ended.usage.ru_stime);
  usage.peak_bytes = static_cast<std::size_t>(ended.usage.ru_maxrss) * 1024;  // getrusage(2): KiB
  exchange_.set_usage(usage);
}

}  // namespace fpm::handlers::cgi
