// One generation of a pool while it runs: its configuration, its scoreboard, its workers.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/log/access_format.hpp"
#include "fpm/log/late_report.hpp"
#include "fpm/master/account.hpp"
#include "fpm/master/farewell.hpp"
#include "fpm/master/listeners.hpp"
#include "fpm/master/spawner.hpp"
#include "fpm/master/template.hpp"
#include "fpm/os/process.hpp"
#include "fpm/policy/backoff.hpp"
#include "fpm/policy/deadlines.hpp"
#include "fpm/policy/scaling.hpp"
#include "fpm/policy/shutdown.hpp"
#include "fpm/scoreboard/board.hpp"

namespace fpm::master {

using Clock = std::chrono::steady_clock;

/// Follows what one worker prints, until it ends. Made by the master for each worker whose output
/// is captured; destroyed with it.
class OutputWatch {
 public:
  virtual ~OutputWatch() = default;
};
/// Takes the reading ends.
using WatchOutput =
    std::function<std::unique_ptr<OutputWatch>(const config::Pool&, pid_t, os::UniqueFd out,
                                               os::UniqueFd err)>;

/// A generation's workers are started, judged, pushed and reaped here. Nothing here waits: the
/// master calls, and asks when to call again. A reload makes a new Pool beside the old one, which
/// drains; what both share is in `Parts` by shared_ptr.
class Pool {
 public:
  /// What a generation is made of; opened before it begins, so that every refusal comes while
  /// nothing has changed yet.
  struct Parts {
    std::unique_ptr<config::Pool> config;
    std::optional<os::Identity> identity;  ///< nothing: workers stay who the master is
    std::shared_ptr<Listener> listener;
    std::shared_ptr<Account> account;
    os::UniqueFd access_log;
    os::UniqueFd slow_log;
  };

  /// Opens the files of a generation; listener and account are the caller's to add. Errors are for
  /// the operator: no right to a file.
  /// `identity`: whom its workers become; nothing: they stay who the master is.
  static os::Result<Parts> open_parts(config::Pool config, std::optional<os::Identity> identity);

  Pool(Parts parts, Spawner& spawner, WatchOutput watch_output);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  const config::Pool& config() const { return *parts_.config; }
  /// Empty until the first worker is started; so is wakeup().
  scoreboard::Board& board() { return board_; }
  const scoreboard::Board& board() const { return board_; }
  /// Of all generations; not before the first worker.
  scoreboard::Totals& totals() const { return *parts_.account->totals(); }
  const std::shared_ptr<Account>& account() const { return parts_.account; }
  const std::shared_ptr<Listener>& listening() const { return parts_.listener; }
  int listener() const { return parts_.listener->fd(); }
  /// An eventfd that workers write to when the pool is to be looked at.
  int wakeup() const { return wakeup_.get(); }
  int workers() const { return workers_; }

  /// The first workers, `least` or more of them, as far as `room` goes. `told`: each tells when it
  /// has reached accept, see first_workers_serve().
  void start(Clock::time_point now, int room, int least = 0, bool told = false);
  /// The old generation goes.
  void serves_alone();
  /// The workers of start() have all reached accept, or those for which process.max has room.
  bool first_workers_serve() const;
  /// A worker could not be started, or ended before it reached accept, since the last success.
  bool fails_to_start() const { return retry_at_.has_value(); }
  /// Looks at the pool and starts what it wants, at most `room` workers (process.max). From the
  /// moment of the look on the next worker that takes the last spare place writes to wakeup().
  /// @return more is wanted at once: look again after the loop's other work.
  bool grow(Clock::time_point now, int room);
  /// Retires idle workers that are too many. @return when the next one of an ondemand pool will
  /// have been idle for long enough; nothing: no such moment is known.
  std::optional<Clock::time_point> shrink(Clock::time_point now);
  /// When grow() wants to be called again though nothing ends: failing starts have to wait.
  std::optional<Clock::time_point> retry_at() const { return retry_at_; }
  /// Nobody waits in accept and nobody is on the way, but somebody could be: the listening socket
  /// has to be watched.
  bool needs_listener_watch() const;
  /// It may not have all the workers it wants because of process.max.
  bool held_back() const { return held_back_; }

  // Where an application is loaded once for all workers (config::runs_inside).
  /// What the template is heard on, -1: there is none now. Changes with grow() and reap().
  int template_channel() const { return template_ ? template_->channel() : -1; }
  /// Another one for each template that this pool has had; 0: there is none now.
  std::uint64_t template_number() const { return template_ ? template_number_ : 0; }
  pid_t template_pid() const { return template_ ? template_->pid() : 0; }
  /// Takes what it tells: workers that it has started. `taken`: the process is known for something else.
  void hear_template(Clock::time_point now, const std::function<bool(pid_t)>& taken);
  /// A process of that number is one of this pool's workers.
  bool has_worker(pid_t pid) const;
  /// Ends the template of an ondemand pool that has had no worker for template.idle_timeout, and one that
  /// does not do what it was asked for. @return when to ask again; nothing: with the next change.
  std::optional<Clock::time_point> check_template(Clock::time_point now);

  /// A child of the master has ended. @return it was one of this pool's workers, and its slot is
  /// free again, or its template.
  bool reap(const os::Exit& exit, Clock::time_point now);

  /// Wakes workers that wait for too long, and ends requests that their workers did not end: stops
  /// the worker, gives its client the 504 if no answer was begun, kills it. @return when to look
  /// again; nothing: no limit is set, or there is no worker.
  std::optional<Clock::time_point> check_deadlines();

  /// Idle workers go, to make room for those of a new generation: until `most` are on their way.
  void give_up_idle(int most);
  /// Up to `most` workers go, those that are in a request at its end; only of handlers whose requests are
  /// executed by another process, which does not see the signal.
  void give_up(int most);
  /// Those go that have not reached accept.
  void give_up_starting();
  /// Workers that have reached accept.
  int serving_workers() const;
  /// What its workers print goes to its output_log, if it has one, else to the master's log.
  void use_output_log() const;
  /// Opens the pool's access log anew. @return false: it could not, the old one stays in use.
  bool reopen_logs();
  /// Hands the logs that are open now to workers that have older ones, and wakes those that sleep.
  /// @return all have them, but for those in a request, which look before their next line; else
  /// call again soon.
  bool send_new_logs();

  /// No new worker, and those that are there finish what they do. `hand_on`: another generation
  /// accepts at the same socket. Else the queue is closed to new clients, and what is in it is
  /// served first. Only idle workers get a signal: it would cut short a system call of a request. Those on
  /// idle kept connections may serve one more request there, see close_kept().
  void drain(bool hand_on);
  /// While it drains: workers that still wait on kept connections close them and go.
  void close_kept();
  bool draining() const { return stopping_; }
  /// Every worker gets the push; a quit only those without a request, since the others leave when they
  /// have served theirs.
  void push(policy::Push push);
  /// No new worker, and every worker gets the push. Before a quit the queue is closed to new
  /// clients, and workers serve what is in it before they go.
  void stop(policy::Push push);
  /// After drain(false) or stop(quit): the queue is empty, or nobody is left to serve it. Gives the
  /// address free also in workers that are still in a request. @return it is done.
  bool release_address();
  /// Takes the socket's file away.
  void unlink() { parts_.listener->unlink(); }

  /// Workers sit on idle kept connections while clients wait and nobody accepts: frees as many as
  /// wait. @return some were woken: look again soon whether that was enough.
  bool relieve();
  /// Keeps the highest count of active workers and of waiting connections for the status page.
  void note_peaks();

 private:
  /// A worker that has been stopped, and why.
  struct Held {
    std::uint64_t request_started_ns = 0;
    Clock::time_point since{};
    std::string where;  // it was stuck before
  };
  struct Worker {
    pid_t pid = 0;
    std::uint32_t order = 0;  // at the template; not 0: there is no process yet
    os::UniqueFd process;     // of a worker whose pid a template has named: what it is signalled by
    os::UniqueFd out;         // of what it will print, until it is there
    os::UniqueFd err;
    Clock::time_point started{};
    os::UniqueFd channel;
    std::unique_ptr<OutputWatch> output;
    std::optional<scoreboard::ExitCause> asked;  // to end, and why
    bool overdue = false;      // killed for its request's time
    struct Asked {
      std::uint64_t request = 0;  // by its start; 0: none
      std::uint64_t at_ns = 0;
    };
    Asked if_slow;                  // told to look at the time of that request
    Asked to_end;                   // likewise
    std::uint64_t slow_here = 0;    // the request that the master has called slow
    std::optional<SetupFailure> failure;
    int given_status = 0;      // what its client got instead of its answer; 0: nothing
    std::optional<Held> held;  // stopped, for its request's time
    bool has_new_logs = true;  // those that were opened last
    bool stand_in = false;     // answers 503 while the application cannot be loaded
    bool successor = false;    // of a worker that retires when this one serves
  };

  policy::Workers count() const;
  scoreboard::Board::Counts count_anew() const;
  void spawn_some(int wanted, Clock::time_point now);
  void replace_retiring(Clock::time_point now, int room);
  void let_one_retire();
  void tell_limit(bool at_limit);
  os::Result<void> make_memory();
  bool ask_to_leave(int slot, scoreboard::ExitCause why);
  void ask(Worker& worker, scoreboard::ExitCause why);
  bool is_in_request(int slot) const;
  void close_queue();
  void count_exit(int slot, const os::Exit& exit, bool was_ready);
  bool spawn(int slot, Clock::time_point now, bool stand_in = false);
  void started(Worker& worker);
  void signal(const Worker& worker, int signal);
  WorkerPlace place(int slot);
  bool has_template() const { return config::runs_inside(config()); }
  os::Result<void> start_template();
  bool order(int slot, Clock::time_point now);
  void forget_order(int slot);
  void forget_orders();
  void know_template();
  bool template_tells(const News& news, const std::function<bool(pid_t)>& taken);
  void template_lost(Clock::time_point now);
  void end_template();
  void template_failed(Clock::time_point now);
  std::optional<Clock::time_point> hurry_template(Clock::time_point now);
  bool worker_started(const News& news, Clock::time_point now,
                      const std::function<bool(pid_t)>& taken);
  void template_ended(const os::Exit& exit, Clock::time_point now);
  bool send_new_logs_to_template();
  void put_stand_in(Clock::time_point now);
  void dismiss_stand_in();
  std::optional<int> stand_in() const;
  void cannot_start(const os::Error& error, Clock::time_point now);
  void start_failed(Clock::time_point now);
  std::optional<int> vacant_slot() const;
  void tell_end(const Worker& worker, int slot, const os::Exit& exit, Clock::time_point now);
  bool send_new_logs(const Worker& worker);
  std::vector<scoreboard::Moment> moments();
  void read_reports(Worker& worker);
  void tell_late(Worker& worker, const log::LateReport& report);
  void write_slow(const log::LateReport& report, pid_t pid);
  void tell_slow_here(Worker& worker, int slot, std::uint64_t request);
  void ask(Worker& worker, const policy::Overdue& overdue);
  void hold(Worker& worker, std::uint64_t request_started_ns, Clock::time_point now);
  bool take_over(Worker& worker, int slot, Clock::time_point now);
  std::string reach_client(const Worker& worker, int slot, std::optional<Farewell>& farewell,
                           std::uint16_t& id);
  void tell_overdue(const Worker& worker, int slot, const std::string& where,
                    const std::string& outcome);
  void log_lost_request(int slot, const os::Exit& exit);
  std::string request_of(int slot) const;
  scoreboard::Pulse& pulse() const { return board_.pulse(); }

  Parts parts_;
  scoreboard::Board board_;
  os::UniqueFd wakeup_;
  Spawner& spawner_;
  WatchOutput watch_output_;
  std::vector<std::optional<Worker>> slots_;
  std::unique_ptr<Template> template_;
  std::uint64_t template_number_ = 0;
  std::unique_ptr<OutputWatch> template_output_;
  std::optional<Clock::time_point> template_idle_since_;
  std::optional<Clock::time_point> template_owes_since_;  // what it was ordered, or to load
  bool template_has_new_logs_ = true;
  int orders_ = 0;  // given to the template, which has not started the worker yet
  int owed_ = 0;    // workers that it is to be asked for when it has done with those
  int workers_ = 0;
  int least_ = 0;  // workers, until it serves alone
  std::uint64_t relieved_ns_ = 0;  // last look for kept connections to close
  int asked_ = 0;  // of them, told to go
  bool serving_ = false;  // the first workers have been started
  bool announce_ = false; // workers tell when they reach accept
  bool stopping_ = false;
  bool released_ = false;
  bool at_limit_ = false;   // pm.max_children, told once
  bool held_back_ = false;  // by process.max
  policy::Backoff backoff_;
  log::AccessFormat access_format_;  // for lines that workers could not write any more
  std::optional<Clock::time_point> retry_at_;
  std::unique_ptr<log::SlowLog> slow_log_;  // of workers that cannot write it themselves; it is large
  std::vector<Farewell> farewells_;  // connections that were answered here
};

}  // namespace fpm::master
