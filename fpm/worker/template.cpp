// The process that loads an application once, and forks the workers of its pool.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "fpm/log/log.hpp"
#include "fpm/log/new_logs.hpp"
#include "fpm/master/template_entry.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/sibling.hpp"
#include "fpm/worker/life.hpp"
#include "fpm/worker/setup.hpp"
#include "fpm/worker/signals.hpp"
#include "fpm/worker/worker.hpp"

namespace fpm::worker {

namespace {

class TemplateProcess {
 public:
  TemplateProcess(const master::WorkerStart& start, handlers::Handler& handler)
      : start_(start), handler_(handler), log_generation_(start.log_generation) {}

  os::Result<void> load();
  [[noreturn]] void serve();

 private:
  void take_message();
  void take_order();
  void take_new_logs();
  [[noreturn]] void become_worker(const master::Order& order, os::Packet& packet);
  void tell(const master::News& news) const;

  const master::WorkerStart& start_;
  handlers::Handler& handler_;
  std::uint32_t log_generation_;
};

/// What is loaded, for messages.
std::string loaded_name(const config::Pool& pool) {
  return pool.module_path.empty() ? "the application" : fmt::format("module {}", pool.module_path);
}

os::Result<void> TemplateProcess::load() {
  // It has nothing to finish.
  if (auto done = set_up_to_load(start_, SIGKILL); !done) return done;
  if (auto done = handler_.load(); !done) return done;
  // fork(2) copies the calling thread alone: what another one does or holds would be lost in the workers.
  if (const auto threads = os::count_threads(); threads && *threads != 1) {
    return os::Error(0, fmt::format("{} started {} thread{} while it was loaded, which the workers would "
                                    "not have: threads are for the start of each worker",
                                    loaded_name(start_.pool), *threads - 1,
                                    *threads == 2 ? "" : "s"));
  }
  return enter_place(start_);
}

void TemplateProcess::serve() {
  os::reset_signals();  // of what was loaded
  ::signal(SIGPIPE, SIG_IGN);
  tell({.kind = master::News::Kind::loaded, .pid = ::getpid()});
  for (;;) take_message();
}

void TemplateProcess::tell(const master::News& news) const {
  if (::send(start_.channel, &news, sizeof news, MSG_NOSIGNAL) < 0) os::exit_now(0);
}

/// Blocks for the next message. The end of the channel is the end of this process.
void TemplateProcess::take_message() {
  std::uint32_t magic = 0;
  const ssize_t got = ::recv(start_.channel, &magic, sizeof magic, MSG_PEEK);
  if (got < 0 && errno == EINTR) return;
  if (got != static_cast<ssize_t>(sizeof magic)) os::exit_now(0);
  if (magic == master::Order().magic) {
    take_order();
  } else {
    take_new_logs();
  }
}

/// They take the place of the old ones under the same numbers, for the workers to come.
void TemplateProcess::take_new_logs() {
  auto logs = log::receive_new_logs(start_.channel);
  if (!logs) {
    if (logs.error().code != EAGAIN && logs.error().code != EMSGSIZE) os::exit_now(0);
    return;
  }
  if (logs->log) log::use_descriptor(std::move(logs->log));
  if (logs->access_log && start_.access_log >= 0) {
    ::dup3(logs->access_log.get(), start_.access_log, O_CLOEXEC);
  }
  if (logs->slow_log && start_.slow_log >= 0) {
    ::dup3(logs->slow_log.get(), start_.slow_log, O_CLOEXEC);
  }
  log::use_output_descriptor(start_.pool.name, std::move(logs->output_log));
  log_generation_ = logs->generation;
}

void TemplateProcess::take_order() {
  std::array<char, sizeof(master::Order)> bytes;
  auto packet = os::receive_packet(start_.channel, bytes);
  if (!packet) return;
  master::Order order;
  if (packet->size != sizeof order || packet->fd_count == 0) return;
  std::memcpy(&order, bytes.data(), sizeof order);
  const auto pid = os::fork_sibling();
  if (pid && *pid == 0) become_worker(order, *packet);
  tell({.kind = master::News::Kind::started,
        .number = order.number,
        .pid = pid ? *pid : 0,
        .code = pid ? 0 : pid.error().code});
}

/// The master knows this process, or does not want it any more.
void wait_for_go(int channel) {
  master::Go go;
  ssize_t got = -1;
  do {
    got = ::recv(channel, &go, sizeof go, 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof go) || go.magic != master::Go().magic) os::exit_now(0);
}

/// In the new process, which closes what it knows and keeps what libraries have opened.
void TemplateProcess::become_worker(const master::Order& order, os::Packet& packet) {
  ::close(start_.channel);
  ::setpgid(0, 0);
  os::replace_stdio(packet.fds[1].get(), packet.fds[2].get());
  packet.fds[1].reset();
  packet.fds[2].reset();
  const int channel = packet.fds[0].release();
  log::become_worker(log::WorkerLog::direct, start_.pool.name);
  // Never deleted: the process just ends.
  auto* const start = new master::WorkerStart(start_);
  start->slot = order.slot;
  start->channel = channel;
  start->log_generation = log_generation_;
  install_signals(start->listener, start->board.pulse().draining);
  if (auto done = set_up_loaded(*start); !done) give_up(channel, done.error());
  wait_for_go(channel);
  worker::serve(*start, handler_);
}

}  // namespace

void run_template(const master::WorkerStart& start) {
  os::set_title(fmt::format("template of pool {}", start.pool.name));
  log::become_worker(log::WorkerLog::direct, start.pool.name);
  auto* const process = new TemplateProcess(start, *make_handler(start).release());
  if (auto done = process->load(); !done) give_up(start.channel, done.error());
  process->serve();
}

}  // namespace fpm::worker
