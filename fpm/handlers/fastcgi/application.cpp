#include "fpm/handlers/fastcgi/application.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

#include "fcgi/request.hpp"
#include "fcgi/response_parser.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/socket.hpp"

namespace fpm::handlers::fastcgi {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

namespace {

// For a process to go after KILL; longer only where the kernel holds it (a dead file server).
constexpr milliseconds kPatience{1000};
// How often is looked whether a connection has been accepted.
constexpr milliseconds kLook{5};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

/// A folder that only we may enter, for the moment in which the socket has a name.
struct TemporaryFolder {
  std::string path = "/tmp/fpm-application-XXXXXX";
  bool made = false;
  TemporaryFolder() { made = ::mkdtemp(path.data()) != nullptr; }
  ~TemporaryFolder() {
    if (made) ::rmdir(path.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

}  // namespace

Application::Application(Command command, std::function<bool()> stop_asked)
    : command_(std::move(command)), stop_asked_(std::move(stop_asked)) {}

Application::~Application() { end(false, milliseconds(0)); }

os::Result<void> Application::make_socket() {
  const TemporaryFolder folder;
  if (!folder.made) return os::last_error("mkdtemp " + folder.path);
  const std::string path = folder.path + "/s";
  auto listener = os::listen_unix(path, SOMAXCONN, {});
  if (!listener) return listener.error();
  place_.reset(::open(path.c_str(), O_PATH | O_CLOEXEC));
  const int code = errno;
  ::unlink(path.c_str());
  if (!place_) return os::Error(code, "open " + path);
  listener_ = std::move(*listener);
  return {};
}

os::Result<void> Application::start(Clock::time_point deadline) {
  end(false, milliseconds(0));
  if (!listener_) {
    if (auto made = make_socket(); !made) return made;
  }
  std::vector<char*> argv;
  for (const std::string& argument : command_.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (const std::string& variable : command_.environment) {
    environment.push_back(const_cast<char*>(variable.c_str()));
  }
  environment.push_back(nullptr);
  auto started = os::start_child({.path = argv.front(),
                                  .argv = argv.data(),
                                  .environment = environment.data(),
                                  .folder = nullptr,
                                  .in = listener_.get(),
                                  .out = STDOUT_FILENO,
                                  .err = STDERR_FILENO});
  if (started.has_error()) return static_cast<os::Error>(started.error());
  child_ = std::move(*started);
  auto ready = wait_until_ready(std::min(deadline, Clock::now() + command_.ready_timeout));
  if (!ready) end(false, milliseconds(0));
  was_ready_ = was_ready_ || ready.has_value();
  return ready;
}

os::Result<void> Application::wait_until_ready(Clock::time_point deadline) {
  if (auto accepts = wait_until_accepting(deadline); !accepts) return accepts;
  if (command_.warmup.empty()) return {};
  return warm_up(deadline);
}

/// A connection leaves the socket's queue when the program accepts it. It asks for something that any
/// FastCGI program may be asked at any time, so that nobody meets an empty connection.
os::Result<void> Application::wait_until_accepting(Clock::time_point deadline) {
  auto connection = connect();
  if (!connection) return connection.error();
  fcgi::Params names;
  names.add("FCGI_MPXS_CONNS", "");
  std::string question;
  fcgi::append_get_values(question, names);
  (void)!::send(connection->get(), question.data(), question.size(), MSG_NOSIGNAL);
  for (;;) {
    if (os::listen_queue_length(listener_.get()).value_or(0) == 0) return {};
    const auto until = std::min(deadline, Clock::now() + kLook);
    if (auto waited = wait_for(connection->get(), POLLIN, until);
        waited || waited.error().code != ETIMEDOUT) {
      return waited;
    }
    if (Clock::now() >= deadline) {
      return os::Error(ETIMEDOUT, fmt::format("{} did not accept a connection: {}",
                                              command_.arguments.front(),
                                              os::whereabouts(child_.pid)));
    }
  }
}

os::Result<void> Application::warm_up(Clock::time_point deadline) {
  auto connection = connect();
  if (!connection) return connection.error();
  std::string request;
  fcgi::append_begin(request, 1, fcgi::Role::responder, false);
  fcgi::append_params(request, 1, command_.warmup);
  fcgi::append_stdin_end(request, 1);
  if (::send(connection->get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return os::last_error("send the warm-up request");
  }
  fcgi::ResponseParser parser;
  std::array<char, 16384> buffer;
  for (;;) {
    if (auto waited = wait_for(connection->get(), POLLIN, deadline); !waited) return waited;
    const ssize_t got = ::recv(connection->get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return os::Error(EPROTO, "the warm-up request was not answered");
    for (std::string_view input(buffer.data(), static_cast<std::size_t>(got));;) {
      const fcgi::ResponseEvent event = parser.next(input);
      using Kind = fcgi::ResponseEvent::Kind;
      if (event.kind == Kind::need_more) break;
      if (event.kind == Kind::end) return {};
      if (event.kind == Kind::bad) {
        return os::Error(EPROTO, fmt::format("the warm-up request: {}", event.reason));
      }
    }
  }
}

/// poll(2) that also ends with the program or when the worker is to end. ETIMEDOUT at `deadline`.
os::Result<void> Application::wait_for(int fd, short events, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  pollfd fds[2] = {{fd, events, 0}, {child_.pidfd.get(), POLLIN, 0}};
  const int ready = ::poll(fds, 2, static_cast<int>(std::max<long long>(0, left.count())));
  if (stop_asked_()) return os::Error(ECANCELED, "the worker is to end");
  if (ready < 0 && errno == EINTR) return os::Error(ETIMEDOUT, "interrupted");
  if (fds[1].revents != 0) {
    (void)running();
    return os::Error(ECHILD, fmt::format("{} {} before it was ready", command_.arguments.front(),
                                         last_end_));
  }
  if (ready == 0) return os::Error(ETIMEDOUT, fmt::format("{} was not ready in time: {}",
                                                          command_.arguments.front(),
                                                          os::whereabouts(child_.pid)));
  return {};
}

bool Application::running() {
  if (child_.pid < 0) return false;
  const auto ended = os::reap_child(child_.pid);
  if (!ended) return true;
  last_end_ = ended->text();
  // What it left of its group goes too.
  (void)os::send_group_signal(child_.pid, SIGKILL);
  child_ = {};
  return false;
}

os::Result<os::UniqueFd> Application::connect() const {
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return os::last_error("socket");
  const sockaddr_un address = address_of(fmt::format("/proc/self/fd/{}", place_.get()));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return os::last_error("connect to the application");
  }
  return fd;
}

void Application::begin_end(bool gently) {
  if (child_.pid < 0) return;
  if (gently) {
    (void)os::send_signal(child_.pid, command_.habits.stop_signal);
  } else {
    (void)os::send_group_signal(child_.pid, SIGTERM);
  }
}

void Application::end(bool gently, milliseconds grace) {
  if (!running()) return;
  begin_end(gently);
  const pid_t pid = child_.pid;
  const os::GroupEnd by_itself = os::wait_for_group(pid, Clock::now() + grace);
  if (by_itself.leader) last_end_ = by_itself.leader->text();
  if (!by_itself.gone) {
    const os::GroupEnd end = os::end_group(pid, milliseconds(0), kPatience);
    if (end.leader) last_end_ = end.leader->text();
  }
  child_ = {};
}

std::uint64_t Application::memory() const {
  if (child_.pid < 0) return 0;
  std::ifstream rollup(fmt::format("/proc/{}/smaps_rollup", child_.pid));
  std::string word;
  std::uint64_t kilobytes = 0, sum = 0;
  while (rollup >> word) {
    if ((word == "Private_Clean:" || word == "Private_Dirty:") && rollup >> kilobytes) {
      sum += kilobytes;
    }
  }
  return sum * 1024;
}

}  // namespace fpm::handlers::fastcgi
