// Making worker processes. An interface, so that a pool's behaviour is tested without a fork.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <functional>

#include "fpm/master/worker_entry.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

/// What a pool has that its workers need. The objects outlive every worker of the pool.
struct WorkerPlace {
  const config::Pool* pool = nullptr;
  const os::Identity* identity = nullptr;  ///< null: workers stay who the master is
  scoreboard::Board* board = nullptr;
  const scoreboard::Ledger* ledger = nullptr;
  int listener = -1;
  int access_log = -1;
  int slow_log = -1;
  int wakeup = -1;
  int slot = 0;
  bool stand_in = false;  ///< the worker answers 503 in place of what cannot be loaded
  std::uint32_t log_generation = 0;  ///< of the logs that are open now
};

/// A worker process, as the master holds it.
struct Spawned {
  pid_t pid = 0;         ///< 0: a template that is yet to be made, and tells its pid
  os::UniqueFd channel;  ///< the master's end
  os::UniqueFd out;      ///< what it prints, non-blocking; empty unless catch_workers_output
  os::UniqueFd err;
};

class Spawner {
 public:
  virtual ~Spawner() = default;
  /// Starts one worker. An Error means that there is none (fork refused, no descriptors).
  virtual os::Result<Spawned> spawn(const WorkerPlace& place) = 0;
  /// Starts a template, which loads what `place`'s workers share; its slot counts for nothing. An Error
  /// means that there is none.
  virtual os::Result<Spawned> spawn_template(const WorkerPlace& place) {
    (void)place;
    return os::Error(ENOSYS, "template");
  }
  /// kill(2); a process that has ended is no error.
  virtual void signal(pid_t pid, int signal) = 0;
};

/// The real one.
class ForkSpawner final : public Spawner {
 public:
  /// `forget_others` runs in the child: it takes what belongs to other pools than the given one
  /// out of the process.
  ForkSpawner(Entries entries, std::function<void(const config::Pool&)> forget_others);

  os::Result<Spawned> spawn(const WorkerPlace& place) override;
  os::Result<Spawned> spawn_template(const WorkerPlace& place) override;
  void signal(pid_t pid, int signal) override;

  // The process that templates of pools are copies of, with template = shared.
  /// There is such a process, and this is its pid.
  bool is_shared(pid_t pid) const { return shared_pid_ != 0 && pid == shared_pid_; }
  /// It has ended. @return it was that process; the next template starts another.
  bool reap(const os::Exit& exit);
  /// It ends; the next template gets another, which knows the pools that are there then.
  void end_shared();

 private:
  os::Result<Spawned> make(const WorkerPlace& place, WorkerEntry entry);
  os::Result<Spawned> copy(const WorkerPlace& place);
  os::Result<void> start_shared(const WorkerPlace& place);

  Entries entries_;
  std::function<void(const config::Pool&)> forget_others_;
  pid_t shared_pid_ = 0;  // 0: there is none
  os::UniqueFd shared_;   // its channel
};

}  // namespace fpm::master
