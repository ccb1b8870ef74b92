#include "fpm/master/spawner.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "fpm/log/log.hpp"
#include "fpm/master/template_entry.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/process.hpp"

namespace fpm::master {

namespace {

/// The child's ends of what spawn() opened.
struct ChildEnds {
  os::UniqueFd channel;
  os::UniqueFd out;
  os::UniqueFd err;
};

os::Result<void> open_ends(const config::Pool& pool, Spawned& ours, ChildEnds& theirs) {
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  if (!channel) return channel.error();
  ours.channel = std::move(channel->first);
  theirs.channel = std::move(channel->second);
  if (!pool.catch_workers_output && pool.output_log.empty()) return {};
  auto out = os::make_pipe();
  if (!out) return out.error();
  auto err = os::make_pipe();
  if (!err) return err.error();
  ours.out = std::move(out->read);
  ours.err = std::move(err->read);
  theirs.out = std::move(out->write);
  theirs.err = std::move(err->write);
  return {};
}

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
  return place.pool->shared_template ? copy(place) : make(place, entries_.preload);
}

os::Result<Spawned> ForkSpawner::make(const WorkerPlace& place, WorkerEntry entry) {
  Spawned spawned;
  ChildEnds ends;
  if (auto done = open_ends(*place.pool, spawned, ends); !done) return done.error();
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

void ForkSpawner::signal(pid_t pid, int signal) {
  if (pid > 0) (void)os::send_signal(pid, signal);
}

// --- template = shared ----------------------------------------------------------------------------

/// It reads the order when it has loaded; its answer comes over the new template's own channel.
os::Result<Spawned> ForkSpawner::copy(const WorkerPlace& place) {
  Spawned spawned;
  ChildEnds ends;
  if (auto done = open_ends(*place.pool, spawned, ends); !done) return done.error();
  const std::array<int, kPassed> all{ends.channel.get(), place.listener, place.wakeup,
                                     place.board->memory().fd(), place.ledger->memory().fd(),
                                     log::descriptor(), place.access_log, place.slow_log,
                                     ends.out.get(), ends.err.get()};
  CopyOrder order;
  order.pool = place.pool;
  order.identity = place.identity;
  order.slots = place.board->slots();
  order.log_generation = place.log_generation;
  std::array<int, kPassed> fds{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < kPassed; ++i) {
    if (all[i] < 0) continue;
    order.travels |= 1U << i;
    fds[count++] = all[i];
  }
  std::array<char, sizeof order> bytes;
  std::memcpy(bytes.data(), &order, sizeof order);
  for (const bool again : {true, false}) {
    if (!shared_) {
      if (auto done = start_shared(place); !done) return done.error();
    }
    auto sent = os::send_packet(shared_.get(), bytes, std::span(fds.data(), count));
    if (sent) break;
    const bool gone = sent.error().code == EPIPE || sent.error().code == ECONNRESET;
    if (!gone || !again) return sent.error();
    end_shared();
  }
  if (spawned.out) (void)os::set_nonblocking(spawned.out.get(), true);
  if (spawned.err) (void)os::set_nonblocking(spawned.err.get(), true);
  return spawned;
}

/// A copy of the master with all its pools, but for their memory and descriptors.
os::Result<void> ForkSpawner::start_shared(const WorkerPlace& place) {
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  if (!channel) return channel.error();
  const pid_t master = ::getpid();
  const auto pid = os::fork_process();
  if (!pid) return pid.error();
  if (*pid > 0) {
    shared_pid_ = *pid;
    shared_ = std::move(channel->first);
    return {};
  }
  ::setpgid(0, 0);
  keep_log();
  os::replace_stdio(-1, -1);
  os::close_all_but({channel->second.get(), log::descriptor()});
  const WorkerStart start{.pool = *place.pool,
                          .identity = place.identity,
                          .board = *place.board,
                          .totals = place.ledger->totals(),
                          .slot = 0,
                          .master_pid = master,
                          .listener = -1,
                          .channel = channel->second.get(),
                          .access_log = -1,
                          .slow_log = -1,
                          .wakeup = -1,
                          .log = log::descriptor(),
                          .on_end = nullptr,
                          .forget_others = forget_others_,
                          .stand_in = false,
                          .log_generation = place.log_generation};
  entries_.preload_all(start);
  os::exit_now(kExitSetupFailed);
}

bool ForkSpawner::reap(const os::Exit& exit) {
  if (!is_shared(exit.pid)) return false;
  SetupFailure failure;
  const std::uint32_t magic = failure.magic;
  const ssize_t got = ::recv(shared_.get(), &failure, sizeof failure, MSG_DONTWAIT);
  failure.step[sizeof failure.step - 1] = '\0';
  if (got == static_cast<ssize_t>(sizeof failure) && failure.magic == magic) {
    log::error("the template of all pools cannot load PHP: {}",
               os::Error(failure.code, log::printable(failure.step)).text());
  } else {
    log::error("the template of all pools ended {}",
               exit.signaled() ? "on signal " + os::signal_name(exit.signal())
                               : fmt::format("with code {}", exit.code()));
  }
  shared_pid_ = 0;
  shared_.reset();
  return true;
}

void ForkSpawner::end_shared() {
  signal(shared_pid_, SIGKILL);
  shared_pid_ = 0;
  shared_.reset();
}

}  // namespace fpm::master
