// What a worker's signal handler tells of a request, and what the master makes of any packet.
#include "fpm/log/late_report.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace fpm::log;
using namespace std::chrono_literals;

namespace {

LateReport some_report() {
  return {.lateness = Lateness::overdue,
          .answer = LateReport::Answer::begun,
          .request = {.pid = 12,
                      .script = "/srv/a.php",
                      .method = "GET",
                      .uri = "/a.php",
                      .query = "x=1",
                      .taken = 2'003'000us},
          .request_id = "abc",
          .frames = "[0x0000000000000001] f() /a.so\n[0x0000000000000002] g() /a.so\n"};
}

std::vector<char> packet_of(const LateReport& report) {
  std::vector<char> packet(kLateReport);
  packet.resize(write_late_report(report, packet));
  return packet;
}

}  // namespace

TEST_CASE("a late report arrives as it was written") {
  const auto packet = packet_of(some_report());
  const auto report = read_late_report(packet);
  REQUIRE(report.has_value());
  CHECK(report->lateness == Lateness::overdue);
  CHECK(report->answer == LateReport::Answer::begun);
  CHECK(report->request.pid == 12);
  CHECK(report->request.script == "/srv/a.php");
  CHECK(report->request.method == "GET");
  CHECK(report->request.uri == "/a.php");
  CHECK(report->request.query == "x=1");
  CHECK(report->request.taken == 2'003'000us);
  CHECK(report->request_id == "abc");
  CHECK(report->frames == some_report().frames);
}

TEST_CASE("a late report with long texts is cut and fits its packet") {
  const std::string text(100'000, 'x');
  LateReport report = some_report();
  report.request.script = report.request.method = report.request.uri = report.request.query = text;
  report.request_id = report.frames = text;
  const auto packet = packet_of(report);
  CHECK(packet.size() <= kLateReport);
  const auto read = read_late_report(packet);
  REQUIRE(read.has_value());
  CHECK(read->request.uri.size() == 512);
  CHECK(read->frames.size() == 10 * 1024);
}

TEST_CASE("a late report that somebody made up is refused or bounded") {
  const auto packet = packet_of(some_report());
  for (std::size_t size = 0; size < packet.size(); ++size) {
    CHECK_FALSE(read_late_report({packet.data(), size}).has_value());
  }
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    auto wrong = packet;
    for (int j = 0; j < 4; ++j) wrong[4 + random() % (wrong.size() - 4)] = static_cast<char>(random());
    const auto report = read_late_report(wrong);
    if (!report) continue;
    CHECK(report->frames.size() <= wrong.size());
    CHECK(report->request.taken.count() >= 0);
    CHECK(static_cast<unsigned>(report->answer) <= 3);
  }
}
