#include "fpm/log/log.hpp"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

#include "log_rig.hpp"

using namespace fpm;

namespace {

void log_from_a_named_function() {
  log::notice("one form");
  log::write(log::Level::notice, {}, "the other");
}

}  // namespace

TEST_CASE("lines look like php-fpm's") {
  TempFolder folder;
  LogEnds ends;
  const auto path = folder.path / "log";
  REQUIRE(log::open({.path = path}).has_value());
  log::notice("fpm is running, pid {}", 42);
  log::write(log::Level::warning, "www", "child 7 exited");
  log::in_pool(log::Level::error, "www", "{} of {}", 1, 2);
  log::alert("plain");
  log::debug("not shown");
  const auto lines = lines_of(read_file(path));
  REQUIRE(lines.size() == 4);
  CHECK(matches(lines[0], kTime + "NOTICE: fpm is running, pid 42"));
  CHECK(matches(lines[1], kTime + R"(WARNING: \[pool www\] child 7 exited)"));
  CHECK(matches(lines[2], kTime + R"(ERROR: \[pool www\] 1 of 2)"));
  CHECK(matches(lines[3], kTime + "ALERT: plain"));

  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("the time in a line is the local time") {
  TempFolder folder;
  LogEnds ends;
  REQUIRE(log::open({.path = folder.path / "log"}).has_value());
  const std::time_t before = std::time(nullptr);
  log::notice("x");
  const std::string line = read_file(folder.path / "log");
  std::vector<std::string> possible;
  for (std::time_t at = before; at <= std::time(nullptr); ++at) {
    std::tm parts{};
    ::localtime_r(&at, &parts);
    char text[64];
    std::strftime(text, sizeof text, "[%d-%b-%Y %H:%M:%S] NOTICE: x\n", &parts);
    possible.emplace_back(text);
  }
  CHECK(std::find(possible.begin(), possible.end(), line) != possible.end());
}

TEST_CASE("at debug level a line says who wrote it") {
  TempFolder folder;
  LogEnds ends;
  REQUIRE(log::open({.path = folder.path / "log", .level = log::Level::debug}).has_value());
  log::debug("text {}", 1);
  const int here = __LINE__ - 1;
  log::in_pool(log::Level::notice, "www", "text");
  [] { log::write(log::Level::notice, {}, "in a lambda"); }();
  log_from_a_named_function();
  const auto lines = lines_of(read_file(folder.path / "log"));
  REQUIRE(lines.size() == 5);
  CHECK(lines[3].find(", log_from_a_named_function(), line ") != std::string::npos);
  CHECK(lines[4].find(", log_from_a_named_function(), line ") != std::string::npos);
  const std::string pid = std::to_string(::getpid());
  CHECK(matches(lines[0], kDebugTime + "DEBUG: pid " + pid + R"(, \w+\(\), line )" +
                              std::to_string(here) + ": text 1"));
  CHECK(matches(lines[1],
                kDebugTime + "NOTICE: pid " + pid + R"(, \w+\(\), line \d+: \[pool www\] text)"));
  CHECK(matches(lines[2], kDebugTime + "NOTICE: pid " + pid +
                              R"(, (\w+|\(null\))\(\), line \d+: in a lambda)"));
}

TEST_CASE("a long line is cut at log_limit, newline included") {
  TempFolder folder;
  LogEnds ends;
  const std::size_t limit = GENERATE(512u, 1024u, 8192u);
  REQUIRE(log::open({.path = folder.path / "log", .limit = limit}).has_value());
  log::write(log::Level::notice, {}, std::string(limit * 2, 'x'));
  const std::string text = read_file(folder.path / "log");
  CHECK(text.size() == limit);
  CHECK(text.substr(limit - 5) == "x...\n");

  const std::size_t head = text.find('x');
  log::write(log::Level::notice, {}, std::string(limit - head - 1, 'y'));
  const std::string second = read_file(folder.path / "log").substr(limit);
  CHECK(second.size() == limit);
  CHECK(second.substr(limit - 2) == "y\n");
}

TEST_CASE("a newline in a text does not begin a line") {
  TempFolder folder;
  LogEnds ends;
  REQUIRE(log::open({.path = folder.path / "log"}).has_value());
  log::notice("{}", "a\n[forged");
  CHECK(lines_of(read_file(folder.path / "log")).size() == 1);
}

TEST_CASE("levels below the configured one are not written") {
  TempFolder folder;
  LogEnds ends;
  REQUIRE(log::open({.path = folder.path / "log", .level = log::Level::error}).has_value());
  CHECK_FALSE(log::enabled(log::Level::warning));
  CHECK(log::enabled(log::Level::error));
  log::warning("no");
  log::write(log::Level::notice, "www", "no");
  log::write_output({.about = {.pool = "www"}}, "no");
  CHECK(read_file(folder.path / "log").empty());
  log::set_level(log::Level::notice);
  log::notice("yes");
  CHECK(lines_of(read_file(folder.path / "log")).size() == 1);
}

TEST_CASE("during start-up stderr gets a copy, and only then") {
  TempFolder folder;
  LogEnds ends;
  int ends_of_pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_of_pair) == 0);
  os::UniqueFd reader(ends_of_pair[0]);
  os::UniqueFd writer(ends_of_pair[1]);
  StderrTo redirected(writer.get());
  REQUIRE(log::open({.path = folder.path / "log", .copy_to_stderr = true}).has_value());
  log::notice("one");
  log::end_stderr_copy();
  log::notice("two");
  CHECK(matches(read_available(reader.get()), kTime + "NOTICE: one\n"));
  CHECK(lines_of(read_file(folder.path / "log")).size() == 2);
}

TEST_CASE("error_log = /proc/self/fd/2 is not written twice during start-up") {
  LogEnds ends;
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  StderrTo redirected(pipe->write.get());
  const std::string path = GENERATE("/proc/self/fd/2", "/dev/stderr", "/dev/fd/2");
  REQUIRE(log::open({.path = path, .copy_to_stderr = true}).has_value());
  log::notice("one");
  REQUIRE(log::reopen().has_value());
  log::notice("two");
  log::end_stderr_copy();
  log::notice("three");
  CHECK(lines_of(read_available(pipe->read.get())).size() == 3);
}

TEST_CASE("reopen follows the name, and keeps the old file if that fails") {
  TempFolder folder;
  LogEnds ends;
  const auto sub = folder.path / "sub";
  std::filesystem::create_directory(sub);
  REQUIRE(log::open({.path = sub / "log"}).has_value());
  log::notice("old");
  std::filesystem::rename(sub / "log", sub / "log.1");
  log::notice("still old");
  REQUIRE(log::reopen().has_value());
  log::notice("new");
  CHECK(lines_of(read_file(sub / "log.1")).size() == 2);
  CHECK(lines_of(read_file(sub / "log")).size() == 1);

  std::filesystem::rename(sub, folder.path / "moved");
  CHECK(log::reopen().has_error());
  log::notice("kept");
  CHECK(lines_of(read_file(folder.path / "moved" / "log")).size() == 2);
}

TEST_CASE("a log that cannot be opened is told, and the old one stays") {
  TempFolder folder;
  LogEnds ends;
  REQUIRE(log::open({.path = folder.path / "log"}).has_value());
  const auto failed = log::open({.path = folder.path / "none" / "log"});
  REQUIRE(failed.has_error());
  CHECK(failed.error().code == ENOENT);
  CHECK(failed.error().what == "open " + (folder.path / "none" / "log").string());
  REQUIRE(::mkfifo((folder.path / "fifo").c_str(), 0600) == 0);
  CHECK(log::open({.path = folder.path / "fifo"}).has_error());
  log::notice("still here");
  CHECK(lines_of(read_file(folder.path / "log")).size() == 1);
}

TEST_CASE("a reader that does not read stops nobody, and learns what it missed") {
  LogEnds ends;
  os::UniqueFd reader, writer;
  const std::string kind = GENERATE("pipe", "socket");
  if (kind == "pipe") {
    auto pipe = os::make_pipe();
    REQUIRE(pipe.has_value());
    reader = std::move(pipe->read);
    writer = std::move(pipe->write);
    REQUIRE(os::set_nonblocking(reader.get(), true).has_value());
  } else {
    auto pair = os::make_socketpair(SOCK_STREAM);
    REQUIRE(pair.has_value());
    reader = std::move(pair->first);
    writer = std::move(pair->second);
  }
  {
    StderrTo redirected(writer.get());
    REQUIRE(log::open({}).has_value());
  }
  // The flag of the open file that others share is not touched.
  CHECK((::fcntl(writer.get(), F_GETFL) & O_NONBLOCK) == 0);
  writer.reset();

  constexpr int kLines = 20000;
  for (int i = 0; i < kLines; ++i) log::notice("line {:05}", i);  // would block here for ever
  CHECK_FALSE(log::flush());
  std::string text = read_available(reader.get());
  while (!log::flush()) text += read_available(reader.get());
  text += read_available(reader.get());
  log::notice("after");
  text += read_available(reader.get());

  const auto lines = lines_of(text);
  const std::regex told(kTime + "WARNING: (\\d+) lines of this log were lost: it was not read");
  std::smatch found;
  int written = 0;
  int lost = -1;
  for (const std::string& line : lines) {
    // Whole, and in order: the newest were dropped.
    if (line.substr(kTimeLength) == fmt::format("NOTICE: line {:05}", written)) {
      ++written;
    } else if (std::regex_match(line, found, told)) {
      CHECK(lost == -1);
      lost = std::stoi(found[1]);
    }
  }
  CHECK(lost > 0);
  CHECK(written + lost == kLines);
  CHECK(written > 1000);
  CHECK(matches(lines.back(), kTime + "NOTICE: after"));
}

TEST_CASE("a stopped terminal stops nobody") {
  LogEnds ends;
  int master = -1;
  int terminal = -1;
  if (::openpty(&master, &terminal, nullptr, nullptr, nullptr) != 0) {
    WARN("no pseudo terminal here");
    return;
  }
  os::UniqueFd master_end(master);
  os::UniqueFd terminal_end(terminal);
  REQUIRE(os::set_nonblocking(master, true).has_value());
  // With a descriptor of its own, and with one that it must not make non-blocking.
  const bool borrowed = GENERATE(false, true);
  StderrTo redirected(terminal);
  REQUIRE(log::open({}).has_value());
  if (borrowed) log::become_worker(log::WorkerLog::captured);
  REQUIRE(::tcflow(terminal, TCOOFF) == 0);  // ^S
  for (int i = 0; i < 5000; ++i) log::notice("line {}", i);
  CHECK_FALSE(log::flush());
  CHECK((::fcntl(terminal, F_GETFL) & O_NONBLOCK) == 0);
  REQUIRE(::tcflow(terminal, TCOON) == 0);
  if (borrowed) return;
  std::string text;
  while (!log::flush()) text += read_available(master);
  text += read_available(master);
  CHECK(text.find("line 0\r\n") != text.npos);
  CHECK(text.find("lines of this log were lost: it was not read") != text.npos);
}

TEST_CASE("a terminal of another user is not waited for either") {
  // As after su(1): the terminal cannot be opened again by its name, but as the controlling one.
  if (::geteuid() != 0) return;
  int master = -1;
  int terminal = -1;
  if (::openpty(&master, &terminal, nullptr, nullptr, nullptr) != 0) {
    WARN("no pseudo terminal here");
    return;
  }
  os::UniqueFd master_end(master);
  os::UniqueFd terminal_end(terminal);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::setsid() < 0 || ::ioctl(terminal, TIOCSCTTY, 0) != 0) ::_exit(1);
    if (::dup2(terminal, 2) < 0 || ::setuid(65534) != 0) ::_exit(2);
    if (::open("/proc/self/fd/2", O_WRONLY | O_CLOEXEC) >= 0) ::_exit(3);
    if (!log::open({})) ::_exit(4);
    if ((::fcntl(log::descriptor(), F_GETFL) & O_NONBLOCK) == 0) ::_exit(5);
    for (int i = 0; i < 5000; ++i) log::notice("line {}", i);  // nobody reads the other end
    ::_exit(log::flush() ? 6 : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a captured worker does not wait for a master that does not read") {
  LogEnds ends;
  auto pipe = os::make_pipe();
  REQUIRE(pipe.has_value());
  REQUIRE(os::set_nonblocking(pipe->read.get(), true).has_value());
  StderrTo redirected(pipe->write.get());
  log::become_worker(log::WorkerLog::captured);
  for (int i = 0; i < 20000; ++i) log::notice("line {}", i);
  CHECK((::fcntl(pipe->write.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK_FALSE(log::flush());
  CHECK(read_available(pipe->read.get()).substr(0, 30) == "NOTICE: line 0\nNOTICE: line 1\n");
  CHECK_FALSE(log::flush());  // fills the pipe again
  (void)read_available(pipe->read.get());
  CHECK(log::flush());
}

TEST_CASE("a flush with a wait ends when the wait is over") {
  LogEnds ends;
  auto pipe = os::make_pipe();
  REQUIRE(pipe.has_value());
  {
    StderrTo redirected(pipe->write.get());
    REQUIRE(log::open({}).has_value());
  }
  for (int i = 0; i < 5000; ++i) log::notice("line {}", i);
  CHECK_FALSE(log::flush(std::chrono::milliseconds(5)));
}

TEST_CASE("a pipe whose reader is gone costs lines, nothing else") {
  LogEnds ends;
  struct IgnorePipe {
    ~IgnorePipe() { ::signal(SIGPIPE, old); }
    sighandler_t old = ::signal(SIGPIPE, SIG_IGN);
  } ignored;
  auto pipe = os::make_pipe();
  REQUIRE(pipe.has_value());
  {
    StderrTo redirected(pipe->write.get());
    REQUIRE(log::open({}).has_value());
  }
  pipe->read.reset();
  log::notice("lost");
  log::notice("lost");
  CHECK(log::flush());  // nothing is kept for nobody
}

TEST_CASE("a full disk loses lines and says so when there is room again") {
  // RLIMIT_FSIZE stands in for the disk: write(2) is cut and then fails (EFBIG) as with ENOSPC.
  TempFolder folder;
  const auto path = folder.path / "log";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{1000, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) ::_exit(1);
    if (!log::open({.path = path})) ::_exit(2);
    for (int i = 0; i < 3000; ++i) log::notice("line {:04}", i);
    if (log::flush()) ::_exit(3);
    const rlimit large{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &large) != 0) ::_exit(4);
    ::_exit(log::flush() ? 0 : 5);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  const auto lines = lines_of(read_file(path));
  REQUIRE(lines.size() > 1000);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    CHECK(lines[i].substr(kTimeLength) == fmt::format("NOTICE: line {:04}", i));
  }
  CHECK(matches(lines.back(), kTime + "WARNING: " + std::to_string(3001 - lines.size()) +
                                  " lines of this log were lost: .*" + std::to_string(EFBIG) +
                                  R"(\))"));
}

TEST_CASE("a captured worker writes to fd 2 without a time") {
  LogEnds ends;
  TempFolder folder;
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  REQUIRE(log::open({.path = folder.path / "log"}).has_value());
  const int before = log::descriptor();
  REQUIRE(before >= 0);
  StderrTo redirected(pipe->write.get());
  log::become_worker(log::WorkerLog::captured);
  CHECK(::fcntl(before, F_GETFD) == -1);
  log::notice("hello {}", 1);
  log::write(log::Level::error, "www", "pooled");
  CHECK(read_available(pipe->read.get()) == "NOTICE: hello 1\nERROR: [pool www] pooled\n");
  CHECK(read_file(folder.path / "log").empty());
}

TEST_CASE("a worker that is not captured writes complete lines to the log's descriptor") {
  LogEnds ends;
  TempFolder folder;
  REQUIRE(log::open({.path = folder.path / "log", .copy_to_stderr = true}).has_value());
  log::become_worker(log::WorkerLog::direct);
  log::notice("direct");
  CHECK(matches(read_file(folder.path / "log"), kTime + "NOTICE: direct\n"));

  const std::string other = folder.path / "other";
  log::use_descriptor(os::UniqueFd(::open(other.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
  log::notice("sent later");
  CHECK(matches(read_file(other), kTime + "NOTICE: sent later\n"));
}

TEST_CASE("a worker does not write again what its parent has kept") {
  LogEnds ends;
  auto pipe = os::make_pipe();
  REQUIRE(pipe.has_value());
  REQUIRE(os::set_nonblocking(pipe->read.get(), true).has_value());
  {
    StderrTo redirected(pipe->write.get());
    REQUIRE(log::open({}).has_value());
  }
  for (int i = 0; i < 3000; ++i) log::notice("line {}", i);
  REQUIRE_FALSE(log::flush());
  log::become_worker(log::WorkerLog::direct);
  CHECK(log::flush());
}

TEST_CASE("worker output fits its room exactly, at every level") {
  LogEnds ends;
  TempFolder folder;
  const auto level = GENERATE(log::Level::debug, log::Level::notice);
  REQUIRE(log::open({.path = folder.path / "log", .level = level}).has_value());
  for (const bool decorated : {true, false}) {
    std::filesystem::resize_file(folder.path / "log", 0);
    const std::size_t room = log::output_room("www", decorated).bytes;
    const log::Output from{.about = {.pool = "www"}, .decorated = decorated};
    log::write_output(from, std::string(room, 'x'));
    std::string text = read_file(folder.path / "log");
    CHECK(text.size() == 1024);
    CHECK(text.substr(1022) == "x\n");
    log::write_output(from, "short");
    text = read_file(folder.path / "log").substr(1024);
    if (!decorated) CHECK(text == "short\n");
    if (decorated && level == log::Level::notice) {
      CHECK(matches(text, kTime + R"(WARNING: \[pool www\] short\n)"));
    }
  }
}
