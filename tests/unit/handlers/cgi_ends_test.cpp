// How scripts end: on their own, by their time, by their client, badly, or not at all.
#include <fcntl.h>
#include <sys/resource.h>

#include <thread>

#include "rig.hpp"

using namespace fpm;
using namespace fpm::handlers;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

const char kHeader[] = "printf 'Content-Type: text/plain\\n\\n'\n";

pid_t to_pid(const std::string& text) { return static_cast<pid_t>(std::atol(text.c_str())); }

std::string read_fifo(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return FakeExchange::read_all(fd.get());
}

void open_gate(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
}

// Waits for a child of ours, the orphan of a script, to be gone.
void end_orphan(pid_t pid) {
  ::kill(pid, SIGKILL);
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
}

}  // namespace

TEST_CASE("a script that runs too long is answered with 504 and its whole group ended") {
  Rig rig;
  rig.fifo("never");
  FakeExchange exchange;
  const std::string script =
      rig.script("trap 'echo bye >&2; exit 1' TERM; echo $$ > pid; cat < never; echo on");
  const auto begin = Clock::now();
  exchange.limit = begin + 200ms;
  const Outcome outcome = rig.run(exchange, script);
  const auto taken = Clock::now() - begin;
  CHECK(outcome.end == End::timeout);
  CHECK_FALSE(outcome.truncated);
  CHECK(exchange.status == 504);
  CHECK(taken >= 200ms);
  CHECK(taken < 5s);  // 205 to 250 ms on a machine that does nothing else
  CHECK(exchange.overdue == 1);
  CHECK(exchange.logged("script " + script + " (pid "));
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
  CHECK(exchange.logged("\"bye\""));  // what it says on its way out is not lost
}

TEST_CASE("a script that ignores TERM is killed after the grace, its client does not wait for it") {
  Rig rig;
  rig.pool.request_terminate_grace = 300ms;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.limit = Clock::now() + 100ms;
  const Outcome outcome = rig.run(
      exchange, rig.script("trap '' TERM; echo $$ > pid; cat < never & cat < never & wait"));
  CHECK(outcome.end == End::timeout);
  CHECK(outcome.unfinished);
  CHECK(Clock::now() - rig.answered >= 290ms);
  CHECK(exchange.status == 504);
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
  CHECK_FALSE(Rig::has_children());
}

TEST_CASE("the grace is over with the last process of the group") {
  Rig rig;
  rig.pool.request_terminate_grace = 10s;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.limit = Clock::now() + 100ms;
  const auto begin = Clock::now();
  CHECK(rig.run(exchange, rig.script("cat < never & cat < never")).end == End::timeout);
  CHECK(Clock::now() - begin < 9s);
  CHECK_FALSE(Rig::has_children());
}

TEST_CASE("a slow request is told once, with its processes from the inside out") {
  Rig rig;
  FakeExchange exchange;
  exchange.slow = Clock::now() + 200ms;
  exchange.limit = Clock::now() + 500ms;
  const std::string script = rig.script("/bin/sleep 1000; :");
  CHECK(rig.run(exchange, script).end == End::timeout);
  REQUIRE(exchange.frames.size() == 2);
  CHECK(exchange.frames[0].starts_with("[0x0000000000000000] pid "));
  CHECK(exchange.frames[0].ends_with(": /bin/sleep 1000"));
  CHECK(exchange.frames[1].find("(a.cgi)") != std::string::npos);
  CHECK(exchange.frames[1].ends_with(": /bin/sh " + script));
}

TEST_CASE("a body that stands still is answered 408 and its script ended") {
  Rig rig;
  rig.pool.request_body_timeout = 150ms;
  FakeExchange exchange;
  exchange.body_size = 100;
  REQUIRE(::write(exchange.client.get(), "half", 4) == 4);
  const auto begin = Clock::now();
  const Outcome outcome = rig.run(exchange, rig.script("echo $$ > pid; cat"));
  CHECK(outcome.end == End::timeout);
  CHECK_FALSE(outcome.truncated);
  CHECK(exchange.status == 408);
  CHECK(exchange.overdue == 0);
  CHECK(Clock::now() - begin >= 150ms);
  CHECK(exchange.logged("its client sent nothing of the rest of the body for 0."));
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
}

TEST_CASE("a body that stands still in the middle of the answer leaves that truncated") {
  Rig rig;
  rig.pool.request_body_timeout = 500ms;  // longer than an answer is held back for the body
  FakeExchange exchange;
  exchange.body_size = 100;
  const Outcome outcome = rig.run(exchange, rig.script(std::string(kHeader) + "echo a; cat"));
  CHECK(outcome.end == End::timeout);
  CHECK(outcome.truncated);
  CHECK(exchange.status == 200);
}

TEST_CASE("a script that takes its time with a whole body is not held to the body's limit") {
  Rig rig;
  rig.pool.request_body_timeout = 50ms;
  FakeExchange exchange;
  exchange.body_size = 4;
  REQUIRE(::write(exchange.client.get(), "body", 4) == 4);
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "/bin/sleep 0.3; cat"));
  CHECK(outcome.end == End::ok);
  CHECK(exchange.received() == "body");
}

TEST_CASE("with track_finished what a script leaves in the background has the request's time") {
  Rig rig;
  rig.pool.request_terminate_timeout = 300ms;
  rig.pool.request_terminate_timeout_track_finished = true;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.limit = Clock::now() + 300ms;
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "echo $$ > pid; cat < never & echo a"));
  CHECK(outcome.end == End::ok);
  CHECK(outcome.unfinished);
  CHECK(Clock::now() >= exchange.limit);
  CHECK(rig.answered < exchange.limit);
  CHECK(exchange.overdue == 1);
  CHECK(exchange.logged("left in the background"));
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
  CHECK_FALSE(Rig::has_children());
  FakeExchange alone;
  alone.limit = Clock::now() + 30s;
  CHECK_FALSE(rig.run(alone, rig.script(std::string(kHeader) + "echo a")).unfinished);
}

TEST_CASE("the log says where a script and its child were stuck") {
  Rig rig;
  FakeExchange exchange;
  exchange.limit = Clock::now() + 300ms;
  rig.run(exchange, rig.script("/bin/sleep 1000; :"));
  CHECK(exchange.logged("(a.cgi)"));
  CHECK(exchange.logged("its child pid"));
  CHECK(exchange.logged("(sleep)"));
}

namespace {
volatile sig_atomic_t g_stop = 0;
}

TEST_CASE("a worker that is told to end takes its script with it at once") {
  g_stop = 0;
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { g_stop = 1; };
  REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
  Rig rig;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.stop_now = &g_stop;
  const Outcome outcome =  // the signal may well come before the handler waits
      rig.run(exchange, rig.script("echo $$ > pid; kill -USR1 $PPID; cat never"));
  REQUIRE(::sigaction(SIGUSR1, &before, nullptr) == 0);
  CHECK(outcome.end == End::timeout);
  CHECK(exchange.status == 504);
  CHECK(exchange.logged("had to stop with its worker"));
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
}

TEST_CASE("a script whose time is up in the middle of its answer leaves it truncated") {
  Rig rig;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.limit = Clock::now() + 300ms;
  const Outcome outcome = rig.run(exchange, rig.script(std::string(kHeader) + "cat never"));
  CHECK(outcome.end == End::timeout);
  CHECK(outcome.truncated);
  CHECK(exchange.status == 200);
}

TEST_CASE("a client that does not read cannot hold a request beyond its time") {
  Rig rig;
  FakeExchange exchange;
  exchange.limit = Clock::now() + 300ms;
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "echo $$ > pid; exec cat /dev/zero"));
  CHECK(outcome.end == End::timeout);
  CHECK(outcome.truncated);
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
}

TEST_CASE("a client that goes away ends the script's whole group") {
  Rig rig;
  rig.fifo("ready");
  rig.fifo("never");
  FakeExchange exchange;
  pid_t group = 0;
  std::thread client([&] {
    group = to_pid(read_fifo(rig.path("ready")));
    exchange.client.reset();
  });
  const Outcome outcome = rig.run(
      exchange,
      rig.script("cat < never & echo $$ > ready; trap '' TERM; cat < never; touch went-on"));
  client.join();
  CHECK(outcome.end == End::abort);
  CHECK(Rig::group_is_gone(group));
  CHECK_FALSE(Rig::has_children());
  CHECK_FALSE(std::filesystem::exists(rig.path("went-on")));
}

TEST_CASE("request_on_abort = continue lets the script finish its work") {
  Rig rig;
  rig.pool.request_on_abort = config::OnAbort::go_on;
  rig.fifo("ready");
  rig.fifo("gate");
  FakeExchange exchange;
  std::thread client([&] {
    read_fifo(rig.path("ready"));
    exchange.client.reset();
    open_gate(rig.path("gate"));
  });
  const Outcome outcome =
      rig.run(exchange, rig.script("echo x > ready; cat gate; " + std::string(kHeader) +
                                   "head -c 300000 /dev/zero; touch done; exit 4"));
  client.join();
  CHECK(outcome.end == End::abort);
  CHECK(outcome.app_status == 4);
  CHECK(std::filesystem::exists(rig.path("done")));
}

TEST_CASE("a script that goes on after its client has gone still has its time") {
  Rig rig;
  rig.pool.request_on_abort = config::OnAbort::go_on;
  rig.fifo("never");
  FakeExchange exchange;
  exchange.client.reset();
  exchange.limit = Clock::now() + 100ms;
  CHECK(rig.run(exchange, rig.script("cat never")).end == End::timeout);
}

TEST_CASE("a child in the background does not hold the answer") {
  Rig rig;
  rig.fifo("never");
  for (const auto background : {config::Background::leave, config::Background::kill}) {
    rig.pool.cgi_background = background;
    FakeExchange exchange;
    const Outcome outcome =
        rig.run(exchange, rig.script(std::string(kHeader) + "cat never & echo $!"));
    CHECK(outcome.end == End::ok);
    const pid_t orphan = to_pid(exchange.received());
    REQUIRE(orphan > 1);
    if (background == config::Background::leave) {
      CHECK(::kill(orphan, 0) == 0);
      end_orphan(orphan);
    } else {
      CHECK((::kill(orphan, 0) < 0 && errno == ESRCH));
    }
  }
}

TEST_CASE("a child in the background that keeps writing does not lengthen the answer for ever") {
  Rig rig;
  FakeExchange exchange;
  std::thread client([fd = exchange.client.get()] { FakeExchange::read_all(fd); });
  const Outcome outcome = rig.run(
      exchange, rig.script("echo $$ > pid; " + std::string(kHeader) + "yes & yes >&2 & exit"));
  exchange.close();
  client.join();
  CHECK(outcome.end == End::ok);
  // Both write into pipes that nobody reads now, and end by SIGPIPE.
  while (::waitpid(-1, nullptr, 0) > 0) {
  }
  CHECK(Rig::group_is_gone(to_pid(rig.content("pid"))));
}

TEST_CASE("orphans that have ended are reaped at the next request") {
  Rig rig;
  rig.fifo("gate");
  const std::string script = rig.script(std::string(kHeader) + "cat gate & echo $!");
  FakeExchange first;
  rig.run(first, script);
  const pid_t orphan = to_pid(first.received());
  open_gate(rig.path("gate"));
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(orphan), &info, WEXITED | WNOWAIT) == 0);
  FakeExchange second;
  rig.run(second, rig.script(kHeader, "b.cgi"));
  CHECK_FALSE(Rig::has_children());
}

TEST_CASE("a script without a proper header is answered with 502 and the reason logged") {
  struct Row {
    const char* text;
    const char* logged;
  };
  const Row rows[] = {
      {"exit 0", "exited with status 0 without an answer"},
      {"exit 7", "exited with status 7 without an answer"},
      {"kill -SEGV $$", "was killed by signal 11 (SIGSEGV) without an answer"},
      {"printf 'Content-Type: a/b\\n'", "exited with status 0 before its header was complete"},
      {"printf 'Content-Type: a/b\\n'; kill -KILL $$", "(SIGKILL) before its header was complete"},
      {"echo hello", "gave no proper header: a header line has no colon: \"hello\""},
      {"echo hello; kill -STOP $$", "gave no proper header"},
      {"tr '\\0' a < /dev/zero", "gave no proper header: its header is longer than 64 KiB"},
  };
  Rig rig;
  for (const Row& row : rows) {
    CAPTURE(row.text);
    FakeExchange exchange;
    const Outcome outcome = rig.run(exchange, rig.script(row.text));
    CHECK(outcome.end == End::failed);
    CHECK_FALSE(outcome.truncated);
    CHECK(exchange.status == 502);
    CHECK(exchange.logged(row.logged));
    CHECK_FALSE(Rig::has_children());
  }
}

TEST_CASE("a script that is killed in the middle of its answer leaves it truncated") {
  Rig rig;
  FakeExchange exchange;
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "echo a; kill -KILL $$"));
  CHECK(outcome.end == End::failed);
  CHECK(outcome.truncated);
  CHECK(outcome.app_status == 128 + SIGKILL);
  CHECK(exchange.logged("was killed by signal 9 (SIGKILL) in the middle of its answer"));
  CHECK(exchange.received() == "a\n");
}

TEST_CASE("a script that closes its output early runs to its end") {
  Rig rig;
  FakeExchange exchange;
  const Outcome outcome = rig.run(
      exchange, rig.script(std::string(kHeader) + "echo a; exec >&- 2>&-; touch done; exit 5"));
  CHECK(outcome.end == End::ok);
  CHECK(outcome.app_status == 5);
  CHECK(exchange.received() == "a\n");
  CHECK(std::filesystem::exists(rig.path("done")));
}

TEST_CASE("a program that cannot be executed is told from one that may not") {
  Rig rig;
  struct Row {
    std::string text;
    int status;
    const char* logged;
  };
  const Row rows[] = {
      {"#!/nonexistent/interpreter\n", 502, "the program after its #! does not exist"},
      {"echo no interpreter named\n", 502, "neither a program for this machine nor a script"},
      {"#!" + rig.file("", "plain", 0644) + "\n", 403, "Permission denied"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    FakeExchange exchange;
    rig.run(exchange, rig.file(row.text, "x.cgi"));
    CHECK(exchange.status == row.status);
    CHECK(exchange.logged(row.logged));
    CHECK_FALSE(Rig::has_children());
  }
}

TEST_CASE("an environment that the kernel does not take is told") {
  Rig rig;
  FakeExchange exchange;
  exchange.parameters.add("X", std::string(200'000, 'x'));  // more than MAX_ARG_STRLEN
  rig.run(exchange, rig.script(kHeader));
  CHECK(exchange.status == 502);
  CHECK(exchange.logged("do not fit into an environment"));
}

TEST_CASE("a worker that cannot start a process answers 503") {
  Rig rig;
  const std::string script = rig.script(kHeader);
  FakeExchange warm, exchange;
  rig.run(warm, script);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const os::UniqueFd next(::dup(0));
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(next.get()) + 3;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  const Outcome outcome = rig.run(exchange, script);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(outcome.end == End::failed);
  CHECK(exchange.status == 503);
  CHECK(exchange.logged("Too many open files"));
}
