#include "fpm/handlers/cgi/cgi_handler.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "fpm/handlers/cgi/environment.hpp"
#include "fpm/handlers/cgi/run.hpp"
#include "fpm/handlers/cgi/say.hpp"

namespace fpm::handlers::cgi {
namespace {

// As much as a pipe holds.
constexpr std::size_t kBuffer = 64 * 1024;

struct Pipes {
  os::Pipe in, out, err;
};

os::Result<Pipes> make_pipes() {
  Pipes pipes;
  for (os::Pipe* pipe : {&pipes.in, &pipes.out, &pipes.err}) {
    auto made = os::make_pipe();
    if (made.has_error()) return made.error();
    *pipe = std::move(*made);
  }
  // Only our ends: scripts expect theirs to block.
  for (const int fd : {pipes.in.write.get(), pipes.out.read.get(), pipes.err.read.get()}) {
    if (auto set = os::set_nonblocking(fd, true); set.has_error()) return set.error();
  }
  return pipes;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

boost::system::result<Started, os::StartError> start_script(const Script& script,
                                                            const Environment& environment) {
  auto pipes = make_pipes();
  if (pipes.has_error()) return os::StartError{pipes.error(), os::StartStep::prepare};
  const std::string folder = folder_of(script.path);
  // No arguments are made of the query (RFC 3875 §4.4 leaves it open): shells would see options.
  char* const argv[] = {const_cast<char*>(script.path.c_str()), nullptr};
  auto child = os::start_child({.path = script.path.c_str(),
                                .argv = argv,
                                .environment = environment.get(),
                                .folder = folder.c_str(),
                                .in = pipes->in.read.get(),
                                .out = pipes->out.write.get(),
                                .err = pipes->err.write.get()});
  if (child.has_error()) return child.error();
  return Started{std::move(*child), std::move(pipes->in.write), std::move(pipes->out.read),
                 std::move(pipes->err.read)};
}

// What the visitor gets of a failed start, and what to look at.
std::pair<int, const char*> judge(const os::StartError& error) {
  if (error.step == os::StartStep::prepare) return {503, ""};
  switch (error.code) {
    case EACCES:
    case EPERM:
      return {403, ""};
    case ENOENT:
    case ENOTDIR:
      return {502, ": the program after its #! does not exist"};
    case ENOEXEC:
      return {502, ": neither a program for this machine nor a script with #! in its first line"};
    case E2BIG:
      return {502, ": the request's parameters do not fit into an environment"};
    case EAGAIN:  // RLIMIT_NPROC is looked at by execve, too
    case ENOMEM:
    case ETXTBSY:  // it is being replaced just now
      return {503, ""};
    default:
      return {502, ""};
  }
}

const char* sentence_for(int status) {
  switch (status) {
    case 403:
      return "This may not be executed.";
    case 404:
      return "There is nothing here.";
    case 503:
      return "The server is too busy to run the application.";
    default:
      return "The application could not be started.";
  }
}

}  // namespace

CgiHandler::CgiHandler(const config::Pool& pool, os::Identity user)
    : pool_(pool), user_(std::move(user)) {}

os::Result<void> CgiHandler::start() {
  if (auto done = os::become_reaper(); done.has_error()) return done.error();
  base_ = base_environment(pool_, user_.home, user_.name, ::environ);
  buffer_.resize(kBuffer);
  return {};
}

Outcome CgiHandler::handle(Exchange& exchange) {
  try {
    return execute(exchange);
  } catch (const std::exception& error) {  // memory that ran out
    run_.reset();
    say(exchange, log::Level::error, fmt::format("the request failed: {}", error.what()));
    if (!exchange.begun()) exchange.answer(503, sentence_for(503));
    return {End::failed, 0, exchange.begun()};
  }
}

void CgiHandler::finish(Exchange& exchange) {
  if (!run_) return;
  try {
    run_->conclude();
  } catch (const std::exception& error) {
    say(exchange, log::Level::error, fmt::format("the request failed: {}", error.what()));
  }
  run_.reset();
}

Outcome CgiHandler::execute(Exchange& exchange) {
  os::reap_orphans();  // what earlier scripts left behind
  DiskFiles files;
  const ScriptRules rules{pool_.cgi_root, pool_.cgi_allow, pool_.cgi_program};
  const auto choice = choose_script(rules, exchange.params(), files);
  if (const auto* refusal = std::get_if<Refusal>(&choice)) return refuse(exchange, *refusal);
  return run(exchange, std::get<Script>(choice));
}

Outcome CgiHandler::refuse(Exchange& exchange, const Refusal& refusal) {
  say(exchange, refusal.status == 404 ? log::Level::notice : log::Level::warning,
      fmt::format("answered {}: {}", refusal.status, refusal.reason));
  exchange.write_error(visible(refusal.reason) + "\n");
  exchange.answer(refusal.status, sentence_for(refusal.status));
  return {};
}

Outcome CgiHandler::run(Exchange& exchange, const Script& script) {
  exchange.set_script(script.path);
  const auto since = std::chrono::steady_clock::now();
  const Environment environment(base_, exchange.params(), script);
  if (!environment.repeated().empty() && !std::exchange(told_repeated_, true)) {
    say(exchange, log::Level::warning,
        fmt::format("the front sends {} more than once; scripts get the last value that is "
                    "not empty",
                    environment.repeated()));
  }
  auto started = start_script(script, environment);
  if (started.has_error()) return not_started(exchange, script, started.error());
  run_ = std::make_unique<Run>(exchange, pool_, script.path, std::move(*started), buffer_, since);
  const Outcome outcome = run_->go();
  if (!outcome.unfinished) run_.reset();
  if (buffer_.size() > kBuffer) {  // an answer had to be kept back
    buffer_.resize(kBuffer);
    buffer_.shrink_to_fit();
  }
  return outcome;
}

Outcome CgiHandler::not_started(Exchange& exchange, const Script& script,
                                const os::StartError& error) {
  const auto [status, hint] = judge(error);
  say(exchange, log::Level::error,
      fmt::format("script {} cannot be started: {}{}", script.path, error.text(), hint));
  exchange.answer(status, sentence_for(status));
  return {status == 403 ? End::ok : End::failed, 0, false};
}

}  // namespace fpm::handlers::cgi
