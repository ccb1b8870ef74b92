// The inside of the master: its event loop. For the sources of this room that run it; Asio is in no
// other header.
//   master.cpp      the start, signals, the stop
//   loop_pools.cpp  what generations need while they serve
//   reload.cpp      from one generation to the next
//   orders.cpp      what an operator asks for over the control socket
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "fpm/log/log.hpp"
#include "fpm/master/guarded.hpp"
#include "fpm/master/master.hpp"
#include "fpm/master/opening.hpp"
#include "fpm/master/orders.hpp"
#include "fpm/master/secrets.hpp"
#include "fpm/master/service_manager.hpp"
#include "fpm/master/signals.hpp"
#include "fpm/os/epoll.hpp"
#include "fpm/policy/emergency.hpp"
#include "fpm/policy/reload.hpp"
#include "fpm/policy/shutdown.hpp"

namespace fpm::master {

namespace asio = boost::asio;

/// The number of a generation, counted up over all pools and never used again.
using GenerationId = std::uint64_t;

/// What the loop calls a generation by when nothing else does.
struct Timers {
  explicit Timers(asio::io_context& io)
      : retry(io), deadline(io), shrink(io), relieve(io), rest(io), drain(io) {}

  asio::steady_timer retry;     // of failing starts
  asio::steady_timer deadline;  // the next request that can be overdue
  asio::steady_timer shrink;    // the next worker that has been idle for long enough
  asio::steady_timer relieve;   // of idle kept connections
  asio::steady_timer rest;      // the end of a template that nobody needs
  asio::steady_timer drain;     // the next push; while it starts: the end of patience
};

/// A generation with what the loop needs for it. Its descriptors are watched by an epoll
/// set of their own: 5,000 pools cost the loop one descriptor, and a listening socket wakes it only
/// while it is armed.
struct Running {
  Running(GenerationId number, asio::io_context& io, Secrets& all_secrets, Pool::Parts parts,
          Spawner& spawner, WatchOutput watch)
      : id(number),
        pool(std::move(parts), spawner, std::move(watch)),
        secrets(all_secrets, pool.config()),
        io_(io) {}

  const std::string& name() const { return pool.config().name; }
  /// Made when one is first set: most of 5,000 pools never need any.
  Timers& timers() {
    if (!timers_) timers_ = std::make_unique<Timers>(io_);
    return *timers_;
  }
  void cancel(asio::steady_timer Timers::* timer) {
    if (timers_) ((*timers_).*timer).cancel();
  }

  const GenerationId id;
  Pool pool;
  const Secrets::Kept secrets;
  int counted = 0;                 // workers, as they are in the loop's sum
  bool watched = false;            // its eventfd is in the epoll set
  std::uint64_t watched_template = 0;  // so is the channel of that process
  bool shrink_pending = false;
  bool starting = false;           // an old generation serves meanwhile, unless the pool is new
  std::vector<GenerationId> replaces;  // those that drain when this one serves
  int replacers = 0;               // generations that start to take its place
  int served = 0;                  // while it starts: most workers of it that served
  bool kept = false;               // one of those failed: this one goes on
  std::optional<policy::Drain> pushes;  // while it drains

 private:
  asio::io_context& io_;
  std::unique_ptr<Timers> timers_;
};

/// What resume starts of a pool that an operator took out of service.
struct Drained {
  Drained(Secrets& all_secrets, config::Pool pool)
      : config(std::move(pool)), secrets(all_secrets, config) {}

  config::Pool config;
  const Secrets::Kept secrets;
};

/// A pool by its name, through its generations.
struct Service {
  std::shared_ptr<Account> account;
  GenerationId serving = 0;   // 0: none
  GenerationId starting = 0;  // 0: none
  std::unique_ptr<const Drained> drained;  // null: nobody took it out of service
};

using Done = std::function<void(Reply)>;

/// A reload under way.
struct ReloadUnderWay {
  ReloadOrder order;
  std::vector<Done> done;
  std::set<GenerationId> starting;
  std::size_t pools = 0;
  std::vector<std::string> failed;
};
/// One that waits for its end.
struct WaitingReload {
  ReloadOrder order;
  std::vector<Done> done;
};

// Tags of the epoll set: the generation, and which of its descriptors.
constexpr std::uint64_t wakeup_tag(GenerationId id) { return id * 4; }
constexpr std::uint64_t listener_tag(GenerationId id) { return id * 4 + 1; }
constexpr std::uint64_t template_tag(GenerationId id) { return id * 4 + 2; }
constexpr GenerationId generation_of(std::uint64_t tag) { return tag / 4; }

class Master::Loop final : public Orders {
 public:
  Loop(std::string file, config::Global global, std::vector<Pool::Parts> parts, Entries entries,
       Surroundings surroundings);

  os::Result<void> run();

  void reload(const ReloadOrder& order, std::function<void(Reply)> done) override;
  Reply reopen_logs() override;
  Reply drain(std::string_view pool) override;
  Reply resume(std::string_view pool) override;
  Reply stop(bool now) override;
  std::vector<scoreboard::PoolSnapshot> pools(bool full) override;
  Reply connections(std::string_view pool, scoreboard::DoorSnapshot& seen) override;

 private:
  // master.cpp
  os::Result<void> watch_everything();
  void watch_signals();
  void watch_pools();
  void on_signal(const SignalRecord& record);
  void send_new_logs();
  void finish_or_terminate(policy::StopOrder order);
  void push(const policy::StopStep& step);
  void push_workers(const policy::StopStep& step);
  void end_if_all_ended();
  void release_addresses();
  void forget_others(const config::Pool& pool);

  // loop_pools.cpp
  Running& add(Pool::Parts parts);
  Running* find(GenerationId id);
  const Running* find(GenerationId id) const;
  void erase_when_empty(Running& running);
  void reap_children();
  void look(GenerationId id);
  void watch_generation(Running& running);
  void watch_template(Running& running);
  void hear_template(Running& running);
  void wait_for_clients(Running& running);
  void shrink(Running& running);
  void check_deadlines(Running& running);
  void relieve(Running& running);
  void tell_process_max(const Running& running);
  int room() const;
  int room(const Running& running) const;
  const Running* slow_heir(const Running& running) const;
  bool succeeds_slowly(const Running& running) const;
  int replaced_workers(const Running& running) const;
  void let_old_go(Running& running);
  void wait_for_start(Running& running);
  bool gives_way(const Running& running);
  void make_room(Running& running, int wanted);
  void recount(Running& running);
  void tick();
  os::Activity activity() const;
  std::vector<ReportedPool> reported_pools() const;
  void tell_reporter();

  // orders.cpp
  std::vector<const scoreboard::DoorBoard*> door_boards(const std::string& pool) const;

  // reload.cpp
  void begin_reload(ReloadOrder order, std::vector<Done> done);
  bool take_configuration(config::Loaded loaded);
  std::vector<config::Pool> pools_to_start(config::Config& config,
                                           const std::vector<std::string>& names);
  std::vector<policy::RunningPool> running_pools(const config::Config& config) const;
  Existing existing();
  void use_globals(config::Global global);
  void tell_kept_socket(const Pool::Parts& parts) const;
  void begin_generation(Pool::Parts parts);
  void start_generation(GenerationId id);
  void check_start(Running& running);
  void generation_serves(Running& running);
  void generation_failed(Running& running, const char* why);
  void one_replacer_less(Running& replacing, bool serves);
  void remove_pool(const std::string& name);
  std::optional<AllDoorParts> doors_to_start(const config::Config& config,
                                             const std::vector<std::string>& names);
  void use_door(Running& running);
  void finish_door_then_drain(Running& running);
  void drain_generation(Running& running, bool hand_on);
  void push_draining(GenerationId id);
  bool has_heir(const Running& running) const;
  void end_reload(Reply reply);
  void begin_waiting_reload();
  void end_if_all_started();

  template <class Work>
  static void after(asio::steady_timer& timer, Clock::time_point when, Work work);

  const std::string file_;
  config::Global global_;
  asio::io_context io_{1};
  ForkSpawner spawner_;
  Surroundings surroundings_;
  ServiceManager service_manager_;
  std::optional<Control> control_;
  std::optional<Reporter> reporter_;
  std::optional<Doors> doors_;
  AllDoorParts opened_doors_;  // of generations that start
  Clock::time_point finish_until_{};  // QUIT: doors and workers together
  std::optional<Signals> signals_;
  asio::posix::stream_descriptor signal_watch_{io_};
  os::Epoll epoll_;
  asio::posix::stream_descriptor epoll_watch_{io_};
  asio::steady_timer tick_{io_};
  asio::steady_timer escalation_{io_};
  asio::steady_timer release_{io_};
  asio::steady_timer new_logs_{io_};
  bool told_process_max_ = false;
  int workers_ = 0;  // of all generations
  policy::Shutdown shutdown_;
  policy::EmergencyRestart emergency_;

  GenerationId last_id_ = 0;
  Secrets secrets_;
  std::map<GenerationId, std::unique_ptr<Running>> running_;
  std::map<GenerationId, Running*> live_;  // of them, those with processes or in want of some
  std::unordered_map<std::string, Service> services_;
  std::vector<std::string> order_;  // of the configuration
  std::optional<ReloadUnderWay> reload_;
  std::deque<WaitingReload> waiting_;
  Clock::time_point next_reload_{};  // of all pools, not before
  asio::steady_timer reload_timer_{io_};
};

/// One shot of a timer; what it does runs guarded. A timer that is set again forgets its old work.
/// What concerns a generation is to name it by its id: it may be gone by then.
template <class Work>
void Master::Loop::after(asio::steady_timer& timer, Clock::time_point when, Work work) {
  timer.expires_at(when);
  timer.async_wait([work](const boost::system::error_code& failure) {
    if (!failure) guarded(work);
  });
}

}  // namespace fpm::master
