#include "fpm/master/master.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <limits>
#include <optional>

#include "fpm/log/log.hpp"
#include "fpm/master/output.hpp"
#include "fpm/master/secrets.hpp"
#include "fpm/master/service_manager.hpp"
#include "fpm/master/signals.hpp"
#include "fpm/os/daemonize.hpp"
#include "fpm/os/epoll.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"
#include "fpm/policy/emergency.hpp"
#include "fpm/policy/shutdown.hpp"

namespace fpm::master {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTick{1000};
/// How soon workers on kept connections are looked at again while clients wait.
constexpr milliseconds kRelieveAgain{20};
constexpr milliseconds kNewLogsAgain{100};
/// How often the queue is looked at while the program finishes.
constexpr milliseconds kReleaseAgain{20};

/// A pool with the timers that the loop needs for it. Its descriptors are watched by an epoll set
/// of their own: 5,000 pools cost the loop one descriptor, and a listening socket wakes it only
/// while it is armed.
struct Running {
  Running(asio::io_context& io, Pool::Parts parts, Spawner& spawner, WatchOutput watch)
      : pool(std::move(parts), spawner, std::move(watch)),
        retry(io),
        deadline(io),
        shrink(io),
        relieve(io) {}

  Pool pool;
  asio::steady_timer retry;     // of failing starts
  asio::steady_timer deadline;  // the next request that can be overdue
  asio::steady_timer shrink;    // the next worker that has been idle for long enough
  asio::steady_timer relieve;   // of idle kept connections
  bool shrink_pending = false;
};

// Tags of the epoll set: the pool's number, and which of its descriptors.
constexpr std::uint64_t wakeup_tag(std::size_t pool) { return pool * 2; }
constexpr std::uint64_t listener_tag(std::size_t pool) { return pool * 2 + 1; }

}  // namespace

class Master::Loop {
 public:
  Loop(const config::Config& config, std::vector<Pool::Parts> parts, WorkerEntry entry,
       Surroundings surroundings);

  os::Result<void> run();

 private:
  os::Result<void> watch_everything();
  void watch_signals();
  void watch_pools();
  void on_signal(const SignalRecord& record);
  void reap_children();
  void restart_workers();
  void look(std::size_t index);
  void wait_for_clients(std::size_t index);
  void shrink(std::size_t index);
  void check_deadlines(Running& running);
  void relieve(std::size_t index);
  void release_addresses();
  int room() const;
  template <class Work>
  void after(asio::steady_timer& timer, Clock::time_point when, Work work);
  void tick();
  void reopen_logs();
  void send_new_logs();
  void stop(policy::StopOrder order);
  void push(const policy::StopStep& step);
  void count_workers();
  os::Activity activity() const;
  void forget_others(const config::Pool& pool);
  template <class Work>
  void guarded(Work&& work);

  const config::Config& config_;
  asio::io_context io_{1};
  ForkSpawner spawner_;
  std::function<void()> on_ready_;
  bool in_background_;
  std::optional<rlimit> file_limit_;
  ServiceManager service_manager_;
  std::optional<Signals> signals_;
  asio::posix::stream_descriptor signal_watch_{io_};
  os::Epoll epoll_;
  asio::posix::stream_descriptor epoll_watch_{io_};
  asio::steady_timer tick_{io_};
  asio::steady_timer escalation_{io_};
  asio::steady_timer release_{io_};
  asio::steady_timer new_logs_{io_};
  bool told_process_max_ = false;
  int workers_ = 0;  // of all pools
  policy::Shutdown shutdown_;
  policy::EmergencyRestart emergency_;
  std::vector<std::unique_ptr<Running>> pools_;
};

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

/// Every handler of the loop runs in this: what is thrown in one (memory, a bug of ours) is logged
/// and the program goes on serving.
template <class Work>
void Master::Loop::guarded(Work&& work) {
  try {
    work();
  } catch (const std::exception& failure) {
    log::error("internal error: {}", failure.what());
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

/// One shot of a timer; what it does runs guarded. A timer that is set again forgets its old work.
template <class Work>
void Master::Loop::after(asio::steady_timer& timer, Clock::time_point when, Work work) {
  timer.expires_at(when);
  timer.async_wait([this, work](const boost::system::error_code& failure) {
    if (!failure) guarded(work);
  });
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

void Master::Loop::reap_children() {
  const auto now = Clock::now();
  std::vector<std::size_t> changed;
  while (const auto exit = os::reap()) {
    const auto owner = std::find_if(pools_.begin(), pools_.end(), [&](const auto& running) {
      return running->pool.reap(*exit, now);
    });
    // As process 1 of a container we inherit what others leave behind.
    if (owner == pools_.end()) {
      log::debug("reaped pid {}, no worker of ours", exit->pid);
      continue;
    }
    changed.push_back(static_cast<std::size_t>(owner - pools_.begin()));
    if (emergency_.worker_ended(exit->signal(), now)) restart_workers();
  }
  count_workers();
  if (shutdown_.stopping()) {
    if (workers_ == 0) io_.stop();
    return;
  }
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const bool mine = std::find(changed.begin(), changed.end(), i) != changed.end();
    if (mine || (!changed.empty() && pools_[i]->pool.held_back())) look(i);
  }
}

/// So many crashes that memory which workers share may be damaged: all of them are made anew.
void Master::Loop::restart_workers() {
  log::warning("failed processes threshold ({} in {} sec) is reached, initiating reload",
               config_.global.emergency_restart_threshold,
               config_.global.emergency_restart_interval.count() / 1000);
  for (auto& running : pools_) running->pool.recycle();
}

void Master::Loop::count_workers() {
  workers_ = 0;
  for (const auto& running : pools_) workers_ += running->pool.workers();
}

/// How many more workers process.max allows.
int Master::Loop::room() const {
  const int limit = config_.global.process_max;
  return limit == 0 ? std::numeric_limits<int>::max() : std::max(0, limit - workers_);
}

/// The one place where a pool is brought to what it wants; called whenever something may have
/// changed for it.
void Master::Loop::look(std::size_t index) {
  if (shutdown_.stopping()) return;
  Running& running = *pools_[index];
  const bool again = running.pool.grow(Clock::now(), room());
  count_workers();
  if (running.pool.held_back() && !told_process_max_) {
    told_process_max_ = true;
    log::warning(
        "The maximum number of processes has been reached. Please review your configuration and "
        "consider raising 'process.max'");
  }
  if (!running.pool.held_back() && room() > 0) told_process_max_ = false;
  if (again) asio::post(io_, [this, index] { guarded([&] { look(index); }); });
  if (const auto at = running.pool.retry_at()) {
    after(running.retry, *at, [this, index] { look(index); });
  }
  check_deadlines(running);
  if (!running.shrink_pending) shrink(index);
  relieve(index);
  wait_for_clients(index);
}

void Master::Loop::wait_for_clients(std::size_t index) {
  const Pool& pool = pools_[index]->pool;
  if (!pool.needs_listener_watch()) return;
  if (auto armed = epoll_.arm(pool.listener(), listener_tag(index)); !armed) {
    log::in_pool(log::Level::error, pool.config().name, "{}", armed.error().text());
  }
}

void Master::Loop::shrink(std::size_t index) {
  Running& running = *pools_[index];
  const auto next = running.pool.shrink(Clock::now());
  running.shrink_pending = next.has_value();
  if (next) after(running.shrink, *next, [this, index] { shrink(index); });
}

void Master::Loop::check_deadlines(Running& running) {
  const auto next = running.pool.check_deadlines();
  if (!next || running.pool.workers() == 0) return;
  after(running.deadline, *next, [this, &running] { check_deadlines(running); });
}

/// Clients wait while workers sit on idle kept connections and nobody accepts: wakes as many.
void Master::Loop::relieve(std::size_t index) {
  Running& running = *pools_[index];
  if (running.pool.relieve()) {
    after(running.relieve, Clock::now() + kRelieveAgain, [this, index] { look(index); });
  }
}

void Master::Loop::tick() {
  guarded([this] {
    log::flush();
    for (std::size_t i = 0; i < pools_.size(); ++i) {
      if (pools_[i]->pool.workers() == 0) continue;
      pools_[i]->pool.note_peaks();
      shrink(i);
      look(i);
    }
  });
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) tick();
  });
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
  if (any && all) log::notice("access log file re-opened");
  send_new_logs();
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

os::Activity Master::Loop::activity() const {
  os::Activity sum;
  for (const auto& running : pools_) {
    const scoreboard::Board::Counts counts = running->pool.board().counts();
    sum.active += counts.active;
    sum.idle += counts.idle;
    sum.requests += running->pool.board().pulse().accepted.load(std::memory_order_relaxed);
    sum.slow += running->pool.board().pulse().slow.load(std::memory_order_relaxed);
  }
  return sum;
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
