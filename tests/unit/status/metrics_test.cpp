#include "fpm/status/metrics.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <sstream>

using namespace fpm;
using scoreboard::PoolSnapshot;

namespace {

PoolSnapshot some_pool(std::string name) {
  PoolSnapshot pool;
  pool.name = std::move(name);
  pool.state = scoreboard::PoolState::serving;
  pool.accepted = 7;
  pool.listen_queue = 3;
  pool.max_children = 5;
  pool.stages[static_cast<std::size_t>(scoreboard::Stage::accepting)] = 2;
  scoreboard::Histogram durations{};
  durations.record(std::chrono::microseconds(900));
  durations.record(std::chrono::milliseconds(40));
  durations.record(std::chrono::seconds(200));
  pool.duration = scoreboard::copy(durations);
  scoreboard::WorkerSnapshot worker;
  worker.slot = 1;
  worker.pid = 4711;
  worker.stage = scoreboard::Stage::accepting;
  pool.workers.push_back(worker);
  return pool;
}

std::string rendered(const std::vector<PoolSnapshot>& pools, bool full = false) {
  std::string out;
  status::render_metrics(out, pools, full, "1.2.3");
  return out;
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("metrics: counters end in _total and the page in # EOF") {
  const std::string text = rendered({some_pool("www")});
  CHECK(has_line(text, "fpm_requests_total{pool=\"www\"} 7"));
  CHECK(has_line(text, "fpm_listen_queue{pool=\"www\"} 3"));
  CHECK(has_line(text, "fpm_workers{pool=\"www\",state=\"idle\"} 2"));
  CHECK(has_line(text, "fpm_build_info{version=\"1.2.3\"} 1"));
  CHECK(text.ends_with("\n# EOF\n"));
}

TEST_CASE("metrics: buckets of a histogram are cumulative, from 1 ms to 60 s") {
  const std::string text = rendered({some_pool("www")});
  const std::string name = "fpm_request_duration_seconds";
  CHECK(has_line(text, name + "_bucket{pool=\"www\",le=\"0.001\"} 1"));
  CHECK(has_line(text, name + "_bucket{pool=\"www\",le=\"0.02\"} 1"));
  CHECK(has_line(text, name + "_bucket{pool=\"www\",le=\"0.05\"} 2"));
  CHECK(has_line(text, name + "_bucket{pool=\"www\",le=\"60\"} 2"));
  CHECK(has_line(text, name + "_bucket{pool=\"www\",le=\"+Inf\"} 3"));
  CHECK(has_line(text, name + "_count{pool=\"www\"} 3"));
  CHECK(has_line(text, name + "_sum{pool=\"www\"} 200.0409"));
}

TEST_CASE("metrics: a queue that cannot be known is left out") {
  PoolSnapshot pool = some_pool("www");
  pool.listen_queue.reset();
  CHECK(rendered({pool}).find("fpm_listen_queue{") == std::string::npos);
}

TEST_CASE("metrics: workers are there with full only, by slot and never by pid") {
  CHECK(rendered({some_pool("www")}).find("worker=") == std::string::npos);
  const std::string text = rendered({some_pool("www")}, true);
  CHECK(has_line(text, "fpm_worker_requests_total{pool=\"www\",worker=\"1\"} 0"));
  CHECK(text.find("4711") == std::string::npos);
}

TEST_CASE("metrics: a door is there for the pools that have one") {
  std::vector<PoolSnapshot> pools{some_pool("a"), some_pool("b")};
  CHECK(rendered(pools).find("fpm_door") == std::string::npos);
  pools[1].door.emplace();
  pools[1].door->connections[2] = 4;
  pools[1].door->accepted = 5;
  pools[1].door->statuses[4] = 6;
  pools[1].door->queue_timeout = 7;
  pools[1].door->bytes_out = 8;
  const std::string text = rendered(pools);
  CHECK(text.find("fpm_door_connections{pool=\"a\"") == std::string::npos);
  CHECK(has_line(text, "fpm_door_connections{pool=\"b\",state=\"queued\"} 4"));
  CHECK(has_line(text, "fpm_door_connections{pool=\"b\",state=\"closing\"} 0"));
  CHECK(has_line(text, "fpm_door_accepted_total{pool=\"b\"} 5"));
  CHECK(has_line(text, "fpm_door_responses_total{pool=\"b\",class=\"5xx\"} 6"));
  CHECK(has_line(text, "fpm_door_rejected_total{pool=\"b\",reason=\"queue_timeout\"} 7"));
  CHECK(has_line(text, "# UNIT fpm_door_sent_bytes bytes"));
  CHECK(has_line(text, "fpm_door_sent_bytes_total{pool=\"b\"} 8"));
}

TEST_CASE("metrics: a name cannot break out of its label") {
  const std::string text = rendered({some_pool("a\"b\\c\nd\x01")});
  CHECK(has_line(text, "fpm_requests_total{pool=\"a\\\"b\\\\c\\nd\"} 7"));
}

TEST_CASE("metrics: no sample comes twice, and each family is in one piece") {
  std::vector<PoolSnapshot> pools{some_pool("a"), some_pool("b"), some_pool("c")};
  pools[0].door.emplace();
  pools[2].door.emplace();
  const std::string text = rendered(pools, true);
  std::set<std::string> samples, families;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) CHECK(families.insert(line).second);
    if (line.starts_with("#")) continue;
    CHECK(samples.insert(line.substr(0, line.rfind(' '))).second);
  }
  CHECK(families.size() == 34);
}
