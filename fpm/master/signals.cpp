#include "fpm/master/signals.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>


namespace fpm::master {

namespace {

std::atomic<int> g_write_fd{-1};
std::atomic<pid_t> g_master{0};

void on_signal(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  // A process made by vfork shares this memory for a moment: only the master itself writes.
  if (::getpid() == g_master) {
    SignalRecord record;
    record.signal = signal;
    if (info != nullptr && (info->si_code == SI_USER || info->si_code == SI_QUEUE ||
                            info->si_code == SI_TKILL)) {
      record.pid = info->si_pid;
      record.uid = static_cast<std::int32_t>(info->si_uid);
    }
    (void)::send(g_write_fd, &record, sizeof record, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  errno = saved;
}

}  // namespace

os::Result<Signals> Signals::install() {
  auto pair = os::make_socketpair(SOCK_SEQPACKET);
  if (!pair) return pair.error();
  Signals signals;
  signals.read_ = std::move(pair->first);
  signals.write_ = std::move(pair->second);
  g_write_fd = signals.write_.get();
  g_master = ::getpid();
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGHUP}) {
    if (::sigaction(signal, &action, nullptr) < 0) return os::last_error("sigaction");
  }
  action = {};
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  return signals;
}

std::optional<SignalRecord> Signals::next() {
  SignalRecord record;
  if (::recv(read_.get(), &record, sizeof record, MSG_DONTWAIT) !=
      static_cast<ssize_t>(sizeof record)) {
    return std::nullopt;
  }
  return record;
}

}  // namespace fpm::master
