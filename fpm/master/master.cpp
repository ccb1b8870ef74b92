#include "fpm/master/master.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "fpm/log/log.hpp"
#include "fpm/master/output.hpp"
#include "fpm/master/secrets.hpp"
#include "fpm/master/service_manager.hpp"
#include "fpm/master/signals.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"
#include "fpm/policy/shutdown.hpp"

namespace fpm::master {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kTick{1000};
/// How soon workers on kept connections are looked at again while clients wait.
constexpr milliseconds kRelieveAgain{20};

/// A pool with what the loop needs for it.
struct Running {
  Running(asio::io_context& io, Pool::Parts parts, Spawner& spawner, WatchOutput watch)
      : pool(std::move(parts), spawner, std::move(watch)),
        retry(io),
        deadline(io),
        relieve(io),
        wakeup(io),
        listener(io) {}

  Pool pool;
  asio::steady_timer retry;     // of failing starts
  asio::steady_timer deadline;  // the next request that can be overdue
  asio::steady_timer relieve;   // of idle kept connections
  // Copies of descriptors that the pool owns: Asio wants to own what it watches.
  asio::posix::stream_descriptor wakeup;
  asio::posix::stream_descriptor listener;
  bool watching_listener = false;
};

}  // namespace

class Master::Loop {
 public:
  Loop(const config::Config& config, std::vector<Pool::Parts> parts, WorkerEntry entry,
       Surroundings surroundings);

  os::Result<void> run();

 private:
  os::Result<void> watch_everything();
  void watch_signals();
  void on_signal(const SignalRecord& record);
  void reap_children();
  void fill(Running& running);
  void check_deadlines(Running& running);
  void watch_wakeup(Running& running);
  void relieve(Running& running);
  void watch_listener(Running& running);
  void tick();
  void stop(policy::StopOrder order);
  void push(const policy::StopStep& step);
  int workers() const;
  os::Activity activity() const;
  void forget_others(const config::Pool& pool);
  template <class Work>
  void guarded(Work&& work);

  const config::Config& config_;
  asio::io_context io_{1};
  ForkSpawner spawner_;
  std::function<void()> on_ready_;
  std::optional<rlimit> file_limit_;
  ServiceManager service_manager_;
  std::optional<Signals> signals_;
  asio::posix::stream_descriptor signal_watch_{io_};
  asio::steady_timer tick_{io_};
  asio::steady_timer escalation_{io_};
  policy::Shutdown shutdown_;
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
      file_limit_(surroundings.file_limit),
      service_manager_(io_, std::move(surroundings.service_manager), config.global.systemd_interval,
                       [this] { return activity(); }),
      shutdown_(config.global.process_control_timeout) {
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
  for (auto& running : pools_) fill(*running);
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
  for (auto& running : pools_) {
    auto wakeup = os::duplicate(running->pool.wakeup());
    if (!wakeup) return wakeup.error();
    auto listener = os::duplicate(running->pool.listener());
    if (!listener) return listener.error();
    running->wakeup.assign(wakeup->release());
    running->listener.assign(listener->release());
    watch_wakeup(*running);
  }
  return {};
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
    default:
      log::warning("{} is not supported yet, nothing is done", os::signal_name(record.signal));
      break;
  }
}

void Master::Loop::reap_children() {
  const auto now = Clock::now();
  while (const auto exit = os::reap()) {
    const auto owner = std::find_if(pools_.begin(), pools_.end(), [&](const auto& running) {
      return running->pool.reap(*exit, now);
    });
    // As process 1 of a container we inherit what others leave behind.
    if (owner == pools_.end()) log::debug("reaped pid {}, no worker of ours", exit->pid);
  }
  if (shutdown_.stopping()) {
    if (workers() == 0) io_.stop();
    return;
  }
  for (auto& running : pools_) fill(*running);
}

void Master::Loop::fill(Running& running) {
  running.pool.fill(Clock::now());
  if (const auto at = running.pool.retry_at()) {
    running.retry.expires_at(*at);
    running.retry.async_wait([this, &running](const boost::system::error_code& failure) {
      if (!failure) guarded([&] { fill(running); });
    });
  }
  check_deadlines(running);
}

void Master::Loop::check_deadlines(Running& running) {
  const auto next = running.pool.check_deadlines();
  if (!next || running.pool.workers() == 0) return;
  running.deadline.expires_at(*next);
  running.deadline.async_wait([this, &running](const boost::system::error_code& failure) {
    if (!failure) guarded([&] { check_deadlines(running); });
  });
}

/// A worker took the last place in accept while others sit on kept connections.
void Master::Loop::watch_wakeup(Running& running) {
  running.wakeup.async_wait(asio::posix::stream_descriptor::wait_read,
                            [this, &running](const boost::system::error_code& failure) {
                              if (failure) return;
                              std::uint64_t count = 0;
                              (void)!::read(running.pool.wakeup(), &count, sizeof count);
                              guarded([&] { watch_listener(running); });
                              watch_wakeup(running);
                            });
}

/// Waits for a client in the queue, then frees workers for it; ends when one accepts again.
void Master::Loop::watch_listener(Running& running) {
  if (running.watching_listener || shutdown_.stopping()) return;
  running.watching_listener = true;
  running.listener.async_wait(asio::posix::stream_descriptor::wait_read,
                              [this, &running](const boost::system::error_code& failure) {
                                running.watching_listener = false;
                                if (!failure) guarded([&] { relieve(running); });
                              });
}

void Master::Loop::relieve(Running& running) {
  running.pool.board().pulse().armed.store(1, std::memory_order_seq_cst);
  if (!running.pool.relieve()) return;
  running.relieve.expires_after(kRelieveAgain);
  running.relieve.async_wait([this, &running](const boost::system::error_code& failure) {
    if (!failure) guarded([&] { watch_listener(running); });
  });
}

void Master::Loop::tick() {
  guarded([this] {
    log::flush();
    for (auto& running : pools_) running->pool.note_peaks();
  });
  tick_.expires_after(kTick);
  tick_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) tick();
  });
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
    running->pool.unlink();
    running->retry.cancel();
    running->pool.stop(step.push);
  }
  if (workers() == 0) {
    io_.stop();
    return;
  }
  escalation_.expires_after(step.wait);
  escalation_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    log::warning("{} workers are still there, they are ended now", workers());
    push(shutdown_.escalate());
  });
}

int Master::Loop::workers() const {
  int sum = 0;
  for (const auto& running : pools_) sum += running->pool.workers();
  return sum;
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
