#include "fpm/http/process.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "fpm/http/server.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/identity.hpp"
#include "fpm/os/limits.hpp"
#include "fpm/os/new_program.hpp"
#include "fpm/os/process.hpp"

namespace fpm::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr int kExitUsage = 64;
constexpr int kExitInternal = 70;
constexpr std::size_t kLongestLine = 4096;

/// A line for the master's log, in one packet; lost if the master does not take it now.
void say(log::Level level, const std::string& line) {
  const std::string packet =
      fmt::format("{}{}", static_cast<int>(level), std::string_view(line).substr(0, kLongestLine));
  (void)!::write(STDERR_FILENO, packet.data(), packet.size());
}

/// What the master is asked for by signal comes over the channel instead; a ^C or a `kill` of the
/// whole group is for the master to judge.
void ignore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) {
    ::signal(signal, SIG_IGN);
  }
}

/// "UID:GID[,GROUP...]".
os::Result<os::Identity> read_identity(std::string_view who) {
  os::Identity identity;
  const char* at = who.data();
  const char* const end = at + who.size();
  const auto number = [&](unsigned& value) {
    const auto [stop, failure] = std::from_chars(at, end, value);
    at = stop;
    return failure == std::errc();
  };
  bool good = number(identity.uid) && at != end && *at++ == ':' && number(identity.gid);
  identity.groups = {identity.gid};
  while (good && at != end) {
    unsigned group = 0;
    good = *at++ == ',' && number(group);
    identity.groups.push_back(group);
  }
  if (!good) return os::Error(EINVAL, fmt::format("read {}", who));
  return identity;
}

os::Result<void> drop_privileges(const std::string& who) {
  if (who != "-") {
    const auto identity = read_identity(who);
    if (!identity) return identity.error();
    if (auto done = os::become(*identity); !done) return done;
  }
  // The change of user has cleared it. That the master is gone already, the channel tells.
  (void)os::set_parent_death_signal(SIGKILL, ::getppid());
  if (auto done = os::give_up_capabilities(); !done) return done;
  if (auto done = os::set_dumpable(false); !done) return done;
  if (auto done = os::set_limit(os::Limit::core, 0); !done) return done;
  return os::set_limit(os::Limit::processes, 0);
}

/// The loop: messages of the master, and clients.
class Process {
 public:
  Process() : channel_(io_, os::kChannel), server_(io_, os::file_limit(), say) {}

  int run() {
    wait_for_news();
    while (true) {
      try {
        io_.run();
        return status_;
      } catch (const std::exception& failure) {
        // In one connection's work, of no concern to the others: memory, or a bug of ours.
        say(log::Level::error, fmt::format("internal error: {}", failure.what()));
      }
    }
  }

 private:
  void wait_for_news() {
    channel_.async_wait(asio::posix::stream_descriptor::wait_read,
                        [this](const error_code& failure) {
                          if (!failure) read_some();
                        });
  }

  void read_some() {
    while (true) {
      auto packet = os::receive_packet(channel_.native_handle(), buffer_);
      if (!packet && packet.error().code == EAGAIN) break;
      if (!packet) return end(packet.error().text());
      if (packet->size == 0) return io_.stop();  // the master has ended
      auto message = decode({buffer_.data(), packet->size});
      if (!message || !take(*message, *packet)) return end("the master has sent what is no message");
    }
    wait_for_news();
  }

  bool take(Message& message, os::Packet& packet) {
    if (const auto* finish = std::get_if<Finish>(&message)) {
      server_.finish(finish->serve_queue != 0);
      return true;
    }
    if (std::holds_alternative<NewLog>(message)) {
      if (packet.fd_count != 1) return false;
      server_.use_log(std::move(packet.fds[0]));
      return true;
    }
    return take_settings(std::get<Settings>(std::move(message)), packet);
  }

  bool take_settings(Settings settings, os::Packet& packet) {
    std::array<os::UniqueFd, 4> fds;
    std::size_t next = 0;
    const std::array<std::uint8_t, 4> there{settings.has_listener, settings.has_board,
                                            settings.has_place, settings.has_log};
    for (std::size_t i = 0; i < there.size(); ++i) {
      if (there[i] == 0) continue;
      if (next >= packet.fd_count) return false;
      fds[i] = std::move(packet.fds[next++]);
    }
    if (!listening_ && (!fds[0] || !fds[1])) return false;
    if (fds[1]) {
      auto board = scoreboard::DoorBoard::attach_writable(fds[1].get());
      if (!board) return false;
      server_.use_board(std::move(*board));
    }
    os::set_title(fmt::format("door {}", settings.pool));
    server_.use_log(std::move(fds[3]));
    server_.use(std::make_shared<Service>(std::move(settings), std::move(fds[2])));
    if (fds[0]) {
      server_.listen(std::move(fds[0]));
      listening_ = true;
    }
    return true;
  }

  void end(const std::string& why) {
    say(log::Level::error, why);
    status_ = kExitInternal;
    io_.stop();
  }

  asio::io_context io_{1};
  asio::posix::stream_descriptor channel_;
  Server server_;
  std::array<char, kMostBytes + 1> buffer_{};
  bool listening_ = false;
  int status_ = 0;
};

int be_door(const std::string& who, const std::string& files) {
  ignore_signals();
  os::set_title("door");
  std::uint64_t most = 0;
  std::from_chars(files.data(), files.data() + files.size(), most);
  if (most > 0) {
    if (auto done = os::set_limit(os::Limit::files, most); !done) {
      say(log::Level::error, done.error().text());
      return kExitInternal;
    }
  }
  if (auto done = drop_privileges(who); !done) {
    say(log::Level::error, done.error().text());
    return kExitInternal;
  }
  try {
    return std::make_unique<Process>()->run();
  } catch (const std::exception& failure) {
    say(log::Level::error, fmt::format("internal error: {}", failure.what()));
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
  if (argc != 4 || !is_socket(os::kChannel)) {
    fmt::print(stderr, "{} is for fpm itself: it starts its doors with it\n", kOption);
    return kExitUsage;
  }
  const std::string who = argv[2];  // a title is written over the arguments
  const std::string files = argv[3];
  os::prepare_title(argc, argv, argv[0]);
  // Not by return: nothing that the program has set up is worth being taken down.
  os::exit_now(be_door(who, files));
}

}  // namespace fpm::http
