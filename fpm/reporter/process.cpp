#include "fpm/reporter/process.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "fpm/os/identity.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/new_program.hpp"
#include "fpm/os/process.hpp"
#include "fpm/reporter/server.hpp"
#include "fpm/reporter/view.hpp"

namespace fpm::reporter {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr int kExitUsage = 64;
constexpr int kExitInternal = 70;

/// A line for the master's log, in one packet.
void say(const std::string& line) {
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

/// What the master is asked for by signal comes over the channel instead; a ^C or a `kill` of the
/// whole group is for the master to judge.
void ignore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) {
    ::signal(signal, SIG_IGN);
  }
}

/// `who`: "UID:GID" or "-".
os::Result<void> drop_privileges(const char* who) {
  os::Identity identity;
  if (std::strcmp(who, "-") != 0) {
    if (std::sscanf(who, "%u:%u", &identity.uid, &identity.gid) != 2) {
      return os::Error(EINVAL, fmt::format("read {}", who));
    }
    identity.groups = {identity.gid};
    if (auto done = os::become(identity); !done) return done;
  }
  // The change of user has cleared it. That the master is gone already, the channel tells.
  (void)os::set_parent_death_signal(SIGKILL, ::getppid());
  if (auto done = os::give_up_capabilities(); !done) return done;
  if (auto done = os::set_dumpable(false); !done) return done;
  if (auto done = os::set_limit(os::Limit::core, 0); !done) return done;
  return os::set_limit(os::Limit::processes, 0);
}

/// The loop: messages of the master, clients, and once a second a look at all pools.
class Process {
 public:
  Process() : channel_(io_, os::kChannel), tick_(io_), server_(io_, view_) {}

  int run() {
    wait_for_news();
    tick();
    io_.run();
    return status_;
  }

 private:
  void wait_for_news() {
    channel_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [this](const error_code& failure) {
                          if (!failure) read_some();
                        });
  }

  void read_some() {
    constexpr int kAtOnce = 256;  // then it is the clients' turn
    for (int i = 0; i < kAtOnce; ++i) {
      auto packet = os::receive_packet(channel_.native_handle(), buffer_);
      if (!packet && packet.error().code == EAGAIN) break;
      if (!packet) return end(packet.error().text());
      if (packet->size == 0) return io_.stop();  // the master has ended
      const auto message = decode({buffer_.data(), packet->size});
      if (!message) return end("the master has sent what is no message");
      if (std::string wrong = view_.take(*message, *packet); !wrong.empty()) return end(wrong);
      if (std::holds_alternative<Commit>(*message)) {
        view_.sample(View::Time::clock::now());
        server_.use_places();
      }
    }
    wait_for_news();
  }

  void tick() {
    view_.sample(View::Time::clock::now());
    tick_.expires_after(std::chrono::seconds(1));
    tick_.async_wait([this](const error_code& cancelled) {
      if (!cancelled) tick();
    });
  }

  void end(const std::string& why) {
    say(why);
    status_ = kExitInternal;
    io_.stop();
  }

  asio::io_context io_{1};
  asio::posix::stream_descriptor channel_;
  asio::steady_timer tick_;
  View view_;
  Server server_;
  std::array<char, kMostBytes + 1> buffer_{};
  int status_ = 0;
};

int be_reporter(const char* who) {
  ignore_signals();
  os::set_title("reporter");
  if (auto done = drop_privileges(who); !done) {
    say(done.error().text());
    return kExitInternal;
  }
  try {
    return Process().run();
  } catch (const std::exception& failure) {
    say(fmt::format("internal error: {}", failure.what()));
    return kExitInternal;
  }
}

bool is_socket(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

std::optional<int> run_if_asked(int argc, char** argv) {
  if (argc < 2 || std::strcmp(argv[1], kOption) != 0) return std::nullopt;
  if (argc != 3 || !is_socket(os::kChannel)) {
    fmt::print(stderr, "{} is for fpm itself: it starts its reporter with it\n", kOption);
    return kExitUsage;
  }
  const std::string who = argv[2];  // a title is written over the arguments
  os::prepare_title(argc, argv, argv[0]);
  // Not by return: nothing that the program has set up is worth being taken down.
  os::exit_now(be_reporter(who.c_str()));
}

}  // namespace fpm::reporter
