#include "fpm/os/fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

using namespace fpm::os;

namespace {
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
}  // namespace

TEST_CASE("a UniqueFd closes its descriptor at the end of its life") {
  int raw = -1;
  {
    UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    REQUIRE(is_open(raw));
  }
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("moving a UniqueFd leaves one owner") {
  UniqueFd first(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = first.get();
  UniqueFd second = std::move(first);
  CHECK_FALSE(first);
  CHECK(second.get() == raw);
  second = UniqueFd();
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("a pipe is closed on exec and carries bytes") {
  auto pipe = make_pipe();
  REQUIRE(pipe.has_value());
  CHECK((::fcntl(pipe->read.get(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(::write(pipe->write.get(), "x", 1) == 1);
  char byte = 0;
  REQUIRE(::read(pipe->read.get(), &byte, 1) == 1);
  CHECK(byte == 'x');
}

TEST_CASE("a failed call is told with its step and errno") {
  auto copy = duplicate(-1);
  REQUIRE(copy.has_error());
  CHECK(copy.error().code == EBADF);
  CHECK(copy.error().text() == "fcntl F_DUPFD_CLOEXEC: Bad file descriptor (9)");
}
