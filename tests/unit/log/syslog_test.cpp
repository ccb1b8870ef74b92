#include "fpm/log/syslog.hpp"

#include <fcntl.h>
#include <sys/un.h>
#include <syslog.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "log_rig.hpp"

using namespace fpm;

namespace {

/// A daemon's socket, bound by the test.
struct Daemon {
  TempFolder folder;
  LogEnds ends;
  std::string path = folder.path / "log";
  std::string console = folder.path / "console";
  os::UniqueFd socket;

  Daemon() {
    std::ofstream(console).flush();
    start();
  }
  void start() {
    ::unlink(path.c_str());
    socket.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  void open(log::Settings settings = {}) {
    settings.path = "syslog";
    settings.syslog = {.ident = "web",
                       .facility = LOG_LOCAL3,
                       .socket = path,
                       .console = console};
    REQUIRE(log::open(settings).has_value());
  }
  /// Packets that have come.
  std::vector<std::string> packets() {
    std::vector<std::string> all;
    std::vector<char> buffer(300'000);
    while (true) {
      const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0) return all;
      all.emplace_back(buffer.data(), static_cast<std::size_t>(got));
    }
  }
};

std::string packet_head(int priority) {
  return "<" + std::to_string(LOG_LOCAL3 | priority) + R"(>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )" +
         R"(web\[)" + std::to_string(::getpid()) + R"(\]: )";
}

}  // namespace

TEST_CASE("lines go to the system logger with their own priority") {
  Daemon daemon;
  daemon.open({.level = log::Level::notice});
  log::notice("hello {}", 1);
  log::in_pool(log::Level::warning, "www", "w");
  log::error("e");
  log::alert("a");
  log::debug("not shown");
  const auto got = daemon.packets();
  REQUIRE(got.size() == 4);
  CHECK(matches(got[0], packet_head(LOG_NOTICE) + R"(\[NOTICE\] hello 1)"));
  CHECK(matches(got[1], packet_head(LOG_WARNING) + R"(\[WARNING\] \[pool www\] w)"));
  CHECK(matches(got[2], packet_head(LOG_ERR) + R"(\[ERROR\] e)"));
  CHECK(matches(got[3], packet_head(LOG_ALERT) + R"(\[ALERT\] a)"));
}

TEST_CASE("at debug level the logger is told who wrote a line") {
  Daemon daemon;
  daemon.open({.level = log::Level::debug});
  log::write(log::Level::debug, {}, "x", "some_function", 12);
  const auto got = daemon.packets();
  REQUIRE(got.size() == 1);
  CHECK(matches(got[0], packet_head(LOG_DEBUG) + R"(\[DEBUG\] pid \d+, some_function\(\), )" +
                            "line 12: x"));
}

TEST_CASE("the logger gets a worker's output too, and objects with log_format = json") {
  Daemon daemon;
  daemon.open({.limit = 512});
  log::write_output({.about = {.pool = "www", .pid = 7}, .stream = "stderr"},
                    "child 7 said into stderr: \"x\"");
  log::notice("{}", std::string(2000, 'x'));
  auto got = daemon.packets();
  REQUIRE(got.size() == 2);
  CHECK(matches(got[0], packet_head(LOG_WARNING) +
                            R"(\[WARNING\] \[pool www\] child 7 said into stderr: "x")"));
  CHECK(matches(got[1], packet_head(LOG_NOTICE) + R"(\[NOTICE\] x+\.\.\.)"));
  CHECK(got[1].size() < 600);

  daemon.open({.format = log::LineFormat::json});
  log::notice("hello");
  got = daemon.packets();
  REQUIRE(got.size() == 1);
  CHECK(matches(got[0], packet_head(LOG_NOTICE) + R"(\{"time":.*"message":"hello"\})"));
  // The most expensive text there is still goes into one packet.
  log::write_output({.about = {.pool = "www"}, .stream = "stdout"},
                    std::string(log::output_room("www").bytes, '\x01'));
  CHECK(daemon.packets().size() == 1);
}

TEST_CASE("a logger that does not read stops nobody, and learns what it missed") {
  Daemon daemon;
  daemon.open();
  constexpr int kLines = 5000;
  for (int i = 0; i < kLines; ++i) log::notice("line {}", i);  // would block here for ever
  CHECK_FALSE(log::flush());
  auto got = daemon.packets();
  while (!log::flush()) {
    const auto more = daemon.packets();
    got.insert(got.end(), more.begin(), more.end());
  }
  const auto last = daemon.packets();
  got.insert(got.end(), last.begin(), last.end());
  std::smatch found;
  const std::regex told(packet_head(LOG_WARNING) +
                        R"(\[WARNING\] (\d+) lines of this log were lost: it was not read)");
  REQUIRE(std::regex_match(got.back(), found, told));
  const int lost = std::stoi(found[1]);
  CHECK(lost > 0);
  CHECK(static_cast<int>(got.size()) - 1 + lost == kLines);
  for (std::size_t i = 0; i + 1 < got.size(); ++i) {
    CHECK(got[i].ends_with("[NOTICE] line " + std::to_string(i)));
  }
  // LOG_CONS: nothing is lost to who looks at the console.
  CHECK(static_cast<int>(lines_of(read_file(daemon.console)).size()) == lost);
  CHECK(lines_of(read_file(daemon.console)).back().find("web[") == 0);
}

TEST_CASE("a logger that is restarted gets what was written meanwhile") {
  Daemon daemon;
  daemon.open();
  log::notice("one");
  CHECK(daemon.packets().size() == 1);
  daemon.socket.reset();
  log::notice("two");  // refused by the old socket
  ::unlink(daemon.path.c_str());
  log::notice("three");  // nobody there
  CHECK_FALSE(log::flush());
  daemon.start();
  CHECK(log::flush());
  const auto got = daemon.packets();
  REQUIRE(got.size() == 2);
  CHECK(got[0].ends_with("[NOTICE] two"));
  CHECK(got[1].ends_with("[NOTICE] three"));
}

TEST_CASE("a missing logger is told at start where somebody looks") {
  Daemon daemon;
  daemon.socket.reset();
  ::unlink(daemon.path.c_str());
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  StderrTo redirected(pipe->write.get());
  daemon.open({.copy_to_stderr = true});
  log::notice("ready");
  log::end_stderr_copy();
  log::notice("later");
  const auto lines = lines_of(read_available(pipe->read.get()));
  REQUIRE(lines.size() == 2);
  CHECK(matches(lines[0], kTime + "WARNING: no system logger at " + daemon.path +
                              R"( yet: No such file or directory \(2\))"));
  CHECK(matches(lines[1], kTime + "NOTICE: ready"));
  daemon.start();
  CHECK(log::flush());
  CHECK(daemon.packets().size() == 3);
}

TEST_CASE("a worker writes to the logger with its own pid and not what its parent kept") {
  Daemon daemon;
  daemon.open();
  CHECK(log::descriptor() >= 0);
  daemon.socket.reset();
  log::notice("kept");
  daemon.start();
  log::become_worker(log::WorkerLog::direct);
  log::notice("worker");
  const auto got = daemon.packets();
  REQUIRE(got.size() == 1);
  CHECK(got[0].ends_with("[NOTICE] worker"));
}
