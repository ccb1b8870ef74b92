#include "fpm/worker/queue_wait.hpp"

#include <catch2/catch.hpp>

using fpm::worker::parse_stamp;
using fpm::worker::queue_wait;
using namespace std::chrono_literals;

TEST_CASE("stamps in seconds, milliseconds and microseconds") {
  constexpr std::uint64_t kMoment = 1'795'337'604'123'000'000U;
  struct Row {
    const char* text;
    std::uint64_t ns;
  };
  for (const Row& row : {
           Row{"1795337604.123", kMoment},            // nginx's $msec
           Row{"t=1795337604.123", kMoment},          // with the prefix of X-Request-Start
           Row{"1795337604123", kMoment},             // milliseconds
           Row{"t=1795337604123000", kMoment},        // microseconds
           Row{"1795337604", kMoment - 123'000'000},  // whole seconds
           Row{"1795337604.", kMoment - 123'000'000},
       }) {
    CAPTURE(row.text);
    CHECK(parse_stamp(row.text) == row.ns);
  }
}

TEST_CASE("what is no stamp is none") {
  for (const char* text : {"", "t=", "soon", "-5", "1795337604.12x", "1795337604,5", "1 2",
                           "99999999999999999999", "179533760412300000"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_stamp(text).has_value());
  }
}

TEST_CASE("the wait is never guessed") {
  constexpr std::uint64_t kNow = 1'795'337'604'000'000'000U;
  const auto wait = [&](const char* name, const char* value) {
    fcgi::Params params;
    params.add(name, value);
    return queue_wait(params, kNow);
  };
  CHECK(wait("FPM_QUEUED_AT", "1795337603.750") == 250ms);
  CHECK(wait("HTTP_X_REQUEST_START", "t=1795337603000") == 1s);
  CHECK_FALSE(wait("FPM_QUEUED_AT", "1795337604.001").has_value());     // in the future
  CHECK_FALSE(wait("FPM_QUEUED_AT", "1795251203.000").has_value());     // more than a day back
  CHECK_FALSE(wait("HTTP_X_OTHER", "1795337603").has_value());
  CHECK_FALSE(queue_wait(fcgi::Params{}, kNow).has_value());
}

TEST_CASE("the front's own stamp counts before a header that a client can send") {
  fcgi::Params params;
  params.add("HTTP_X_REQUEST_START", "1795337600");
  params.add("FPM_QUEUED_AT", "1795337603");
  CHECK(queue_wait(params, 1'795'337'604'000'000'000U) == 1s);
}
