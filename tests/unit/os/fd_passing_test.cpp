#include "fpm/os/fd_passing.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string_view>
#include <vector>

using namespace fpm::os;

namespace {

struct Pair {
  UniqueFd sender, receiver;
  Pair() {
    auto made = make_socketpair(SOCK_SEQPACKET);
    REQUIRE(made.has_value());
    sender = std::move(made->first);
    receiver = std::move(made->second);
  }
};

constexpr std::string_view kText = "two";

int count_open() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("descriptors arrive as owned ones that lead to the same files") {
  Pair pair;
  auto first = make_pipe();
  auto second = make_pipe();
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  REQUIRE(send_packet(pair.sender.get(), kText,
                      std::vector{first->write.get(), second->write.get()})
              .has_value());
  CHECK_FALSE(all_was_read(pair.sender.get()));
  char buffer[16];
  auto packet = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(packet.has_value());
  CHECK(all_was_read(pair.sender.get()));
  CHECK(std::string_view(buffer, packet->size) == kText);
  REQUIRE(packet->fd_count == 2);
  CHECK(packet->fds[0].get() != first->write.get());
  CHECK((::fcntl(packet->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(::write(packet->fds[1].get(), "x", 1) == 1);
  char byte = 0;
  REQUIRE(::read(second->read.get(), &byte, 1) == 1);
  CHECK(byte == 'x');
}

TEST_CASE("packets stay apart and in order, also without descriptors") {
  Pair pair;
  REQUIRE(send_packet(pair.sender.get(), std::string_view("a"), {}).has_value());
  REQUIRE(send_packet(pair.sender.get(), std::string_view("bc"), {}).has_value());
  char buffer[16];
  auto first = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(first.has_value());
  CHECK(first->size == 1);
  CHECK(first->fd_count == 0);
  auto second = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(second.has_value());
  CHECK(std::string_view(buffer, second->size) == "bc");
}

TEST_CASE("nobody waits: not for a packet, not for room, not for a reader that is gone") {
  Pair pair;
  char buffer[16];
  const auto none = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(none.has_error());
  CHECK(none.error().code == EAGAIN);

  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  int sent = 0;
  Result<void> last{};
  while (sent < 100'000 && last.has_value()) {
    last = send_packet(pair.sender.get(), kText, std::vector{null.get()});
    ++sent;
  }
  REQUIRE(last.has_error());
  CHECK((last.error().code == EAGAIN || last.error().code == ETOOMANYREFS));

  pair.receiver.reset();
  const auto gone = send_packet(pair.sender.get(), kText, {});
  REQUIRE(gone.has_error());
  CHECK((gone.error().code == EPIPE || gone.error().code == ECONNRESET));
}

TEST_CASE("too many descriptors under way are told as ETOOMANYREFS") {
  // The limit counts per user and spares root: a child that is nobody.
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
    const rlimit few{12, 12};
    if (::setrlimit(RLIMIT_NOFILE, &few) != 0) ::_exit(2);
    auto pair = make_socketpair(SOCK_SEQPACKET);
    if (!pair) ::_exit(3);
    const int fd = pair->first.get();
    for (int i = 0; i < 100; ++i) {
      const auto sent = send_packet(fd, kText, std::vector{fd, fd, fd, fd});
      if (!sent) ::_exit(sent.error().code == ETOOMANYREFS ? 0 : 4);
    }
    ::_exit(5);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the end of the sender is a packet of no bytes") {
  Pair pair;
  pair.sender.reset();
  char buffer[16];
  const auto end = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(end.has_value());
  CHECK(end->size == 0);
}

TEST_CASE("a packet that does not fit leaves no descriptor behind") {
  Pair pair;
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  REQUIRE(send_packet(pair.sender.get(), kText, std::vector{null.get()}).has_value());
  const int before = count_open();
  char buffer[1];
  const auto cut = receive_packet(pair.receiver.get(), buffer);
  REQUIRE(cut.has_error());
  CHECK(cut.error().code == EMSGSIZE);
  CHECK(count_open() == before);
}

TEST_CASE("more descriptors than a packet takes are refused at once") {
  Pair pair;
  const auto refused = send_packet(pair.sender.get(), kText, std::vector<int>(kMostPassed + 1, 0));
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == EINVAL);
}
