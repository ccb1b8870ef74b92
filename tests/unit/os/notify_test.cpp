#include "fpm/os/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>

using namespace fpm::os;
using namespace std::chrono_literals;

namespace {

/// A service manager: a datagram socket, and NOTIFY_SOCKET set to its name.
class Manager {
 public:
  explicit Manager(const std::string& name)
      : path_(name[0] == '@' ? "" : name),
        socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (path_.empty() ? 0 : 1));
    REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  /// The next message; empty: none.
  std::string next() {
    char text[512];
    const ssize_t count = ::recv(socket_.get(), text, sizeof text, 0);
    return count > 0 ? std::string(text, static_cast<std::size_t>(count)) : "";
  }

 private:
  std::string path_;
  UniqueFd socket_;
};

std::string a_name() { return "@fpm-test-" + std::to_string(::getpid()); }

}  // namespace

TEST_CASE("a service manager hears of the start, the state and the end") {
  const std::string path = "/tmp/fpm-notify-" + std::to_string(::getpid());
  for (const std::string& name : {a_name(), path}) {
    Manager manager(name);
    const Notifier notifier = Notifier::from_environment();
    CHECK(static_cast<bool>(notifier));
    notifier.ready(42, "Ready to handle connections");
    CHECK(manager.next() == "READY=1\nSTATUS=Ready to handle connections\nMAINPID=42");
    notifier.status("busy");
    CHECK(manager.next() == "STATUS=busy");
    notifier.watchdog();
    CHECK(manager.next() == "WATCHDOG=1");
    notifier.reloading();
    const std::string reloading = manager.next();
    CHECK(reloading.substr(0, 27) == "RELOADING=1\nMONOTONIC_USEC=");
    CHECK(std::stoull(reloading.substr(27)) > 0);
    notifier.stopping();
    CHECK(manager.next().substr(0, 10) == "STOPPING=1");
    CHECK(manager.next().empty());
  }
}

TEST_CASE("nothing of the service manager stays in the environment") {
  const Manager manager(a_name());
  ::setenv("WATCHDOG_USEC", "1000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  (void)Notifier::from_environment();
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    CHECK(std::getenv(name) == nullptr);
  }
}

TEST_CASE("a watchdog is answered at half its time, by the process that it watches") {
  struct Row {
    const char* limit;
    std::string pid;
    std::optional<std::chrono::microseconds> interval;
  };
  for (const Row& row : {Row{"3000000", "", 1500ms}, Row{"3000000", std::to_string(::getpid()), 1500ms},
                         Row{"3000000", "1", std::nullopt}, Row{"soon", "", std::nullopt},
                         Row{"0", "", std::nullopt}, Row{"-5", "", std::nullopt}}) {
    const Manager manager(a_name());
    ::setenv("WATCHDOG_USEC", row.limit, 1);
    ::unsetenv("WATCHDOG_PID");
    if (!row.pid.empty()) ::setenv("WATCHDOG_PID", row.pid.c_str(), 1);
    CHECK(Notifier::from_environment().watchdog_interval() == row.interval);
  }
}

TEST_CASE("without a service manager nothing is sent and nothing fails") {
  for (const char* name : {"", "@", "relative", "vsock:2:1"}) {
    ::setenv("NOTIFY_SOCKET", name, 1);
    ::setenv("WATCHDOG_USEC", "1000000", 1);
    const Notifier notifier = Notifier::from_environment();
    CHECK_FALSE(static_cast<bool>(notifier));
    CHECK_FALSE(notifier.watchdog_interval().has_value());
    notifier.ready(1, "x");
  }
}

TEST_CASE("a manager that does not read is not waited for") {
  Manager manager(a_name());
  const Notifier notifier = Notifier::from_environment();
  for (int i = 0; i < 5000; ++i) notifier.status("busy");  // far more than its queue takes
  CHECK(manager.next() == "STATUS=busy");
}

TEST_CASE("the line of activity is php-fpm's") {
  CHECK(activity_line({.active = 1, .idle = 3, .requests = 142, .slow = 2}, 100, 10s) ==
        "Processes active: 1, idle: 3, Requests: 142, slow: 2, Traffic: 4.20req/sec");
  // A pool that is gone after a reload must not make the rate immense.
  CHECK(activity_line({.requests = 1}, 100, 10s).find("Traffic: 0.00req/sec") != std::string::npos);
}
