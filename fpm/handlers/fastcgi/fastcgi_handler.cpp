#include "fpm/handlers/fastcgi/fastcgi_handler.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
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
// From TERM to KILL when the worker itself has to end: the master kills it a second after its TERM.
constexpr milliseconds kStopGrace{300};

/// The other side has closed, or sent what nobody asked for.
bool is_stale(int connection) {
  pollfd one{connection, POLLIN, 0};
  return ::poll(&one, 1, 0) != 0;
}

}  // namespace

FastcgiHandler::FastcgiHandler(const config::Pool& pool, os::Identity user)
    : pool_(pool), user_(std::move(user)) {}

Command FastcgiHandler::command() const {
  Command command;
  command.arguments = config::split_command(pool_.fastcgi_command);
  command.habits = habits_of(pool_.fastcgi_family);
  const Habits& habits = command.habits;
  const auto base = cgi::base_environment(pool_, user_.home, user_.name, ::environ);
  const auto given = [&base](std::string_view name) {
    return std::any_of(base.begin(), base.end(), [&](const auto& one) { return one.first == name; });
  };
  for (const auto& [name, value] : base) {
    // It would make libfcgi refuse us.
    if (name == "FCGI_WEB_SERVER_ADDRS") continue;
    command.environment.push_back(fmt::format("{}={}", name, value));
  }
  if (!habits.variable.empty() && !given(habits.variable)) {
    command.environment.push_back(fmt::format("{}={}", habits.variable, habits.value));
  }
  if (!habits.max_requests_variable.empty() && !given(habits.max_requests_variable)) {
    // Above ours, so that it is recycled by us: with a successor that is ready.
    command.environment.push_back(fmt::format("{}=0", habits.max_requests_variable));
  }
  command.ready_timeout = pool_.fastcgi_ready_timeout;
  for (const auto& [name, value] : pool_.fastcgi_warmup) command.warmup.add(name, value);
  return command;
}

os::Result<void> FastcgiHandler::start() {
  if (auto done = os::become_reaper(); done.has_error()) return done.error();
  os::interrupt_by_children();
  buffers_.in.resize(kBuffer);
  application_.emplace(command(), [this] { return stop_asked(); });
  if (start_application(nullptr, Clock::time_point::max())) return {};
  return *failure_;
}

/// @return it is ready; else `failure_` says why not. Starts that fail are not repeated at once.
bool FastcgiHandler::start_application(Exchange* exchange, Clock::time_point deadline) {
  kept_.reset();
  if (failure_ && Clock::now() < retry_at_) return false;
  auto started = application_->start(deadline);
  if (started) {
    failure_.reset();
    wait_ = {};
    return true;
  }
  wait_ = std::clamp(wait_ * 2, kFirstWait, kLongestWait);
  retry_at_ = Clock::now() + wait_;
  failure_ = started.error();
  const std::string line = fmt::format("application {} cannot be started: {}",
                                       pool_.fastcgi_command, failure_->text());
  if (exchange != nullptr) {
    cgi::say(*exchange, log::Level::error, line);
  } else {
    log::in_pool(log::Level::error, pool_.name, "{}", cgi::visible(line));
  }
  return false;
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

/// `again`: nothing came back, and the request may be tried on a fresh process.
Outcome FastcgiHandler::try_once(Exchange& exchange, bool& again) {
  again = false;
  if (!application_->running() && !start_application(&exchange, exchange.deadline())) {
    exchange.answer(503, "The application cannot be started just now.");
    return {.end = End::failed};
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
  exchange.set_script(pool_.fastcgi_command);
  const bool keep = habits_of(pool_.fastcgi_family).keeps_connection;
  Relay relay(exchange, pool_, *application_, connection.get(), keep, buffers_);
  Outcome outcome = relay.go();
  if (buffers_.held.capacity() > kBuffer) buffers_.held = {};
  if (relay.reusable()) kept_ = std::move(connection);
  if (relay.left() == Relay::Left::idle) return outcome;
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
  const bool stopping = exchange.deadline() == Clock::time_point::min();
  const milliseconds grace = pool_.request_terminate_grace;
  application_->end(false, stopping ? std::min(grace, kStopGrace) : grace);
  if (!stopping && !stop_asked()) start_application(&exchange, Clock::time_point::max());
}

bool FastcgiHandler::looks_after() {
  return os::some_child_ended() && application_ && !application_->running();
}

void FastcgiHandler::look_after() {
  if (stop_asked() || (failure_ && Clock::now() < retry_at_)) return;
  if (!failure_) {
    log::in_pool(log::Level::warning, pool_.name,
                 "application {} {} while it was idle, it is started again", pool_.fastcgi_command,
                 application_->last_end());
  }
  start_application(nullptr, Clock::time_point::max());
}

void FastcgiHandler::stop() {
  kept_.reset();
  if (application_) application_->end(true, kStopGrace);
}

}  // namespace fpm::handlers::fastcgi
