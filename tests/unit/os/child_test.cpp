#include "fpm/os/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "fpm/os/process.hpp"

using namespace fpm::os;
using namespace std::chrono_literals;

namespace {

// A shell that runs `text`, with `in`, `out` as 0 and 1.
boost::system::result<Child, StartError> start_shell(const char* text, int in, int out,
                                                     const char* folder = nullptr) {
  std::string script = text;
  char shell[] = "/bin/sh", option[] = "-c", variable[] = "A=b";
  char* const argv[] = {shell, option, script.data(), nullptr};
  char* const environment[] = {variable, nullptr};
  return start_child({shell, argv, environment, folder, in, out, 2});
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return text;
}

Ended wait_for(const Child& child) {
  pollfd entry{child.pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&entry, 1, 10'000) == 1);
  auto ended = reap_child(child.pid);
  REQUIRE(ended);
  return *ended;
}

// The subreaper flag for the life of a test, so that others are not given strangers' orphans.
struct Reaper {
  Reaper() { REQUIRE(become_reaper().has_value()); }
  ~Reaper() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    ::signal(SIGPIPE, SIG_DFL);
  }
};

bool is_gone(pid_t group) { return ::kill(-group, 0) < 0 && errno == ESRCH; }

}  // namespace

TEST_CASE("a program gets its descriptors, folder, environment and a group of its own") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  auto child =
      start_shell("pwd; echo $A; cut -d' ' -f5 /proc/$$/stat", 0, pipe->write.get(), "/usr");
  REQUIRE(child.has_value());
  pipe->write.reset();
  CHECK(read_all(pipe->read.get()) == "/usr\nb\n" + std::to_string(child->pid) + "\n");
  const Ended ended = wait_for(*child);
  CHECK(ended.pid == child->pid);
  CHECK(ended.code() == 0);
  CHECK_FALSE(ended.by_signal());
}

TEST_CASE("descriptors among 0, 1 and 2 may change places") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  const UniqueFd saved(::fcntl(0, F_DUPFD_CLOEXEC, 3));
  REQUIRE(::dup2(pipe->write.get(), 0) == 0);  // now 0 is what shall become 1
  auto child = start_shell("echo crossed", 1, 0);
  REQUIRE(::dup2(saved.get(), 0) == 0);
  REQUIRE(child.has_value());
  pipe->write.reset();
  CHECK(read_all(pipe->read.get()) == "crossed\n");
  CHECK(wait_for(*child).code() == 0);
}

TEST_CASE("a program that cannot be started is told by its step, and no process is left") {
  char argument[] = "x";
  char* const argv[] = {argument, nullptr};
  char* const none[] = {nullptr};
  const auto missing = start_child({"/nonexistent/program", argv, none, nullptr, 0, 1, 2});
  REQUIRE(missing.has_error());
  CHECK(missing.error().step == StartStep::execute);
  CHECK(missing.error().code == ENOENT);
  CHECK(missing.error().what == "execve /nonexistent/program");

  const auto folder = start_child({"/bin/true", argv, none, "/nonexistent", 0, 1, 2});
  REQUIRE(folder.has_error());
  CHECK(folder.error().step == StartStep::folder);
  CHECK(folder.error().what == "chdir /nonexistent");

  const auto descriptor = start_child({"/bin/true", argv, none, nullptr, 0, 1, 1000});
  REQUIRE(descriptor.has_error());
  CHECK(descriptor.error().step == StartStep::prepare);
  CHECK(descriptor.error().code == EBADF);
  CHECK((::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD));
}

TEST_CASE("how a child ended is told in words") {
  auto by_status = start_shell("exit 3", 0, 1);
  REQUIRE(by_status.has_value());
  CHECK_FALSE(reap_child(::getpid()));
  const Ended status = wait_for(*by_status);
  CHECK(status.code() == 3);
  CHECK(status.text() == "exited with status 3");

  auto by_signal = start_shell("kill -SEGV $$", 0, 1);
  REQUIRE(by_signal.has_value());
  const Ended signal = wait_for(*by_signal);
  CHECK(signal.code() == 128 + SIGSEGV);
  CHECK(signal.text() == "was killed by signal 11 (SIGSEGV)");
}

TEST_CASE("a group that goes by TERM is not killed, and one that does not is") {
  const Reaper reaper;
  struct Row {
    const char* text;
    int code;
  };
  for (const Row& row :
       {Row{"trap 'exit 9' TERM; echo; read x & while :; do wait; done", 9},
        Row{"trap '' TERM; echo; read x & while :; do wait; done", 128 + SIGKILL}}) {
    CAPTURE(row.text);
    auto out = make_pipe(), in = make_pipe();
    REQUIRE((in.has_value() && out.has_value()));
    auto child = start_shell(row.text, in->read.get(), out->write.get());
    REQUIRE(child.has_value());
    char byte = 0;
    REQUIRE(::read(out->read.get(), &byte, 1) == 1);  // its trap is set
    const auto grace = row.code == 9 ? 10'000ms : 20ms;
    const GroupEnd end = end_group(child->pid, grace, 10'000ms);
    CHECK(end.gone);
    REQUIRE(end.leader);
    CHECK(end.leader->code() == row.code);
    CHECK(is_gone(child->pid));
  }
}

TEST_CASE("a stopped group, which TERM does not reach, is killed") {
  auto child = start_shell("kill -STOP $$", 0, 1);
  REQUIRE(child.has_value());
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child->pid), &info, WSTOPPED | WNOWAIT) == 0);
  const GroupEnd end = end_group(child->pid, 20ms, 10'000ms);
  CHECK(end.gone);
  REQUIRE(end.leader);
  CHECK(end.leader->code() == 128 + SIGKILL);
}

TEST_CASE("a group is ended after its leader, whose orphans are the reaper's") {
  const Reaper reaper;
  auto out = make_pipe(), in = make_pipe();
  REQUIRE((in.has_value() && out.has_value()));
  // Two generations, one of which ignores TERM.
  auto child = start_shell("(trap '' TERM; cat <&3 & cat <&3 & wait) 3<&0 & exit 0", in->read.get(),
                           out->write.get());
  REQUIRE(child.has_value());
  pollfd entry{child->pidfd.get(), POLLIN, 0};
  REQUIRE(::poll(&entry, 1, 10'000) == 1);
  const GroupEnd end = end_group(child->pid, 20ms, 10'000ms);
  CHECK(end.gone);
  REQUIRE(end.leader);
  CHECK(end.leader->code() == 0);
  CHECK((::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD));
}

TEST_CASE("a program is killed when the process that started it is") {
  const Reaper reaper;
  auto out = make_pipe(), in = make_pipe();
  REQUIRE((in.has_value() && out.has_value()));
  const auto parent = fork_process();
  REQUIRE(parent.has_value());
  if (*parent == 0) {
    start_shell("echo; read x", in->read.get(), out->write.get());
    ::pause();
    exit_now(0);
  }
  out->write.reset();
  char byte = 0;
  REQUIRE(::read(out->read.get(), &byte, 1) == 1);
  REQUIRE(::kill(*parent, SIGKILL) == 0);
  CHECK(read_all(out->read.get()).empty());  // its end closed the pipe; `read x` had no reason to
  REQUIRE(::waitpid(*parent, nullptr, 0) == *parent);
  int status = 0;
  REQUIRE(::waitpid(-1, &status, 0) > 0);
  CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("where a process waits is told with its children") {
  auto out = make_pipe(), in = make_pipe();
  REQUIRE((in.has_value() && out.has_value()));
  auto child = start_shell("echo; cat; :", in->read.get(), out->write.get());
  REQUIRE(child.has_value());
  char byte = 0;
  REQUIRE(::read(out->read.get(), &byte, 1) == 1);
  // Until the shell has made its child and that has begun to wait; each look is a fresh one.
  std::string text;
  for (const auto end = std::chrono::steady_clock::now() + 10s;
       text.find("(cat)") == text.npos && std::chrono::steady_clock::now() < end;) {
    text = whereabouts(child->pid);
  }
  CHECK(text.starts_with("pid " + std::to_string(child->pid) + " (sh)"));
  CHECK(text.find("-c echo; cat; :; its child pid") != text.npos);
  CHECK(text.find("; its child pid ") != text.npos);
  CHECK(text.find("(cat)") != text.npos);
  in->write.reset();
  CHECK(wait_for(*child).code() == 0);
  CHECK(whereabouts(child->pid).find("(ended) is gone") != std::string::npos);
}

TEST_CASE("a place names the program and its arguments") {
  auto out = make_pipe(), in = make_pipe();
  REQUIRE((in.has_value() && out.has_value()));
  auto child = start_shell("echo; read line", in->read.get(), out->write.get());
  REQUIRE(child.has_value());
  char byte = 0;
  REQUIRE(::read(out->read.get(), &byte, 1) == 1);
  const auto places = places_of(child->pid);
  REQUIRE(places.size() == 1);
  CHECK(places[0].pid == child->pid);
  CHECK(places[0].name == "sh");
  CHECK(places[0].command.find("-c echo; read line") != std::string::npos);
  CHECK_FALSE(places[0].waits.empty());
  in->write.reset();
  CHECK(wait_for(*child).code() == 1);
}

TEST_CASE("waiting for a group ends nobody") {
  auto out = make_pipe(), in = make_pipe();
  REQUIRE((in.has_value() && out.has_value()));
  auto child = start_shell("cat", in->read.get(), out->write.get());
  REQUIRE(child.has_value());
  const auto soon = std::chrono::steady_clock::now() + 20ms;
  CHECK_FALSE(wait_for_group(child->pid, soon).gone);
  CHECK(std::chrono::steady_clock::now() >= soon);
  CHECK(group_exists(child->pid));
  in->write.reset();
  const GroupEnd end = wait_for_group(child->pid, soon + 10s);
  CHECK(end.gone);
  REQUIRE(end.leader.has_value());
  CHECK(end.leader->code() == 0);
  CHECK_FALSE(group_exists(child->pid));
}

TEST_CASE("groups that a process made end with it, sessions of their own do not") {
  auto out = make_pipe();
  REQUIRE(out.has_value());
  const auto worker = fork_process();
  REQUIRE(worker.has_value());
  if (*worker == 0) {
    auto in = make_pipe();
    // The leader of a group with a member, and a session.
    (void)start_shell("sleep 1000 & echo g $!; sleep 1000", in->read.get(), out->write.get());
    (void)start_shell("setsid sh -c 'echo s $$; exec sleep 1000' & exit", in->read.get(), out->write.get());
    for (;;) ::pause();
  }
  std::string text;
  while (std::count(text.begin(), text.end(), '\n') < 2) {
    char buffer[256];
    const ssize_t got = ::read(out->read.get(), buffer, sizeof buffer);
    REQUIRE(got > 0);
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const auto pid_after = [&](const char* mark) {
    return static_cast<pid_t>(std::atol(text.c_str() + text.find(mark) + 2));
  };
  const pid_t member = pid_after("g "), session = pid_after("s ");
  REQUIRE(send_signal(*worker, SIGSTOP).has_value());
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(*worker), &info, WSTOPPED) == 0);
  const int killed = kill_groups_of(*worker);
  REQUIRE(send_signal(*worker, SIGKILL).has_value());
  REQUIRE(::waitpid(*worker, nullptr, 0) == *worker);
  CHECK(killed >= 1);
  // Orphans of a process that is no reaper: their ends can only be looked at.
  for (const auto end = std::chrono::steady_clock::now() + 10s;
       ::kill(member, 0) == 0 && std::chrono::steady_clock::now() < end;) {
    reap_orphans();
  }
  CHECK(::kill(member, 0) < 0);
  CHECK(::kill(session, SIGKILL) == 0);
}
