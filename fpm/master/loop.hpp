// The inside of the master: its event loop. For the sources of this room that run it; Asio is in no
// other header.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fpm/log/log.hpp"
#include "fpm/master/master.hpp"
#include "fpm/master/service_manager.hpp"
#include "fpm/master/signals.hpp"
#include "fpm/os/epoll.hpp"
#include "fpm/policy/emergency.hpp"
#include "fpm/policy/shutdown.hpp"

namespace fpm::master {

namespace asio = boost::asio;

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

/// One shot of a timer; what it does runs guarded. A timer that is set again forgets its old work.
template <class Work>
void Master::Loop::after(asio::steady_timer& timer, Clock::time_point when, Work work) {
  timer.expires_at(when);
  timer.async_wait([this, work](const boost::system::error_code& failure) {
    if (!failure) guarded(work);
  });
}

}  // namespace fpm::master
