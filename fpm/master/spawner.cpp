#include "fpm/master/spawner.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fpm/log/log.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

namespace {

/// The child's ends of what spawn() opened.
struct ChildEnds {
  os::UniqueFd channel;
  os::UniqueFd out;
  os::UniqueFd err;
};

/// The log keeps a descriptor of its own when it goes to stderr, which is about to be replaced.
void keep_log() {
  const int log = log::descriptor();
  if (log < 0 || log > STDERR_FILENO) return;
  if (auto copy = os::duplicate(log)) log::use_descriptor(std::move(*copy));
}

}  // namespace

ForkSpawner::ForkSpawner(Entries entries,
                         std::function<void(const config::Pool&)> forget_others)
    : entries_(entries), forget_others_(std::move(forget_others)) {}

os::Result<Spawned> ForkSpawner::spawn(const WorkerPlace& place) {
  return make(place, entries_.worker);
}

os::Result<Spawned> ForkSpawner::spawn_template(const WorkerPlace& place) {
  return make(place, entries_.preload);
}

os::Result<Spawned> ForkSpawner::make(const WorkerPlace& place, WorkerEntry entry) {
  Spawned spawned;
  ChildEnds ends;
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  if (!channel) return channel.error();
  spawned.channel = std::move(channel->first);
  ends.channel = std::move(channel->second);
  if (place.pool->catch_workers_output || !place.pool->output_log.empty()) {
    auto out = os::make_pipe();
    if (!out) return out.error();
    auto err = os::make_pipe();
    if (!err) return err.error();
    spawned.out = std::move(out->read);
    spawned.err = std::move(err->read);
    ends.out = std::move(out->write);
    ends.err = std::move(err->write);
  }
  const pid_t master = ::getpid();
  place.board->memory().inherit(true);
  place.ledger->memory().inherit(true);
  const auto pid = os::fork_process();
  if (!pid || *pid > 0) {
    place.board->memory().inherit(false);
    place.ledger->memory().inherit(false);
  }
  if (!pid) return pid.error();
  if (*pid > 0) {
    spawned.pid = *pid;
    // Only the master's ends: the open files of the child's ends are others.
    if (spawned.out) (void)os::set_nonblocking(spawned.out.get(), true);
    if (spawned.err) (void)os::set_nonblocking(spawned.err.get(), true);
    return spawned;
  }
  // In the child. It leads a process group of its own: ^C in a terminal is for the master to judge.
  ::setpgid(0, 0);
  keep_log();
  os::replace_stdio(ends.out.get(), ends.err.get());
  os::close_all_but({place.listener, ends.channel.get(), place.access_log, place.slow_log,
                     place.wakeup, log::descriptor(),
                     log::output_descriptor(place.pool->name)});
  forget_others_(*place.pool);
  const WorkerStart start{.pool = *place.pool,
                          .identity = place.identity,
                          .board = *place.board,
                          .totals = place.ledger->totals(),
                          .slot = place.slot,
                          .master_pid = master,
                          .listener = place.listener,
                          .channel = ends.channel.get(),
                          .access_log = place.access_log,
                          .slow_log = place.slow_log,
                          .wakeup = place.wakeup,
                          .log = log::descriptor(),
                          .on_end = nullptr,
                          .stand_in = place.stand_in,
                          .log_generation = place.log_generation};
  entry(start);
  os::exit_now(kExitSetupFailed);
}

void ForkSpawner::signal(pid_t pid, int signal) { (void)os::send_signal(pid, signal); }

}  // namespace fpm::master
