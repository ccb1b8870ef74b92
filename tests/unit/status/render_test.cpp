#include "fpm/status/render.hpp"

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <limits>
#include <new>

#include "fpm/status/escape.hpp"
#include "php_fpm_pages.hpp"

using namespace fpm;
using namespace std::chrono_literals;
using scoreboard::PoolSnapshot;
using scoreboard::Stage;
using scoreboard::WorkerSnapshot;
using status::Format;

namespace {

std::size_t allocations = 0;

struct ZoneUtc {
  ZoneUtc() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~ZoneUtc() {
    ::unsetenv("TZ");
    ::tzset();
  }
} zone;

constexpr Format kFormats[] = {Format::text, Format::json, Format::html, Format::xml,
                               Format::openmetrics};
constexpr std::time_t kStart = 1795336788;

/// The pool of php_fpm_pages.hpp.
PoolSnapshot example(std::uint64_t accepted, const WorkerSnapshot& first,
                     const WorkerSnapshot& second) {
  PoolSnapshot pool;
  pool.name = "www";
  pool.process_manager = "dynamic";
  pool.started = pool.now = std::chrono::system_clock::from_time_t(kStart);
  pool.accepted = accepted;
  pool.listen_queue = 0;
  pool.idle = 1;
  pool.active = 1;
  pool.max_active = 1;
  pool.workers = {first, second};
  return pool;
}

WorkerSnapshot worker(pid_t pid, Stage stage, std::uint64_t requests, int micros,
                      std::string query) {
  WorkerSnapshot one;
  one.pid = pid;
  one.stage = stage;
  one.started = std::chrono::system_clock::from_time_t(kStart);
  one.requests = requests;
  one.request_duration = std::chrono::microseconds(micros);
  one.method = "GET";
  one.uri = "/status";
  one.query = std::move(query);
  one.last_memory = stage == Stage::accepting ? 2097152 : 0;
  return one;
}

std::string page(const PoolSnapshot& pool, Format format, bool full) {
  std::string out;
  status::render(out, pool, format, full);
  return out;
}

/// Everything that a broken worker could leave behind.
PoolSnapshot hostile() {
  PoolSnapshot pool;
  pool.name = "p<\"&'>\n";
  pool.process_manager = "static";
  pool.started = std::chrono::system_clock::time_point::max();
  pool.now = std::chrono::system_clock::time_point::min();
  pool.accepted = std::numeric_limits<std::uint64_t>::max();
  pool.idle = pool.active = std::numeric_limits<unsigned>::max();
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  for (const double cpu : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity(), -1.0, 1e300}) {
    WorkerSnapshot one;
    one.pid = -1;
    one.stage = static_cast<Stage>(200);
    one.started = std::chrono::system_clock::time_point::min();
    one.request_duration = std::chrono::microseconds::min();
    one.last_cpu_percent = cpu;
    one.method = one.uri = one.query = one.user = one.script = every_byte;
    pool.workers.push_back(one);
  }
  return pool;
}

std::string json_escaped(std::string_view value) {
  std::string out;
  status::append_json(out, value);
  return out;
}
std::string markup_escaped(std::string_view value) {
  std::string out;
  status::append_markup(out, value);
  return out;
}

}  // namespace

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 inlines one of the pair and not the other, and then takes them for a mismatch.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("the full pages are php-fpm's to the byte") {
  const Stage running = Stage::executing;
  const Stage idle = Stage::accepting;
  CHECK(page(example(7, worker(16282, running, 4, 53, "full"),
                     worker(16283, idle, 3, 55, "openmetrics")),
             Format::text, true) == php_fpm::kText);
  CHECK(page(example(8, worker(16282, idle, 4, 61, "full"),
                     worker(16283, running, 4, 50, "json&full")),
             Format::json, true) == php_fpm::kJson);
  CHECK(page(example(9, worker(16282, running, 5, 43, "html&full"),
                     worker(16283, idle, 4, 61, "json&full")),
             Format::html, true) == php_fpm::kHtml);
  CHECK(page(example(10, worker(16282, idle, 5, 51, "html&full"),
                     worker(16283, running, 5, 121, "xml&full")),
             Format::xml, true) == php_fpm::kXml);
  const auto pool = example(6, {}, {});
  CHECK(page(pool, Format::openmetrics, false) == php_fpm::kOpenMetrics);
  CHECK(page(pool, Format::openmetrics, true) == php_fpm::kOpenMetrics);
}

TEST_CASE("the short pages are the full ones without the processes") {
  const auto without = [](std::string_view page, std::string_view from, std::string_view to) {
    const std::size_t begin = page.find(from);
    const std::size_t end = page.rfind(to);
    REQUIRE(begin != page.npos);
    REQUIRE(end != page.npos);
    return std::string(page.substr(0, begin)) + std::string(page.substr(end));
  };
  CHECK(page(example(7, {}, {}), Format::text, false) ==
        php_fpm::kText.substr(0, php_fpm::kText.find("\n****")));
  CHECK(page(example(8, {}, {}), Format::json, false) ==
        without(php_fpm::kJson, ", \"processes\"", "}"));
  CHECK(page(example(9, {}, {}), Format::html, false) ==
        without(php_fpm::kHtml, "<table border", "</body>"));
  CHECK(page(example(10, {}, {}), Format::xml, false) ==
        without(php_fpm::kXml, "<processes>", "</status>"));
}

TEST_CASE("every number stands in its own field") {
  PoolSnapshot pool;
  pool.name = "www";
  pool.process_manager = "ondemand";
  pool.started = std::chrono::system_clock::from_time_t(1000);
  pool.now = pool.started + 12s;
  pool.accepted = 1;
  pool.listen_queue = 2;
  pool.max_listen_queue = 3;
  pool.listen_queue_limit = 4;
  pool.idle = 5;
  pool.active = 6;
  pool.max_active = 7;
  pool.max_children_reached = 8;
  pool.slow_requests = 9;
  WorkerSnapshot one;
  one.pid = 10;
  one.stage = Stage::info;
  one.started = pool.started + 2s;
  one.requests = 11;
  one.request_duration = 12us;
  one.method = "POST";
  one.uri = "/u";
  one.content_length = 13;
  one.user = "joe";
  one.script = "/s.php";
  one.last_cpu_percent = 14.256;
  one.last_memory = 15;
  pool.workers = {one};
  CHECK(page(pool, Format::json, true) ==
        R"({"pool":"www","process manager":"ondemand","start time":1000,"start since":12,)"
        R"("accepted conn":1,"listen queue":2,"max listen queue":3,"listen queue len":4,)"
        R"("idle processes":5,"active processes":6,"total processes":11,)"
        R"("max active processes":7,"max children reached":8,"slow requests":9, )"
        R"("processes":[{"pid":10,"state":"Getting request information","start time":1002,)"
        R"("start since":10,"requests":11,"request duration":12,"request method":"POST",)"
        R"("request uri":"\/u","content length":13,"user":"joe","script":"\/s.php",)"
        R"("last request cpu":14.26,"last request memory":15}]})");
  const std::string metrics = page(pool, Format::openmetrics, false);
  for (const char* sample : {"\nphpfpm_start_since 12\n", "\nphpfpm_accepted_connections 1\n",
                             "\nphpfpm_listen_queue 2\n", "\nphpfpm_max_listen_queue 3\n",
                             "\nphpfpm_listen_queue_length 4\n", "\nphpfpm_idle_processes 5\n",
                             "\nphpfpm_active_processes 6\n", "\nphpfpm_total_processes 11\n",
                             "\nphpfpm_max_active_processes 7\n",
                             "\nphpfpm_max_children_reached 8\n", "\nphpfpm_slow_requests 9\n"}) {
    CHECK(metrics.find(sample) != metrics.npos);
  }
  pool.workers[0].method = pool.workers[0].uri = {};
  pool.workers[0].query = "q";
  CHECK(page(pool, Format::json, true).find(R"("request method":"-","request uri":"-?q")") !=
        std::string::npos);
}

TEST_CASE("a door's numbers come after all others, with extended alone") {
  PoolSnapshot pool = example(0, {}, {});
  const std::string without = page(pool, Format::json, false);
  pool.door.emplace();
  pool.door->connections = {1, 2, 3, 4, 5, 6, 7};
  std::uint64_t number = 8;
  for (auto* counter : {&pool.door->accepted, &pool.door->requests, &pool.door->passed,
                        &pool.door->aborted, &pool.door->queue_full, &pool.door->queue_timeout,
                        &pool.door->retried, &pool.door->refused, &pool.door->bytes_in,
                        &pool.door->bytes_out}) {
    *counter = number++;
  }
  CHECK(page(pool, Format::json, false) == without);
  std::string json;
  status::render(json, pool, Format::json, false, true);
  CHECK(json.ends_with(
      R"("state":"starting","door reading":1,"door body":2,"door queued":3,"door waiting":4,)"
      R"("door writing":5,"door keepalive":6,"door closing":7,"door accepted conn":8,)"
      R"("door requests":9,"door passed":10,"door aborted":11,"door queue full":12,)"
      R"("door queue timeout":13,"door retried":14,"door refused":15,"door bytes in":16,)"
      R"("door bytes out":17})"));
  std::string text;
  status::render(text, pool, Format::text, false, true);
  CHECK(text.find("\ndoor queue timeout:   13\n") != text.npos);
  std::string metrics;
  status::render(metrics, pool, Format::openmetrics, false, true);
  CHECK(metrics.find("\nphpfpm_door_bytes_out 17\n") != metrics.npos);
  pool.door.reset();
  status::render(json, pool, Format::json, false, true);
  CHECK(json.ends_with("\"state\":\"starting\"}"));
}

TEST_CASE("a pool without workers has well-formed pages") {
  PoolSnapshot pool = example(0, {}, {});
  pool.workers.clear();
  const std::string json = page(pool, Format::json, true);
  CHECK(json.substr(json.size() - 17) == ", \"processes\":[]}");
  CHECK(page(pool, Format::text, true) == page(pool, Format::text, false));
  CHECK(page(pool, Format::xml, true).find("<processes>\n</processes>\n</status>") !=
        std::string::npos);
}

TEST_CASE("an unknown listen queue is not 0") {
  PoolSnapshot pool = example(0, {}, {});
  pool.listen_queue.reset();
  CHECK(page(pool, Format::text, false).find("\nlisten queue:         -\n") != std::string::npos);
  CHECK(page(pool, Format::json, false).find("\"listen queue\":null,") != std::string::npos);
  CHECK(page(pool, Format::xml, false).find("<listen-queue>-</listen-queue>") != std::string::npos);
  CHECK(page(pool, Format::openmetrics, false).find("\nphpfpm_listen_queue NaN\n") !=
        std::string::npos);
}

TEST_CASE("strings are escaped the way of the format") {
  struct Row {
    std::string_view in, json, markup;
  };
  // The first rows are what php-fpm 8.2.36 makes of the same bytes.
  const Row row = GENERATE(values<Row>({
      {"/a\"<b>/x&y'\\z", "\\/a\\\"<b>\\/x&y'\\\\z", "/a&quot;&lt;b&gt;/x&amp;y'\\z"},
      {"\xc3\xa4\xf0\x9f\x98\x80", "\\u00e4\\ud83d\\ude00", "\xc3\xa4\xf0\x9f\x98\x80"},
      {"a\x01\t", "a\\u0001\\t", "a\xef\xbf\xbd\t"},
      {"\b\f\n\r", "\\b\\f\\n\\r", "\xef\xbf\xbd\xef\xbf\xbd\n\r"},
      {"\x7f", "\x7f", "\x7f"},
      {"a\xff"
       "b",
       "ab", "ab"},
      {"\xc3", "", ""},
      {"\xe2\x82(", "(", "("},
      {"\xc0\xaf\xe0\x80\xaf", "", ""},          // overlong
      {"\xed\xa0\x80\xf4\x90\x80\x80", "", ""},  // a surrogate, beyond U+10FFFF
      {"\xef\xbf\xbf", "\\uffff", "\xef\xbf\xbd"},
      {std::string_view("\0", 1), "\\u0000", "\xef\xbf\xbd"},
  }));
  CHECK(json_escaped(row.in) == row.json);
  CHECK(markup_escaped(row.in) == row.markup);
}

TEST_CASE("a hostile pool cannot break a page") {
  const PoolSnapshot pool = hostile();
  const std::string json = page(pool, Format::json, true);
  for (const char c : json) CHECK((c >= 0x20 && c <= 0x7f));
  CHECK(json.find("nan") == json.npos);
  CHECK(json.find("inf") == json.npos);
  CHECK(json.size() < 20000);
  // Outside of strings nothing but members, numbers, true brackets.
  bool in_string = false;
  int depth = 0;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (in_string && json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      CHECK(std::string_view("{}[]:,.-0123456789null ").find(json[i]) != std::string_view::npos);
      if (json[i] == '{' || json[i] == '[') ++depth;
      if (json[i] == '}' || json[i] == ']') --depth;
    }
  }
  CHECK_FALSE(in_string);
  CHECK(depth == 0);

  const std::string text = page(pool, Format::text, true);
  // 14 rows of the pool; a blank line, asterisks and 13 rows of each of 4 workers.
  CHECK(std::count(text.begin(), text.end(), '\n') == 14 + 4 * 15);
  for (const Format format : {Format::html, Format::xml}) {
    const std::string markup = page(pool, format, true);
    for (const char c : markup)
      CHECK((static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t' || c == '\r'));
  }
}

TEST_CASE("the query chooses the format as in php-fpm") {
  struct Row {
    std::string_view query;
    Format format;
    bool full;
  };
  const Row row = GENERATE(values<Row>({
      {"", Format::text, false},
      {"full", Format::text, true},
      {"json", Format::json, false},
      {"json&full", Format::json, true},
      {"full=1&xml=2&json", Format::xml, true},
      {"json&html", Format::html, false},
      {"openmetrics&json", Format::json, false},
      {"openmetrics", Format::openmetrics, false},
      {"JSON", Format::text, false},
      {"a=json", Format::text, false},
      {"jsonp&fullx", Format::text, false},
      {"json[]=1", Format::json, false},
      {"&&json=&", Format::json, false},
      {"=json", Format::text, false},
  }));
  INFO(row.query);
  CHECK(status::choose_format(row.query) == row.format);
  CHECK(status::wants_full(row.query) == row.full);
}

TEST_CASE("content types are php-fpm's") {
  CHECK(status::content_type(Format::text) == "text/plain;charset=UTF-8");
  CHECK(status::content_type(Format::html) == "text/html;charset=UTF-8");
  CHECK(status::content_type(Format::xml) == "text/xml;charset=UTF-8");
  CHECK(status::content_type(Format::json) == "application/json");
  CHECK(status::content_type(Format::openmetrics) ==
        "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

TEST_CASE("a page is appended, and a warm string costs no allocation") {
  const PoolSnapshot pool = hostile();
  for (const Format format : kFormats) {
    std::string out = "head";
    status::render(out, pool, format, true);
    CHECK(out.substr(0, 4) == "head");
    out.clear();
    const std::size_t before = allocations;
    status::render(out, pool, format, true);
    const std::size_t after = allocations;
    CHECK(after == before);
  }
}
