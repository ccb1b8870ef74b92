// What runs in the signal handler calls only what signal-safety(7) allows, allocates nothing and takes
// no lock: it may have struck anywhere, in malloc or in the middle of a change to the slot.
#include "fpm/worker/time_limit.hpp"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "fpm/master/worker_entry.hpp"
#include "fpm/os/process.hpp"
#include "fpm/os/sibling.hpp"
#include "fpm/worker/signals.hpp"

namespace fpm::worker {

using std::chrono::steady_clock;

namespace {

constexpr std::size_t kStack = 256 * 1024;
/// How long the client has to take the answer before this process ends.
constexpr std::chrono::milliseconds kFarewell{100};
/// How long this process then waits for the master to end it.
constexpr int kPatienceMs = 2000;

/// The request that is being executed; null: none.
std::atomic<TimeLimit*> g_watched{nullptr};

// Where a handler that cannot say where it is comes back to.
sigjmp_buf g_unreadable;
std::atomic<bool> g_reading{false};

void on_fault(int signal) {
  if (g_reading) ::siglongjmp(g_unreadable, 1);
  // Not ours: the instruction is tried again and ends the process.
  ::signal(signal, SIG_DFL);
}

/// While it lives a fault in this thread ends the reading, not the process.
class FaultsCaught {
 public:
  FaultsCaught() {
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGSEGV, &action, &segv_);
    ::sigaction(SIGBUS, &action, &bus_);
    g_reading = true;
  }
  ~FaultsCaught() {
    g_reading = false;
    ::sigaction(SIGSEGV, &segv_, nullptr);
    ::sigaction(SIGBUS, &bus_, nullptr);
  }
  FaultsCaught(const FaultsCaught&) = delete;
  FaultsCaught& operator=(const FaultsCaught&) = delete;

 private:
  struct sigaction segv_ {};
  struct sigaction bus_ {};
};

}  // namespace

TimeLimit::TimeLimit(const config::Pool& pool, handlers::Handler& handler, Exchange& exchange,
                     scoreboard::Pen pen, int channel, int wakeup,
                     const std::function<void()>& on_end)
    : pool_(pool),
      handler_(handler),
      exchange_(exchange),
      pen_(pen),
      channel_(channel),
      wakeup_(wakeup),
      on_end_(on_end),
      late_(504, "The request took too long."),
      stopping_(503, "The service is being stopped.") {}

os::Result<void> TimeLimit::install() {
  thread_ = ::gettid();
  stack_.reset(new char[kStack]);
  stack_t stack{};
  stack.ss_sp = stack_.get();
  stack.ss_size = kStack;
  if (::sigaltstack(&stack, nullptr) < 0) return os::last_error("sigaltstack");
  struct sigaction action {};
  action.sa_handler = on_time;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  ::sigdelset(&action.sa_mask, SIGSEGV);
  ::sigdelset(&action.sa_mask, SIGBUS);
  if (::sigaction(master::time_signal(), &action, nullptr) < 0) return os::last_error("sigaction");
  on_terminate_request(on_terminate);
  installed_ = true;
  return {};
}

TimeLimit::Watch::Watch(TimeLimit& limit) {
  if (!limit.installed_) return;
  g_watched = &limit;
  // A TERM that came before this moment was only remembered.
  if (terminate_asked()) limit.look();
}

TimeLimit::Watch::~Watch() { g_watched.store(nullptr, std::memory_order_relaxed); }

void TimeLimit::on_time(int) {
  const int saved = errno;
  if (TimeLimit* const limit = g_watched) limit->look();
  errno = saved;
}

void TimeLimit::on_terminate() {
  if (TimeLimit* const limit = g_watched) limit->look();
}

void TimeLimit::look() {
  // A thread of the application took the signal: the stack in question is another one.
  if (::gettid() != thread_) return os::signal_thread(thread_, master::time_signal());
  if (exchange_.ends_overdue()) return;
  const auto now = steady_clock::now();
  const auto deadline = exchange_.deadline();
  if (now >= deadline) give_up(!terminate_asked());
  if (now >= exchange_.slow_at()) tell_slow();
}

void TimeLimit::tell_slow() {
  exchange_.note_slow();
  report(log::Lateness::slow, log::LateReport::Answer::given);
}

/// The end of the request, and of this process: by the master if `killed`, else by itself.
void TimeLimit::give_up(bool killed) {
  const auto given = answer(killed ? late_ : stopping_);
  if (killed) {
    pen_.mark(scoreboard::Field::expired_ns, scoreboard::monotonic_ns());
    report(log::Lateness::overdue, given);
  }
  stand_still(killed);
}

/// To the client, if none was begun: in one piece or not at all.
log::LateReport::Answer TimeLimit::answer(const Page& page) {
  using Answer = log::LateReport::Answer;
  if (exchange_.finished()) return Answer::whole;
  const int client = exchange_.fd();
  Answer given = Answer::begun;
  if (!exchange_.begun()) {
    pen_.mark(scoreboard::Field::answer_begun, 1);
    pen_.mark(scoreboard::Field::status, static_cast<std::uint64_t>(page.status()));
    writer_.start(exchange_.id());
    writer_.out(page.header());
    if (!exchange_.head_only()) writer_.out(page.body());
    writer_.end(0);
    const std::string_view records = writer_.pending();
    const ssize_t sent =
        ::send(client, records.data(), records.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    given = sent == static_cast<ssize_t>(records.size()) ? Answer::given : Answer::refused;
  }
  ::shutdown(client, SHUT_WR);
  return given;
}

/// Tells the master of the request, and wakes it.
void TimeLimit::report(log::Lateness lateness, log::LateReport::Answer answer) {
  const std::size_t length = where();
  const std::size_t size = log::write_late_report({.lateness = lateness,
                                                   .answer = answer,
                                                   .request = exchange_.late_request(),
                                                   .request_id = exchange_.request_id(),
                                                   .frames = {frames_.data(), length}},
                                                  packet_);
  (void)::send(channel_, packet_.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
  wake_master();
}

void TimeLimit::wake_master() const {
  const std::uint64_t one = 1;
  (void)!::write(wakeup_, &one, sizeof one);
}

/// What the handler says, which reads memory that may be damaged.
std::size_t TimeLimit::where() {
  const FaultsCaught caught;
  if (sigsetjmp(g_unreadable, 1) != 0) return 0;
  return handler_.where(frames_, pool_.request_slowlog_trace_depth);
}

/// While the client takes its answer: what it still sends is read, or the answer would be lost.
void TimeLimit::stand_still(bool killed) {
  int client = exchange_.finished() ? -1 : exchange_.fd();
  const auto end = steady_clock::now() + kFarewell;
  for (auto now = steady_clock::now(); now < end; now = steady_clock::now()) {
    if (client < 0) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - now);
    pollfd one{client, POLLIN, 0};
    if (::poll(&one, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t got = ::recv(client, packet_.data(), packet_.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) client = -1;
  }
  if (killed) {
    // The client has closed its end: nothing more to wait for.
    const auto early = std::chrono::nanoseconds(kFarewell).count();
    pen_.mark(scoreboard::Field::expired_ns,
              scoreboard::monotonic_ns() - static_cast<std::uint64_t>(early));
    wake_master();
    ::poll(nullptr, 0, kPatienceMs);
  }
  if (on_end_) on_end_();
  os::exit_now(0);
}

}  // namespace fpm::worker
