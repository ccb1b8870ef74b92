#include "fpm/policy/emergency.hpp"

#include <signal.h>

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using fpm::policy::EmergencyRestart;
using namespace std::chrono_literals;

namespace {

EmergencyRestart::TimePoint at(std::chrono::milliseconds time) {
  return EmergencyRestart::TimePoint(1h + time);
}

}  // namespace

TEST_CASE("so many crashes within the interval ask for a reload") {
  EmergencyRestart emergency(3, 10s);
  CHECK_FALSE(emergency.worker_ended(SIGSEGV, at(0s)));
  CHECK_FALSE(emergency.worker_ended(SIGBUS, at(4s)));
  CHECK(emergency.worker_ended(SIGSEGV, at(10s)));
}

TEST_CASE("crashes that are further apart than the interval do not") {
  EmergencyRestart emergency(3, 10s);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(emergency.worker_ended(SIGSEGV, at(i * 5001ms)));
}

TEST_CASE("other ends of workers are no crashes") {
  EmergencyRestart emergency(2, 10s);
  for (const int signal : {0, SIGKILL, SIGTERM, SIGQUIT, SIGABRT, SIGFPE, SIGILL, SIGSYS}) {
    CHECK_FALSE(emergency.worker_ended(signal, at(0s)));
    CHECK_FALSE(emergency.worker_ended(signal, at(1s)));
  }
}

TEST_CASE("after a reload the count begins anew") {
  EmergencyRestart emergency(2, 10s);
  CHECK_FALSE(emergency.worker_ended(SIGSEGV, at(0s)));
  CHECK(emergency.worker_ended(SIGSEGV, at(1s)));
  CHECK_FALSE(emergency.worker_ended(SIGSEGV, at(2s)));
  CHECK(emergency.worker_ended(SIGSEGV, at(3s)));
}

TEST_CASE("without a threshold or an interval there is no emergency") {
  for (EmergencyRestart emergency : {EmergencyRestart(0, 10s), EmergencyRestart(2, 0s),
                                     EmergencyRestart(-1, 10s)}) {
    for (int i = 0; i < 10; ++i) CHECK_FALSE(emergency.worker_ended(SIGSEGV, at(0s)));
  }
}

TEST_CASE("a threshold of one reloads at each crash") {
  EmergencyRestart emergency(1, 1s);
  CHECK(emergency.worker_ended(SIGBUS, at(0s)));
  CHECK(emergency.worker_ended(SIGBUS, at(0s)));
}

TEST_CASE("a reload comes exactly when the last crashes fit into the interval") {
  std::mt19937 random(20);
  for (int round = 0; round < 200; ++round) {
    const int threshold = 1 + static_cast<int>(random() % 5);
    EmergencyRestart emergency(threshold, 1000ms);
    std::vector<std::chrono::milliseconds> since_reload;
    std::chrono::milliseconds now{0};
    for (int i = 0; i < 50; ++i) {
      now += std::chrono::milliseconds(random() % 600);
      since_reload.push_back(now);
      const auto count = static_cast<int>(since_reload.size());
      const bool expected =
          count >= threshold &&
          now - since_reload[static_cast<std::size_t>(count - threshold)] <= 1000ms;
      REQUIRE(emergency.worker_ended(SIGSEGV, at(now)) == expected);
      if (expected) since_reload.clear();
    }
  }
}
