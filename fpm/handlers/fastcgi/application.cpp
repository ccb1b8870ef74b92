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

using std::chrono::milliseconds;

namespace {

// For a process to go after KILL; longer only where the kernel holds it (a dead file server).
constexpr milliseconds kPatience{1000};
// From the signal to KILL when the worker itself has to end: the master kills it a second after its TERM.
constexpr milliseconds kHurry{700};
// How often is looked whether there is a hurry.
constexpr milliseconds kSlice{50};
// How often is looked whether a connection has been accepted.
constexpr milliseconds kShortLook{1};
constexpr milliseconds kLongLook{20};

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
  address_ = address_of(fmt::format("/proc/self/fd/{}", place_.get()));
  return {};
}

os::Result<void> Application::start(const Until& until) {
  if (!running()) {
    if (auto launched = launch(); !launched) return launched;
  }
  auto ready = wait_until_ready(until);
  ready_ = ready.has_value();
  const bool has_time = running() && Clock::now() < launched_ + command_.ready_timeout;
  // Gone, or in an unknown state, or too late.
  if (!ready_ && !(has_time && ready.error().code == ETIMEDOUT)) end(false, milliseconds(0));
  return ready;
}

os::Result<void> Application::launch() {
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
  ready_ = false;
  launched_ = Clock::now();
  auto started = os::start_child({.path = argv.front(),
                                  .argv = argv.data(),
                                  .environment = environment.data(),
                                  .folder = nullptr,
                                  .in = listener_.get(),
                                  .out = STDOUT_FILENO,
                                  .err = STDERR_FILENO});
  if (started.has_error()) return static_cast<os::Error>(started.error());
  child_ = std::move(*started);
  return {};
}

os::Result<void> Application::wait_until_ready(const Until& until) {
  const Until end = [&] { return std::min(until(), launched_ + command_.ready_timeout); };
  if (auto accepts = wait_until_accepting(end); !accepts) return accepts;
  if (command_.warmup.empty()) return {};
  return warm_up(end);
}

/// A connection leaves the socket's queue when the program accepts it.
os::Result<void> Application::wait_until_accepting(const Until& until) {
  auto connection = knock();
  if (!connection) return connection.error();
  while (!accepts_all()) {
    // Quick programs are there in a millisecond; nobody misses 20 ms of one that needs seconds.
    const auto age = std::chrono::duration_cast<milliseconds>(Clock::now() - launched_);
    auto answered = wait_for(connection->get(), std::clamp(age / 4, kShortLook, kLongLook), until);
    if (!answered) return answered.error();
    if (*answered) break;
  }
  return {};
}

os::Result<void> Application::warm_up(const Until& until) {
  auto connection = connect();
  if (!connection) return connection.error();
  std::string request;
  fcgi::append_begin(request, 1, fcgi::Role::responder, false);
  fcgi::append_params(request, 1, command_.warmup);
  fcgi::append_stdin_end(request, 1);
  if (::send(connection->get(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(request.size())) {
    return os::last_error("send the warm-up request");
  }
  fcgi::ResponseParser parser;
  std::array<char, 16384> buffer;
  for (;;) {
    auto answered = wait_for(connection->get(), kLongLook, until);
    if (!answered) return answered.error();
    if (!*answered) continue;
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

/// Waits for input for a `slice`. @return there is some. ECHILD: the program has ended; ETIMEDOUT: `until`.
os::Result<bool> Application::wait_for(int fd, milliseconds slice, const Until& until) {
  const auto left = std::chrono::ceil<milliseconds>(
      std::min(until(), Clock::now() + slice) - std::min(Clock::now(), until()));
  pollfd fds[2] = {{fd, POLLIN, 0}, {child_.pidfd.get(), POLLIN, 0}};
  const int ready = ::poll(fds, 2, static_cast<int>(std::max<long long>(0, left.count())));
  if (ready > 0 && fds[1].revents != 0) {
    (void)running();
    return os::Error(ECHILD, fmt::format("{} {} before it was ready", command_.arguments.front(),
                                         last_end_));
  }
  if (ready > 0) return true;
  if (Clock::now() < until()) return false;
  return os::Error(ETIMEDOUT, fmt::format("{} was not ready {:.3f} s after its start: {}",
                                          command_.arguments.front(),
                                          std::chrono::duration<double>(Clock::now() - launched_).count(),
                                          os::whereabouts(child_.pid)));
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

void Application::reap() {
  if (running()) {
    os::reap_orphans_but(child_.pid);
  } else {
    os::reap_orphans();
  }
}

os::Result<os::UniqueFd> Application::connect() const {
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return os::last_error("socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) < 0) {
    return os::last_error("connect to the application");
  }
  const timeval wait{.tv_sec = 0, .tv_usec = std::chrono::microseconds(kFirstWait).count()};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  return fd;
}

os::Result<os::UniqueFd> Application::knock() const {
  auto connection = connect();
  if (!connection) return connection;
  fcgi::Params names;
  names.add("FCGI_MPXS_CONNS", "");
  std::string question;
  fcgi::append_get_values(question, names);
  (void)!::send(connection->get(), question.data(), question.size(), MSG_NOSIGNAL);
  return connection;
}

bool Application::accepts_all() const {
  return os::listen_queue_length(listener_.get()).value_or(0) == 0;
}

void Application::begin_end(bool gently) {
  if (child_.pid < 0) return;
  if (gently) {
    (void)os::send_signal(child_.pid, command_.habits.stop_signal);
  } else {
    (void)os::send_group_signal(child_.pid, SIGTERM);
  }
}

void Application::end(bool gently, milliseconds grace, bool (*hurry)()) {
  if (!running()) return;
  begin_end(gently);
  const pid_t pid = child_.pid;
  auto until = Clock::now() + grace;
  os::GroupEnd end;
  while (!end.gone && Clock::now() < until) {
    if (hurry != nullptr && hurry()) {
      until = std::min(until, Clock::now() + kHurry);
      hurry = nullptr;
    }
    const os::GroupEnd now = os::wait_for_group(pid, std::min(until, Clock::now() + kSlice));
    if (now.leader) end.leader = now.leader;
    end.gone = now.gone;
  }
  if (!end.gone) {
    const os::GroupEnd now = os::end_group(pid, milliseconds(0), kPatience);
    if (now.leader) end.leader = now.leader;
  }
  if (end.leader) last_end_ = end.leader->text();
  child_ = {};
}

/// Resident less shared. smaps_rollup tells private pages of files besides, but walks through all
/// memory: of a large program that takes longer than many a request.
std::uint64_t Application::memory() const {
  if (child_.pid < 0) return 0;
  std::ifstream statm(fmt::format("/proc/{}/statm", child_.pid));
  std::uint64_t size = 0, resident = 0, shared = 0;
  statm >> size >> resident >> shared;
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return (resident - std::min(resident, shared)) * page;
}

}  // namespace fpm::handlers::fastcgi
