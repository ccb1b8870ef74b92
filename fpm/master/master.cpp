#include "fpm/master/master.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "fpm/master/loop.hpp"
#include "fpm/master/output.hpp"
#include "fpm/master/secrets.hpp"
#include "fpm/os/daemonize.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kNewLogsAgain{100};
/// How often the queue is looked at while the program finishes.
constexpr milliseconds kReleaseAgain{20};

}  // namespace

Master::Master(const config::Config& config, std::vector<Pool::Parts> parts, WorkerEntry entry,
               Surroundings surroundings)
    : loop_(std::make_unique<Loop>(config, std::move(parts), entry, std::move(surroundings))) {}

Master::~Master() = default;

os::Result<void> Master::run() { return loop_->run(); }

Master::Loop::Loop(const config::Config& config, std::vector<Pool::Parts> parts, WorkerEntry entry,
                   Surroundings surroundings)
    : config_(config),
      spawner_(config, entry, [this](const config::Pool& pool) { forget_others(pool); }),
      on_ready_(std::move(surroundings.on_ready)),
      in_background_(surroundings.in_background),
      file_limit_(surroundings.file_limit),
      service_manager_(io_, std::move(surroundings.service_manager), config.global.systemd_interval,
                       [this] { return activity(); }),
      shutdown_(config.global.process_control_timeout),
      emergency_(config.global.emergency_restart_threshold,
                 config.global.emergency_restart_interval) {
  const WatchOutput watch = [this](const config::Pool& pool, pid_t pid, os::UniqueFd out,
                                   os::UniqueFd err) {
    return watch_output(io_, pool, pid, std::move(out), std::move(err));
  };
  for (Pool::Parts& part : parts) {
    pools_.push_back(std::make_unique<Running>(io_, std::move(part), spawner_, watch));
  }
}

os::Result<void> Master::Loop::run() {
  if (auto ready = watch_everything(); !ready) return ready;
  log::notice("fpm is running, pid {}", ::getpid());
  for (auto& running : pools_) {
    running->pool.start(Clock::now(), room());
    count_workers();
  }
  for (std::size_t i = 0; i < pools_.size(); ++i) look(i);
  log::notice("ready to handle connections");
  log::end_stderr_copy();
  if (on_ready_) on_ready_();
  service_manager_.ready();
  tick();
  io_.run();
  for (auto& running : pools_) running->pool.unlink();
  log::notice("exiting, bye-bye!");
  return {};
}

os::Result<void> Master::Loop::watch_everything() {
  auto signals = Signals::install();
  if (!signals) return signals.error();
  signals_ = std::move(*signals);
  auto copy = os::duplicate(signals_->fd());
  if (!copy) return copy.error();
  signal_watch_.assign(copy->release());
  watch_signals();
  auto epoll = os::Epoll::create();
  if (!epoll) return epoll.error();
  epoll_ = std::move(*epoll);
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i]->pool;
    if (auto done = epoll_.watch(pool.wakeup(), wakeup_tag(i)); !done) return done;
    if (auto done = epoll_.add_unarmed(pool.listener(), listener_tag(i)); !done) return done;
  }
  auto epoll_copy = os::duplicate(epoll_.fd());
  if (!epoll_copy) return epoll_copy.error();
  epoll_watch_.assign(epoll_copy->release());
  watch_pools();
  return {};
}

/// A worker called, or a client waits at an armed listening socket.
void Master::Loop::watch_pools() {
  epoll_watch_.async_wait(asio::posix::stream_descriptor::wait_read,
                          [this](const boost::system::error_code& failure) {
                            if (failure) return;
                            guarded([this] {
                              for (const std::uint64_t tag : epoll_.ready()) {
                                const auto index = static_cast<std::size_t>(tag / 2);
                                if (tag == wakeup_tag(index)) {
                                  std::uint64_t count = 0;
                                  (void)!::read(pools_[index]->pool.wakeup(), &count, sizeof count);
                                }
                                look(index);
                              }
                            });
                            watch_pools();
                          });
}

void Master::Loop::watch_signals() {
  signal_watch_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [this](const boost::system::error_code& failure) {
                             if (failure) return;
                             guarded([this] {
                               while (const auto record = signals_->next()) on_signal(*record);
                             });
                             watch_signals();
                           });
}

void Master::Loop::on_signal(const SignalRecord& record) {
  if (record.signal == SIGCHLD) {
    reap_children();
    return;
  }
  const std::string sender =
      record.pid == 0 ? "by the kernel" : fmt::format("by pid {}, uid {}", record.pid, record.uid);
  log::notice("received {}, sent {}", os::signal_name(record.signal), sender);
  switch (record.signal) {
    case SIGTERM:
    case SIGINT:
      stop(policy::StopOrder::terminate);
      break;
    case SIGQUIT:
      stop(policy::StopOrder::finish);
      break;
    case SIGUSR1:
    case SIGHUP:
      reopen_logs();
      break;
    default:
      log::warning("{} is not supported yet, nothing is done", os::signal_name(record.signal));
      break;
  }
}

/// USR1: every log under its name anew, in every process, without a restart.
void Master::Loop::reopen_logs() {
  if (auto done = log::reopen()) {
    log::notice("error log file re-opened");
    if (in_background_) os::keep_stderr_in(log::descriptor());
  } else {
    log::error("failed to reopen the log: {}", done.error().text());
  }
  bool any = false;
  bool all = true;
  for (auto& running : pools_) {
    any = any || !running->pool.config().access_log.empty();
    all = running->pool.reopen_logs() && all;
  }
  send_new_logs();
  if (any && all) log::notice("access log file re-opened");
}

/// Until every worker has them: one that did not read its channel yet is tried again.
void Master::Loop::send_new_logs() {
  bool all = true;
  for (auto& running : pools_) all = running->pool.send_new_logs() && all;
  if (!all) after(new_logs_, Clock::now() + kNewLogsAgain, [this] { send_new_logs(); });
}

void Master::Loop::stop(policy::StopOrder order) {
  const auto step = shutdown_.order(order);
  if (!step) return;
  log::notice("{}", order == policy::StopOrder::finish ? "Finishing ..." : "Terminating ...");
  service_manager_.stopping();
  push(*step);
}

void Master::Loop::push(const policy::StopStep& step) {
  for (auto& running : pools_) {
    running->retry.cancel();
    running->shrink.cancel();
    running->pool.stop(step.push);
  }
  if (workers_ == 0) {
    io_.stop();
    return;
  }
  if (step.push == policy::Push::quit) release_addresses();
  after(escalation_, Clock::now() + step.wait, [this] {
    log::warning("{} workers are still there, they are ended now", workers_);
    push(shutdown_.escalate());
  });
}

/// While requests are finished: addresses whose queue has been served are given free for another
/// instance.
void Master::Loop::release_addresses() {
  bool all = true;
  for (auto& running : pools_) all = running->pool.release_address() && all;
  if (!all) after(release_, Clock::now() + kReleaseAgain, [this] { release_addresses(); });
}

/// In a new worker: what belongs to other pools goes, above all the memory that their workers
/// write, and passwords.
void Master::Loop::forget_others(const config::Pool& pool) {
  if (file_limit_) (void)os::restore_file_limit(*file_limit_);
  for (auto& running : pools_) {
    if (&running->pool.config() == &pool) continue;
    running->pool.board().unmap();
    wipe_secrets(running->pool.config());
  }
  if (pool.clear_env) wipe_environment();
}

}  // namespace fpm::master
