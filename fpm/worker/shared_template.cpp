// The process that loads once what all pools share (template = shared), and is copied for each pool that
// needs a template. It runs as who started the program, as php-fpm's master does, and holds what the
// configuration says of every pool; a copy forgets that of others before anything else.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/master/template_entry.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/sibling.hpp"
#include "fpm/worker/life.hpp"
#include "fpm/worker/setup.hpp"
#include "fpm/worker/worker.hpp"

namespace fpm::worker {

namespace {

using master::CopyOrder;
using master::Passed;

/// The descriptors of an order by their meaning; -1: not there. They stay open in the copy.
class Descriptors {
 public:
  Descriptors(const CopyOrder& order, os::Packet& packet) {
    std::size_t next = 0;
    for (std::size_t i = 0; i < master::kPassed; ++i) {
      const bool travels = (order.travels & (1U << i)) != 0 && next < packet.fd_count;
      fds_[i] = travels ? packet.fds[next++].release() : -1;
    }
  }
  int operator[](Passed which) const { return fds_[static_cast<std::size_t>(which)]; }
  /// Taken out, to be owned by the caller.
  os::UniqueFd take(Passed which) {
    return os::UniqueFd(std::exchange(fds_[static_cast<std::size_t>(which)], -1));
  }

 private:
  std::array<int, master::kPassed> fds_{};
};

/// In the copy, which becomes the template of one pool.
[[noreturn]] void become_template(const master::WorkerStart& shared, const CopyOrder& order,
                                  os::Packet& packet) {
  ::close(shared.channel);
  ::setpgid(0, 0);
  Descriptors fds(order, packet);
  os::replace_stdio(fds.take(Passed::out).get(), fds.take(Passed::err).get());
  const config::Pool& pool = *order.pool;
  shared.forget_others(pool);
  log::use_descriptor(fds.take(Passed::log));
  if (!pool.output_log.empty()) (void)log::open_output(pool.name, pool.output_log);
  auto board = scoreboard::Board::join(fds.take(Passed::board).get(), order.slots);
  if (!board) give_up(fds[Passed::channel], board.error());
  auto ledger = scoreboard::Ledger::join(fds.take(Passed::ledger).get());
  if (!ledger) give_up(fds[Passed::channel], ledger.error());
  // Never deleted: the process just ends.
  auto* const kept_board = new scoreboard::Board(std::move(*board));
  auto* const kept_ledger = new scoreboard::Ledger(std::move(*ledger));
  auto* const start = new master::WorkerStart{.pool = pool,
                                              .identity = order.identity,
                                              .board = *kept_board,
                                              .totals = kept_ledger->totals(),
                                              .slot = 0,
                                              .master_pid = shared.master_pid,
                                              .listener = fds[Passed::listener],
                                              .channel = fds[Passed::channel],
                                              .access_log = fds[Passed::access_log],
                                              .slow_log = fds[Passed::slow_log],
                                              .wakeup = fds[Passed::wakeup],
                                              .log = log::descriptor(),
                                              .on_end = nullptr,
                                              .stand_in = false,
                                              .log_generation = order.log_generation};
  run_template(*start);
}

/// Blocks for the next order. The end of the channel is the end of this process.
void take_order(const master::WorkerStart& start) {
  pollfd one{start.channel, POLLIN, 0};
  if (::poll(&one, 1, -1) < 0 && errno != EINTR) os::exit_now(0);
  std::array<char, sizeof(CopyOrder)> bytes;
  auto packet = os::receive_packet(start.channel, bytes);
  if (!packet) return;
  if (packet->size == 0) os::exit_now(0);
  CopyOrder order;
  const std::uint32_t magic = order.magic;
  if (packet->size != sizeof order) return;
  std::memcpy(&order, bytes.data(), sizeof order);
  if (order.magic != magic) return;
  // Where it fails the new template's channel closes with the packet, and the pool tries again.
  const auto pid = os::fork_sibling();
  if (pid && *pid == 0) become_template(start, order, *packet);
}

os::Result<void> load(const master::WorkerStart& start) {
  if (!os::set_parent_death_signal(SIGKILL, start.master_pid)) os::exit_now(0);
  // Kept for what it has loaded; each pool has a handler of its own.
  auto* const handler = make_handler(start).release();
  if (auto done = handler->load_for_all(); !done) return done;
  if (const auto threads = os::count_threads(); threads && *threads != 1) {
    return os::Error(0, "what was loaded started a thread, which the workers would not have");
  }
  return {};
}

}  // namespace

void run_shared_template(const master::WorkerStart& start) {
  os::set_title("template of all pools");
  log::become_worker(log::WorkerLog::direct);
  if (auto done = load(start); !done) give_up(start.channel, done.error());
  os::reset_signals();  // of what was loaded
  ::signal(SIGPIPE, SIG_IGN);
  // A log that is reopened shall not be held here; templates come with the one of their time.
  log::use_descriptor(os::UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
  for (;;) take_order(start);
}

}  // namespace fpm::worker
