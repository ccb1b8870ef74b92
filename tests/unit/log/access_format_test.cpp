#include "fpm/log/access_format.hpp"

#include <stdlib.h>
#include <time.h>

#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <string>

using namespace fpm::log;
using namespace std::chrono_literals;

namespace {

struct FakeLookup : AccessLookup {
  std::map<std::string, std::string, std::less<>> parameters, headers;

  static std::optional<std::string_view> find(const decltype(parameters)& in,
                                              std::string_view name) {
    const auto found = in.find(name);
    if (found == in.end()) return std::nullopt;
    return found->second;
  }
  std::optional<std::string_view> parameter(std::string_view name) const override {
    return find(parameters, name);
  }
  std::optional<std::string_view> response_header(std::string_view name) const override {
    return find(headers, name);
  }
};

struct ZoneUtc {
  ZoneUtc() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~ZoneUtc() {
    ::unsetenv("TZ");
    ::tzset();
  }
};

struct Example {
  ZoneUtc zone;
  FakeLookup lookup;
  AccessRecord record;

  Example() {
    lookup.parameters = {{"HTTP_HOST", "example.org"}, {"EMPTY", ""}, {"REQUEST_ID", "id-1"}};
    lookup.headers = {{"Content-Type", "text/html"}};
    record.pool = "www";
    record.remote = "127.0.0.1";
    record.method = "GET";
    record.uri = "/a.php/x";
    record.query = "s=2";
    record.script = "/srv/www/a.php";
    record.user = "joe";
    record.end = "ok";
    record.status = 404;
    record.content_length = 17;
    record.response_bytes = 345;
    record.pid = 123;
    record.master_pid = 45;
    record.accepted = std::chrono::system_clock::from_time_t(1795324218) + 5us;
    record.logged = std::chrono::system_clock::from_time_t(1795324220);
    record.duration = 2000261us;
    record.cpu_user = 500000us;
    record.cpu_system = 250000us;
    record.memory = 2 * 1024 * 1024 + 1024;
    record.lookup = &lookup;
  }

  std::string line(std::string_view format, std::size_t size = 1024) const {
    const auto compiled = compile_access_format(format);
    REQUIRE(compiled.error.empty());
    std::string buffer(size, '#');
    const auto done = compiled.format.render(record, buffer);
    REQUIRE(done.size <= size);
    return buffer.substr(0, done.size);
  }
};

}  // namespace

TEST_CASE("every token of access.format gives what php-fpm's gives") {
  struct Row {
    std::string_view format, line;
  };
  const Row row = GENERATE(values<Row>({
      {"plain text", "plain text"},
      {"100%%", "100%"},
      {"%C", "37.50"},
      {"%{total}C", "37.50"},
      {"%{user}C", "25.00"},
      {"%{System}C", "12.50"},
      {"%d", "2.000"},
      {"%{seconds}d", "2.000"},
      {"%{milli}d", "2000.261"},
      {"%{milliseconds}d", "2000.261"},
      {"%{mili}d", "2000.261"},
      {"%{miliseconds}d", "2000.261"},
      {"%{micro}d", "2000261"},
      {"%{MicroSeconds}d", "2000261"},
      {"%{HTTP_HOST}e", "example.org"},
      {"[%{EMPTY}e]", "[]"},
      {"%{NONE}e", "-"},
      {"%f", "/srv/www/a.php"},
      {"%l", "17"},
      {"%m", "GET"},
      {"%M", "2098176"},
      {"%{bytes}M", "2098176"},
      {"%{kilo}M", "2049"},
      {"%{kilobytes}M", "2049"},
      {"%{mega}M", "2"},
      {"%{megabytes}M", "2"},
      {"%n", "www"},
      {"%{Content-Type}o", "text/html"},
      {"%{content-type}o", "-"},
      {"%p", "123"},
      {"%P", "45"},
      {"%q", "s=2"},
      {"%r%Q%q", "/a.php/x?s=2"},
      {"%r", "/a.php/x"},
      {"%R", "127.0.0.1"},
      {"%s", "404"},
      {"%t", "22/Nov/2026:05:10:18 +0000"},
      {"%T", "22/Nov/2026:05:10:20 +0000"},
      {"%{%Y-%m-%d %H:%M:%S}t", "2026-11-22 05:10:18"},
      {"%{%s}T", "1795324220"},
      {"%u", "joe"},
      {"%{user}{system}C", "12.50"},
      {"%{x}{}C", "37.50"},
      {"a%", "a"},
      {"%R - %u %t \"%m %r\" %s",
       "127.0.0.1 - joe 22/Nov/2026:05:10:18 +0000 \"GET /a.php/x\" 404"},
      {"'%m %r%Q%q' %s", "'GET /a.php/x?s=2' 404"},
  }));
  INFO(row.format);
  CHECK(Example().line(row.format) == std::string(row.line) + "\n");
}

TEST_CASE("php-fpm's example line, of a UNIX socket without a user") {
  Example example;
  example.record.remote = {};
  example.record.user = {};
  example.record.status = 200;
  example.record.uri = "/a.php";
  example.record.memory = 2048 * 1024;
  example.record.cpu_user = example.record.cpu_system = {};
  CHECK(example.line("%R - %u %t \"%m %r%Q%q\" %s %f %{milli}d %{kilo}M %C%%") ==
        "- -  22/Nov/2026:05:10:18 +0000 \"GET /a.php?s=2\" 200 /srv/www/a.php 2000.261 2048 "
        "0.00%\n");
}

TEST_CASE("what is missing is a dash or nothing, as with php-fpm") {
  Example example;
  example.record = {};
  CHECK(example.line("%R|%m|%r|%q|%Q|%f|%u|%n|%{X}e|%{X}o|%C") == "-|-||||-||-|-|-|0.00\n");
  CHECK(example.line("%u").empty());  // an empty line is not logged
}

TEST_CASE("a value cannot forge a line, close a quote or steer a terminal") {
  Example example;
  example.record.uri = "/a\" 200\n127.0.0.1 - \"GET /forged\x1b[2J\\x0A\xff";
  CHECK(example.line("\"%r\" %s") ==
        "\"/a\\x22 200\\x0A127.0.0.1 - \\x22GET /forged\\x1B[2J\\x5Cx0A\\xFF\" 404\n");
  example.lookup.parameters["HTTP_HOST"] = "a\r\nb";
  example.lookup.headers["X"] = "\t";
  example.record.query = example.record.user = example.record.script = example.record.method = "\n";
  CHECK(example.line("%{HTTP_HOST}e%{X}o%q%u%f%m") == "a\\x0D\\x0Ab\\x09\\x0A\\x0A\\x0A\\x0A\n");
}

TEST_CASE("a line never exceeds the buffer and always ends in one newline") {
  Example example;
  example.record.uri = "/\n\n\n\"\xc3\xa4";
  const auto compiled = compile_access_format("%R %r %{milli}d %t %s text %C");
  const std::string whole = example.line("%R %r %{milli}d %t %s text %C");
  for (std::size_t size = 1; size < whole.size() + 5; ++size) {
    std::string buffer(size + 8, '#');
    const auto done = compiled.format.render(example.record, std::span(buffer.data(), size));
    INFO(size);
    CHECK(buffer.substr(size) == "########");
    CHECK(done.truncated == (size < whole.size()));
    REQUIRE(done.size <= size);
    if (done.size == 0) continue;
    CHECK(buffer[done.size - 1] == '\n');
    CHECK(whole.substr(0, done.size - 1) == buffer.substr(0, done.size - 1));
    const auto half = buffer.substr(0, done.size - 1).rfind("\\x");
    if (half != std::string::npos) CHECK(half + 4 <= done.size - 1);
  }
}

TEST_CASE("a wrong access.format is told in php-fpm's words") {
  struct Row {
    std::string_view format, error;
  };
  const Row row = GENERATE(values<Row>({
      {"%z", "Invalid token in the access.format (%z)"},
      {"ok %s %", ""},
      {"%{x}z", "Invalid token in the access.format (%z)"},
      {"%{x}C", "only 'total', 'user' or 'system' are allowed as a modifier for %C ('x')"},
      {"%{x}d",
       "only 'seconds', 'milli', 'milliseconds', 'micro' or 'microseconds' are allowed as a "
       "modifier for %d ('x')"},
      {"%{x}M",
       "only 'bytes', 'kilo', 'kilobytes', 'mega' or 'megabytes' are allowed as a modifier for %M "
       "('x')"},
      {"%e", "the name of the environment variable must be set between embraces for %e"},
      {"%{}e", "the name of the environment variable must be set between embraces for %e"},
      {"%o", "the name of the header must be set between embraces for %o"},
      {"%{x}s", "embrace is not allowed for modifier %s"},
      {"%{x}%", "embrace is not allowed for modifier %%"},
      {"%{x}q", "embrace is not allowed for modifier %q"},
      {"%{x", "missing closing embrace in the access.format"},
      {"%{x}", "missing closing embrace in the access.format"},
      {"%{", "missing closing embrace in the access.format"},
      {"", ""},
      {"json", ""},
      {"%R - %u %t \"%m %r\" %s", ""},
  }));
  INFO(row.format);
  CHECK(check_access_format(row.format) == row.error);
}

TEST_CASE("CPU time is asked for by the formats that show it") {
  CHECK(compile_access_format("%s %{user}C").format.needs_cpu());
  CHECK(compile_access_format("json").format.needs_cpu());
  CHECK_FALSE(compile_access_format("%s %d %%C").format.needs_cpu());
}

TEST_CASE("access.format = json gives one object a line") {
  Example example;
  CHECK(example.line("json") ==
        R"({"time":"2026-11-22T05:10:18.000005+00:00","pool":"www","pid":123,"request_id":"id-1",)"
        R"("remote":"127.0.0.1","method":"GET","uri":"/a.php/x","query":"s=2","status":404,)"
        R"("bytes":345,"duration":2.000261,"queue_wait":null,"cpu":37.50,"memory":2098176,)"
        R"("script":"/srv/www/a.php","user":"joe","end":"ok"})"
        "\n");
  example.lookup.parameters = {{"HTTP_X_REQUEST_ID", "other"}};
  example.record.queue_wait = 1500us;
  example.record.user = {};
  example.record.uri = "/\"\\\n\x7f\xc3\xa4\xff";
  const std::string line = example.line("json");
  CHECK(line.find(R"("request_id":"other")") != std::string::npos);
  CHECK(line.find(R"("queue_wait":0.001500)") != std::string::npos);
  CHECK(line.find(R"("user":null)") != std::string::npos);
  CHECK(line.find("\"uri\":\"/\\\"\\\\\\n\\u007f\xc3\xa4\\ufffd\"") != std::string::npos);
}

TEST_CASE("a json line that is too long stays an object, with shorter strings") {
  Example example;
  const std::string long_text = std::string(3000, 'x') + "\xc3\xa4";
  example.record.query = long_text;
  const auto compiled = compile_access_format("json");
  std::string buffer(1024, '#');
  const auto done = compiled.format.render(example.record, buffer);
  CHECK(done.truncated);
  const std::string line = buffer.substr(0, done.size);
  CHECK(line.substr(line.size() - 12) == "\"end\":\"ok\"}\n");
  CHECK(line.find("\"query\":\"" + std::string(255, 'x')) != std::string::npos);
}

TEST_CASE("the zone of a time is the machine's") {
  Example example;
  ::setenv("TZ", "<-0330>3:30", 1);
  ::tzset();
  CHECK(example.line("%t") == "22/Nov/2026:01:40:18 -0330\n");
  CHECK(example.line("json").find("2026-11-22T01:40:18.000005-03:30") != std::string::npos);
}
