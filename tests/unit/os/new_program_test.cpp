#include "fpm/os/new_program.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "fpm/os/fd.hpp"
#include "fpm/os/shared_memory.hpp"

using namespace fpm::os;
using namespace std::chrono_literals;

namespace {

constexpr const char* kName = "what a new program finds";

/// A packet, for which it waits up to 10 s.
std::string receive(int channel) {
  pollfd ready{channel, POLLIN, 0};
  REQUIRE(::poll(&ready, 1, 10'000) == 1);
  char buffer[512];
  const ssize_t size = ::recv(channel, buffer, sizeof buffer, 0);
  return {buffer, static_cast<std::size_t>(std::max<ssize_t>(0, size))};
}

std::string open_descriptors() {
  std::string found;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && name != std::to_string(::dirfd(folder))) found += name + ' ';
  }
  ::closedir(folder);
  return found;
}

}  // namespace

// Run by the next test in the process that it starts; hidden, so that nobody else runs it.
TEST_CASE(kName, "[.]") {
  const std::string said = open_descriptors() + (environ[0] == nullptr ? "empty" : environ[0]) +
                           (::getpgrp() == ::getpid() ? " leader" : " member");
  (void)!::write(STDERR_FILENO, said.data(), said.size());
  ::pause();
}

TEST_CASE("a new program has its channel and nothing else of who started it") {
  auto ends = make_socketpair(SOCK_SEQPACKET);
  REQUIRE(ends.has_value());
  const auto pid = start_this_program("child", {kName}, ends->second.get());
  REQUIRE(pid.has_value());
  ends->second.reset();
  const std::string said = receive(ends->first.get());
  CHECK(said == "0 1 2 3 empty leader");
  CHECK(end_child(*pid, 5s));
  CHECK(receive(ends->first.get()).empty());
  CHECK(::waitpid(*pid, nullptr, WNOHANG) < 0);
}

TEST_CASE("ending a child that has gone already is no failure") {
  auto ends = make_socketpair(SOCK_SEQPACKET);
  const auto pid = start_this_program("child", {kName}, ends->second.get());
  REQUIRE(pid.has_value());
  CHECK(end_child(*pid, 5s));
  CHECK(end_child(*pid, 5s));
}

TEST_CASE("memory that was handed over for reading cannot be written") {
  auto memory = SharedMemory::create("test", 8192);
  REQUIRE(memory.has_value());
  static_cast<char*>(memory->data())[100] = 'x';
  const auto fd = open_read_only(memory->fd());
  REQUIRE(fd.has_value());
  const auto seen = SharedMemory::map_read_only(fd->get(), 8192);
  REQUIRE(seen.has_value());
  CHECK(static_cast<const char*>(seen->data())[100] == 'x');
  static_cast<char*>(memory->data())[100] = 'y';
  CHECK(static_cast<const char*>(seen->data())[100] == 'y');
  CHECK(::mprotect(seen->data(), 4096, PROT_READ | PROT_WRITE) < 0);
  CHECK(::mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd->get(), 0) == MAP_FAILED);
}

TEST_CASE("memory that could shrink, or is too small, is not mapped") {
  UniqueFd loose(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(loose.get(), 8192) == 0);
  CHECK(SharedMemory::map_read_only(loose.get(), 8192).has_error());
  auto memory = SharedMemory::create("test", 4096);
  CHECK(SharedMemory::map_read_only(memory->fd(), 8192).has_error());
  const Pipe pipe = *make_pipe();
  CHECK(SharedMemory::map_read_only(pipe.read.get(), 1).has_error());
}

TEST_CASE("a process without capabilities has none left") {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    bool none = give_up_capabilities().has_value();
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("CapEff:", 0) == 0 || line.rfind("CapPrm:", 0) == 0) {
        none = none && line.substr(8) == "0000000000000000";
      }
      if (line.rfind("NoNewPrivs:", 0) == 0) none = none && line.back() == '1';
    }
    ::_exit(none ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}
