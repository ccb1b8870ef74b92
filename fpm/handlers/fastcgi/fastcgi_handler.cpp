#include "fpm/handlers/fastcgi/fastcgi_handler.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "fpm/config/command.hpp"
#include "fpm/handlers/cgi/environment.hpp"
#include "fpm/handlers/cgi/say.hpp"
#include "fpm/log/log.hpp"

namespace fpm::handlers::fastcgi {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace {

// As much as nginx reads at once.
constexpr std::size_t kBuffer = 64 * 1024;
// Between starts that fail: doubled from the first to the last.
constexpr milliseconds kFirstWait{250};
constexpr milliseconds kLongestWait{30'000};

/// The other side has closed, or sent what nobody asked for.
bool is_stale(int connection) {
  pollfd one{connection, POLLIN, 0};
  return ::poll(&one, 1, 0) != 0;
}

}  // namespace

FastcgiHandler::FastcgiHandler(const config::Pool& pool, os::Identity user)
    : pool_(pool), habits_(habits_of(pool.fastcgi_family)), user_(std::move(user)) {}

Command FastcgiHandler::command() const {
  Command command;
  command.arguments = config::split_command(pool_.fastcgi_command);
  command.habits = habits_;
  const auto base = cgi::base_environment(pool_, user_.home, user_.name, ::environ);
  const auto given = [&base](std::string_view name) {
    return std::any_of(base.begin(), base.end(), [&](const auto& one) { return one.first == name; });
  };
  for (const auto& [name, value] : base) {
    // It would make libfcgi refuse us.
    if (name == "FCGI_WEB_SERVER_ADDRS") continue;
    command.environment.push_back(fmt::format("{}={}", name, value));
  }
  if (!habits_.variable.empty() && !given(habits_.variable)) {
    command.environment.push_back(fmt::format("{}={}", habits_.variable, habits_.value));
  }
  if (!habits_.max_requests_variable.empty() && !given(habits_.max_requests_variable)) {
    // Above ours, so that it is recycled by us: with a successor that is ready.
    command.environment.push_back(fmt::format("{}=0", habits_.max_requests_variable));
  }
  command.ready_timeout = pool_.fastcgi_ready_timeout;
  for (const auto& [name, value] : pool_.fastcgi_warmup) command.warmup.add(name, value);
  return command;
}

os::Result<void> FastcgiHandler::start() {
  if (auto done = os::become_reaper(); done.has_error()) return done.error();
  os::interrupt_by_children();
  buffers_.in.resize(kBuffer);
  application_.emplace(command());
  if (get_ready()) return {};
  return *failure_;
}

/// Without a client that waits: until the worker is told to end.
bool FastcgiHandler::get_ready() {
  const auto until = [this] {
    return stop_asked() ? Clock::time_point::min() : Clock::time_point::max();
  };
  return start_application(until, nullptr);
}

/// @return it is ready; else `failure_` says why not. Starts that fail are not repeated at once.
bool FastcgiHandler::start_application(const Application::Until& until, Exchange* exchange) {
  kept_.reset();
  if (!application_->starting() && Clock::now() < retry_at_) return false;
  const auto started = application_->start(until);
  if (started) {
    served_ = false;
    was_up_ = true;
    return true;
  }
  failure_ = started.error();
  if (!application_->starting()) note_failure(exchange);
  return false;
}

void FastcgiHandler::note_failure(Exchange* exchange) {
  wait_ = std::clamp(wait_ * 2, kFirstWait, kLongestWait);
  retry_at_ = Clock::now() + wait_;
  // The codes of our own findings say nothing to who reads the log.
  const int code = failure_->code;
  const bool plain = code == ECHILD || code == ETIMEDOUT || code == EPROTO;
  const std::string line = fmt::format("application {} cannot be started: {}",
                                       pool_.fastcgi_command, plain ? failure_->what : failure_->text());
  if (exchange != nullptr) {
    cgi::say(*exchange, log::Level::error, line);
  } else {
    log::in_pool(log::Level::error, pool_.name, "{}", cgi::visible(line));
  }
}

Outcome FastcgiHandler::handle(Exchange& exchange) {
  try {
    bool again = false;
    Outcome outcome = try_once(exchange, again);
    if (!again) return outcome;
    cgi::say(exchange, log::Level::warning,
             fmt::format("application {} {} before it answered, the request is tried once more",
                         pool_.fastcgi_command, application_->last_end()));
    outcome = try_once(exchange, again);
    if (!again) return outcome;
    cgi::say(exchange, log::Level::error,
             fmt::format("application {} {} again before it answered", pool_.fastcgi_command,
                         application_->last_end()));
    exchange.answer(502, "The application failed.");
    return {.end = End::failed, .app_status = 0, .truncated = false, .unfinished = true};
  } catch (const std::exception& error) {  // memory that ran out
    cgi::say(exchange, log::Level::error, fmt::format("the request failed: {}", error.what()));
    if (!exchange.begun()) exchange.answer(503, "The server is too busy to run the application.");
    return {.end = End::failed, .app_status = 0, .truncated = exchange.begun(), .unfinished = true};
  }
}

/// A client waits: as long as its request may take. The process is not ended with that time.
Outcome FastcgiHandler::not_ready(Exchange& exchange) {
  if (!application_->starting()) {
    exchange.answer(503, "The application cannot be started just now.");
    return {.end = End::failed};
  }
  if (exchange.deadline() != Clock::time_point::min()) {
    exchange.tell_overdue(cgi::visible(fmt::format("application {} (pid {}) is still starting: {}",
                                                   pool_.fastcgi_command, application_->pid(),
                                                   os::whereabouts(application_->pid()))));
  }
  exchange.answer(504, "The application took too long to start.");
  return {.end = End::timeout, .app_status = 0, .truncated = false, .unfinished = true};
}

/// `again`: nothing came back, and the request may be tried on a fresh process.
Outcome FastcgiHandler::try_once(Exchange& exchange, bool& again) {
  again = false;
  exchange.set_script(pool_.fastcgi_command);
  if (os::some_child_ended()) application_->reap();
  if (!application_->ready()) {
    notice_end();
    const auto until = [&exchange] { return exchange.deadline(); };
    if (!start_application(until, &exchange)) return not_ready(exchange);
  }
  if (kept_ && is_stale(kept_.get())) kept_.reset();
  os::UniqueFd connection = std::move(kept_);
  if (!connection) {
    auto made = application_->connect();
    if (!made) {
      cgi::say(exchange, log::Level::error, made.error().text());
      exchange.answer(502, "The application cannot be reached.");
      return {.end = End::failed, .app_status = 0, .truncated = false, .unfinished = true};
    }
    connection = std::move(*made);
  }
  served_ = true;
  Relay relay(exchange, pool_, *application_, connection, habits_.keeps_connection, buffers_);
  Outcome outcome = relay.go();
  if (buffers_.held.capacity() > kBuffer) buffers_.held = {};
  if (relay.reusable()) kept_ = std::move(connection);
  if (relay.left() == Relay::Left::idle) {
    wait_ = {};
    return outcome;
  }
  was_up_ = false;
  connection.reset();
  again = relay.left() == Relay::Left::ended && relay.may_retry();
  if (again && application_->running()) {
    // It closes connections without an answer, but lives: in an unknown state.
    application_->end(false, pool_.request_terminate_grace);
  }
  outcome.unfinished = !again;
  return outcome;
}

void FastcgiHandler::finish(Exchange& exchange) {
  kept_.reset();
  was_up_ = false;
  if (!application_->starting()) {
    application_->end(false, pool_.request_terminate_grace, hurry_asked());
  }
  if (exchange.deadline() != Clock::time_point::min() && !stop_asked()) (void)get_ready();
}

bool FastcgiHandler::looks_after() {
  if (!application_) return false;
  if (os::some_child_ended()) application_->reap();
  return !application_->ready();
}

void FastcgiHandler::look_after() {
  if (stop_asked()) return;
  notice_end();
  (void)get_ready();
}

/// Of an application that was up and idle. A program that ends before it has done anything counts as one
/// that cannot be started, else it would be started without a pause.
void FastcgiHandler::notice_end() {
  if (!std::exchange(was_up_, false)) return;
  const std::string& end = application_->last_end();
  if (served_ || application_->age() > kLongestWait) {
    log::in_pool(log::Level::warning, pool_.name,
                 "application {} {} while it was idle, it is started again", pool_.fastcgi_command,
                 end);
    return;
  }
  failure_ = os::Error(ECHILD, fmt::format("it {} before its first request", end));
  note_failure(nullptr);
}

void FastcgiHandler::stop() {
  kept_.reset();
  if (application_) application_->end(true, pool_.request_terminate_grace, hurry_asked());
}

}  // namespace fpm::handlers::fastcgi
