#include "fpm/master/master.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "fpm/build_config.hpp"
#include "fpm/master/loop.hpp"
#include "fpm/os/daemonize.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds kNewLogsAgain{100};
/// How often the queue is looked at while the program finishes.
constexpr milliseconds kReleaseAgain{20};
/// How long the reader of the log is waited for at the end, twice.
constexpr milliseconds kLastLines{1000};

}  // namespace

Master::Master(std::string file, config::Global global, std::vector<Pool::Parts> parts,
               Entries entries, Surroundings surroundings)
    : loop_(std::make_unique<Loop>(std::move(file), std::move(global), std::move(parts), entries,
                                   std::move(surroundings))) {}

Master::~Master() = default;

os::Result<void> Master::run() { return loop_->run(); }

Master::Loop::Loop(std::string file, config::Global global, std::vector<Pool::Parts> parts,
                   Entries entries, Surroundings surroundings)
    : file_(std::move(file)),
      global_(std::move(global)),
      spawner_(entries, [this](const config::Pool& pool) { forget_others(pool); }),
      surroundings_(std::move(surroundings)),
      service_manager_(io_, std::move(surroundings_.service_manager), global_.systemd_interval,
                       [this] { return activity(); }),
      shutdown_(global_.process_control_timeout),
      emergency_(global_.emergency_restart_threshold, global_.emergency_restart_interval) {
  for (Pool::Parts& part : parts) {
    Running& running = add(std::move(part));
    services_[running.name()].serving = running.id;
    order_.push_back(running.name());
  }
}

os::Result<void> Master::Loop::run() {
  if (auto ready = watch_everything(); !ready) return ready;
  log::notice("fpm is running, pid {}", ::getpid());
  for (auto& [id, running] : running_) {
    running->pool.account()->next_generation();
    running->pool.account()->enter(scoreboard::PoolState::serving);
    running->pool.start(Clock::now(), room());
    recount(*running);
  }
  for (GenerationId id = 1; id <= last_id_; ++id) look(id);
  reporter_.emplace(io_, [this] { return reported_pools(); });
  reporter_->use(std::move(surroundings_.reporter));
  doors_.emplace(io_, [this] { tell_reporter(); });
  opened_doors_ = std::move(surroundings_.doors);
  for (auto& [id, running] : running_) use_door(*running);
  if (surroundings_.control) {
    control_.emplace(io_, std::move(surroundings_.control), *this, FPM_VERSION);
  }
  log::notice("ready to handle connections");
  log::end_stderr_copy();
  if (surroundings_.on_ready) surroundings_.on_ready();
  service_manager_.ready();
  tick();
  io_.run();
  for (auto& [id, running] : running_) running->pool.unlink();
  control_.reset();
  doors_.reset();
  reporter_.reset();
  // Room for the last line, also where many were written that nobody has read yet.
  log::flush(kLastLines);
  log::notice("exiting, bye-bye!");
  log::flush(kLastLines);
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
  for (const auto& [id, running] : running_) {
    if (auto done = epoll_.add_unarmed(running->pool.listener(), listener_tag(id)); !done) {
      return done;
    }
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
                                const GenerationId id = generation_of(tag);
                                Running* const running = find(id);
                                if (running != nullptr && tag == wakeup_tag(id)) {
                                  std::uint64_t count = 0;
                                  (void)!::read(running->pool.wakeup(), &count, sizeof count);
                                }
                                if (running != nullptr && tag == template_tag(id)) {
                                  hear_template(*running);
                                }
                                look(id);
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
      finish_or_terminate(policy::StopOrder::terminate);
      break;
    case SIGQUIT:
      finish_or_terminate(policy::StopOrder::finish);
      break;
    case SIGUSR1:
      (void)reopen_logs();
      break;
    case SIGUSR2:
      reload({}, [](const Reply&) {});
      break;
    case SIGHUP:
      (void)reopen_logs();
      reload({.pool = {}, .changed = true}, [](const Reply&) {});
      break;
    default:
      log::warning("{} is not supported yet, nothing is done", os::signal_name(record.signal));
      break;
  }
}

/// USR1: every log under its name anew, in every process, without a restart.
Reply Master::Loop::reopen_logs() {
  Reply reply{.done = true, .text = "logs reopened"};
  if (auto done = log::reopen()) {
    log::notice("error log file re-opened");
    if (surroundings_.in_background) os::keep_stderr_in(log::descriptor());
  } else {
    log::error("failed to reopen the log: {}", done.error().text());
    reply = {.done = false, .text = "failed to reopen the log: " + done.error().text()};
  }
  bool any = false;
  bool all = true;
  for (auto& [id, running] : running_) {
    any = any || !running->pool.config().access_log.empty();
    all = running->pool.reopen_logs() && all;
  }
  if (doors_) all = doors_->reopen_logs() && all;
  send_new_logs();
  if (any && all) log::notice("access log file re-opened");
  if (!all) reply = {.done = false, .text = "not all could be reopened, the log says which"};
  return reply;
}

/// Until every worker has them: one that did not read its channel yet is tried again.
void Master::Loop::send_new_logs() {
  bool all = true;
  for (auto& [id, running] : running_) all = running->pool.send_new_logs() && all;
  if (!all) after(new_logs_, Clock::now() + kNewLogsAgain, [this] { send_new_logs(); });
}

void Master::Loop::finish_or_terminate(policy::StopOrder order) {
  const auto step = shutdown_.order(order);
  if (!step) return;
  log::notice("{}", order == policy::StopOrder::finish ? "Finishing ..." : "Terminating ...");
  service_manager_.stopping();
  for (auto& [name, service] : services_) service.account->enter(scoreboard::PoolState::stopping);
  if (reporter_) reporter_->stop();
  tell_reporter();
  if (reload_) end_reload({.done = false, .text = "fpm is stopping"});
  if (order == policy::StopOrder::finish && global_.shutdown_delay.count() > 0) {
    // Load balancers that ask /ready send their clients elsewhere meanwhile.
    after(escalation_, Clock::now() + global_.shutdown_delay, [this, step] { push(*step); });
    return;
  }
  push(*step);
}

/// Before a quit the doors finish: the requests that they hold need the workers still. Then, or when
/// the time for both is over, it is the workers' turn.
void Master::Loop::push(const policy::StopStep& step) {
  if (!doors_ || !doors_->any()) return push_workers(step);
  if (step.push == policy::Push::kill) doors_->kill_all();
  if (step.push != policy::Push::quit) {
    doors_->finish_all(step.wait, [this] { end_if_all_ended(); });
    return push_workers(step);
  }
  finish_until_ = Clock::now() + step.wait;
  after(escalation_, finish_until_, [this] { push(shutdown_.escalate()); });
  doors_->finish_all(step.wait, [this, step] {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(finish_until_ - Clock::now());
    if (left.count() > 0) push_workers({step.push, left});
  });
}

void Master::Loop::end_if_all_ended() {
  if (shutdown_.stopping() && workers_ == 0 && (!doors_ || !doors_->any())) io_.stop();
}

void Master::Loop::push_workers(const policy::StopStep& step) {
  for (auto& [id, running] : running_) {
    running->cancel(&Timers::retry);
    running->cancel(&Timers::shrink);
    running->cancel(&Timers::drain);
    running->cancel(&Timers::rest);
    running->pool.stop(step.push);
    recount(*running);
  }
  if (workers_ == 0 && (!doors_ || !doors_->any())) {
    io_.stop();
    return;
  }
  if (step.push == policy::Push::quit) release_addresses();
  after(escalation_, Clock::now() + step.wait, [this] {
    if (workers_ > 0) log::warning("{} workers are still there, they are ended now", workers_);
    push(shutdown_.escalate());
  });
}

/// While requests are finished: addresses whose queue has been served are given free for another
/// instance, or for a new generation of another pool.
void Master::Loop::release_addresses() {
  bool all = true;
  for (auto& [id, running] : running_) {
    if (running->pool.draining()) all = running->pool.release_address() && all;
  }
  if (!all) after(release_, Clock::now() + kReleaseAgain, [this] { release_addresses(); });
}

/// In a new worker: what belongs to other generations goes, above all passwords.
void Master::Loop::forget_others(const config::Pool& pool) {
  if (surroundings_.file_limit) (void)os::restore_file_limit(*surroundings_.file_limit);
  secrets_.wipe_others(pool);
  if (pool.clear_env) wipe_environment();
}

}  // namespace fpm::master
