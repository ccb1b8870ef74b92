#include "fpm/worker/signals.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "fpm/master/worker_entry.hpp"
#include "fpm/os/process.hpp"
#include "fpm/scoreboard/board.hpp"

namespace fpm::worker {

namespace {

// Lock-free atomics: the only kind of state that a handler and the code below may share.
std::atomic<bool> g_finish{false};
std::atomic<bool> g_terminate{false};
std::atomic<int> g_busy{0};
std::atomic<int> g_waiting_fd{-1};
std::atomic<bool> g_waiting_for_next{false};
std::atomic<bool> g_shut{false};
std::atomic<std::uint64_t> g_deadline_ns{0};
std::atomic<int> g_listener{-1};
std::atomic<int> g_unbound{-1};
std::atomic<scoreboard::Parking*> g_parking{nullptr};
std::atomic<int> g_slot{-1};
const std::atomic<std::uint32_t>* g_draining = nullptr;
std::atomic<void (*)()> g_on_terminate{nullptr};

/// accept() on an unbound socket fails with EINVAL at once.
void close_to_clients() {
  const int listener = g_listener;
  const int unbound = g_unbound;
  if (listener >= 0 && unbound >= 0) ::dup2(unbound, listener);
}

void stop_accepting() {
  g_finish = true;
  if (*g_draining == static_cast<std::uint32_t>(scoreboard::Draining::serve_queue)) return;
  close_to_clients();
}

void stop_waiting() {
  const int fd = g_waiting_fd;
  if (fd < 0) return;
  // A request that has arrived just now is served: recv returns at once.
  pollfd one{fd, POLLIN, 0};
  if (g_waiting_for_next && ::poll(&one, 1, 0) > 0) return;
  g_shut = true;
  ::shutdown(fd, SHUT_RD);
}

void stop_parking() {
  if (scoreboard::Parking* const parking = g_parking) parking->unpark(g_slot);
}

void on_quit(int) {
  const int saved = errno;
  stop_accepting();
  stop_parking();
  if (g_waiting_for_next) stop_waiting();
  errno = saved;
}

void on_terminate(int) {
  const int saved = errno;
  if (g_busy == 0) os::exit_now(0);
  g_terminate = true;
  g_finish = true;
  if (void (*const call)() = g_on_terminate) call();
  // Of a worker that waits though it is busy: its handler has something to end in order.
  close_to_clients();
  stop_parking();
  stop_waiting();
  errno = saved;
}

void on_wake(int) {
  const int saved = errno;
  // The master looked at the stage some microseconds ago: the wait may be another one by now.
  const std::uint64_t deadline = g_deadline_ns;
  if (g_waiting_for_next || (deadline != 0 && scoreboard::monotonic_ns() >= deadline)) {
    stop_waiting();
  }
  errno = saved;
}

void on_look(int) { stop_parking(); }

void on_nothing(int) {}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  // Where there is such a stack: the application may have used up its own.
  action.sa_flags = SA_ONSTACK;
  ::sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signals(int listener, const std::atomic<std::uint32_t>& draining) {
  g_listener = listener;
  g_draining = &draining;
  g_unbound = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  handle(SIGQUIT, on_quit);
  handle(SIGTERM, on_terminate);
  handle(master::wake_signal(), on_wake);
  handle(SIGUSR1, on_look);
  ::signal(SIGPIPE, SIG_IGN);
  // What ^C in a terminal means is for the master to say. A handler and not SIG_IGN, which what the
  // application starts would inherit, so that it could not be interrupted.
  handle(SIGINT, on_nothing);
}

void on_terminate_request(void (*call)()) { g_on_terminate = call; }

void interrupt_terminates() { handle(SIGINT, on_terminate); }

bool reading_was_shut() { return g_shut.load(std::memory_order_relaxed); }
void reading_is_open() { g_shut.store(false, std::memory_order_relaxed); }

bool finish_asked() { return g_finish.load(std::memory_order_relaxed); }
bool terminate_asked() { return g_terminate.load(std::memory_order_relaxed); }

Waiting::Waiting(For what, int fd, std::uint64_t deadline_ns) {
  g_deadline_ns = deadline_ns;
  g_waiting_for_next = what == For::next_request;
  g_waiting_fd = fd;
  // A QUIT or TERM that came before this moment did not see the wait.
  if (terminate_asked() || (what == For::next_request && finish_asked())) stop_waiting();
}

Waiting::~Waiting() {
  g_waiting_fd = -1;
  g_waiting_for_next = false;
  g_deadline_ns = 0;
}

Parked::Parked(scoreboard::Parking& parking, int slot) {
  g_slot = slot;
  g_parking = &parking;
  // A signal that came before this moment did not see it.
  if (finish_asked()) stop_parking();
}

Parked::~Parked() { g_parking = nullptr; }

Busy::Busy() { ++g_busy; }
Busy::~Busy() { --g_busy; }

}  // namespace fpm::worker
