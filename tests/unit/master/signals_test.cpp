#include "fpm/master/signals.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using fpm::master::Signals;

TEST_CASE("a signal becomes a record with its sender") {
  auto signals = Signals::install();
  REQUIRE(signals.has_value());
  CHECK_FALSE(signals->next().has_value());
  REQUIRE(::raise(SIGUSR1) == 0);
  pollfd one{signals->fd(), POLLIN, 0};
  REQUIRE(::poll(&one, 1, 1000) == 1);
  const auto record = signals->next();
  REQUIRE(record.has_value());
  CHECK(record->signal == SIGUSR1);
  CHECK(record->pid == ::getpid());
  CHECK(record->uid == static_cast<int>(::getuid()));
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("more signals than anybody reads do not block the process") {
  auto signals = Signals::install();
  REQUIRE(signals.has_value());
  for (int i = 0; i < 5000; ++i) ::raise(SIGUSR2);
  int read = 0;
  while (signals->next()) ++read;
  CHECK(read > 0);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGHUP}) {
    ::signal(signal, SIG_DFL);
  }
}
