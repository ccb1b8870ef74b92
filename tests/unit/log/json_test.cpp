#include "fpm/log/json.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <string>

#include "log_rig.hpp"

using namespace fpm;

namespace {

std::string json_string(std::string_view text) {
  std::string out;
  log::append_json_string(out, text);
  return out;
}

const std::string kNow = R"("time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d")";

struct JsonLog {
  TempFolder folder;
  LogEnds ends;
  std::filesystem::path path = folder.path / "log";

  explicit JsonLog(log::Level level = log::Level::notice) {
    REQUIRE(log::open({.path = path, .level = level, .format = log::LineFormat::json}).has_value());
  }
  std::vector<std::string> lines() const { return lines_of(read_file(path)); }
};

}  // namespace

TEST_CASE("any bytes become a JSON string") {
  CHECK(json_string("") == R"("")");
  CHECK(json_string("a \"b\" \\c") == R"("a \"b\" \\c")");
  CHECK(json_string("\n\r\t\b\f") == R"("\n\r\t\b\f")");
  CHECK(json_string(std::string_view("\0\x1b\x7f", 3)) == R"("\u0000\u001b\u007f")");
  CHECK(json_string("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80") ==
        "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
  CHECK(json_string("\xc3|\x80|\xff") == R"("\ufffd|\ufffd|\ufffd")");
}

TEST_CASE("a cut never halves a character") {
  const std::string text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";  // 1, 2, 3, 4 and 1 bytes
  const std::vector<std::size_t> ends{0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (std::size_t limit = 0; limit < ends.size(); ++limit) {
    CAPTURE(limit);
    CHECK(log::whole_characters(text, limit) == ends[limit]);
  }
  CHECK(log::whole_characters("\x80\x80\x80\x80\x80", 2) == 2);  // no UTF-8: any place is as good
}

TEST_CASE("a message is one object a line") {
  JsonLog out;
  log::notice("fpm is \"running\", pid {}", 42);
  log::in_pool(log::Level::error, "www", "two\nlines");
  log::write_about(log::Level::warning, {.pool = "www", .request_id = "r-1", .pid = 7}, "x");
  const auto lines = out.lines();
  REQUIRE(lines.size() == 3);
  const std::string pid = std::to_string(::getpid());
  CHECK(matches(lines[0], R"(\{)" + kNow + R"(,"level":"notice","pid":)" + pid +
                              R"(,"message":"fpm is \\"running\\", pid 42"\})"));
  CHECK(matches(lines[1], R"(\{)" + kNow + R"(,"level":"error","pool":"www","pid":)" + pid +
                              R"(,"message":"two\\nlines"\})"));
  CHECK(matches(lines[2], R"(\{)" + kNow + R"(,"level":"warning","pool":"www","pid":7,)" +
                              R"("request_id":"r-1","message":"x"\})"));
}

TEST_CASE("at debug level the object says who wrote it") {
  JsonLog out(log::Level::debug);
  log::write(log::Level::debug, {}, "x", "some_function", 12);
  CHECK(matches(out.lines().at(0),
                R"(\{.*"pid":\d+,"function":"some_function","line":12,"message":"x"\})"));
}

TEST_CASE("what a worker printed stands in fields, whole") {
  JsonLog out;
  REQUIRE_FALSE(log::output_decorated(true));
  const log::Output from{.about = {.pool = "www", .request_id = "r-1", .pid = 7},
                         .stream = "stderr"};
  log::write_output(from, R"({"already":"json"})");
  const std::string text(100'000, 'x');
  log::write_output(from, text);
  const auto lines = out.lines();
  REQUIRE(lines.size() == 2);
  CHECK(matches(lines[0], R"(\{)" + kNow + R"(,"level":"warning","pool":"www","pid":7,)" +
                              R"("request_id":"r-1","stream":"stderr",)" +
                              R"("output":"\{\\"already\\":\\"json\\"\}"\})"));
  CHECK(lines[1].find("\"output\":\"" + text + "\"}") != std::string::npos);
}

TEST_CASE("undecorated output is the application's own line, whole") {
  JsonLog out;
  CHECK(log::output_room("www", false).bytes == 1024 * 1024);
  CHECK(log::output_room("www", false).whole_characters);
  const std::string text = R"({"app":")" + std::string(50'000, 'x') + "\"}";
  log::write_output({.about = {.pool = "www"}, .stream = "stdout", .decorated = false}, text);
  CHECK(read_file(out.path) == text + "\n");
}

TEST_CASE("a line longer than the room goes on in another, between characters") {
  JsonLog out;
  const log::OutputRoom room = log::output_room("www");
  CHECK(room.bytes == 1024 * 1024);
  std::string text = "x";
  while (text.size() < 2 * room.bytes) text += "\xe2\x82\xac";
  std::string again;
  log::OutputLines lines(7, "stdout", false);
  const auto emit = [&](std::string_view part, log::OutputPart) {
    again += part;
    log::write_output({.about = {.pool = "www"}, .stream = "stdout"}, part);
  };
  for (std::size_t at = 0; at < text.size(); at += 4096) {
    lines.feed(std::string_view(text).substr(at, 4096), room, emit);
  }
  lines.close(room, emit);
  CHECK(again == text);
  const auto written = out.lines();
  CHECK(written.size() == 3);
  for (const auto& line : written) CHECK(line.find("\\ufffd") == std::string::npos);
}

TEST_CASE("a long line survives a reader that is slow") {
  LogEnds ends;
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  {
    StderrTo redirected(pipe->write.get());
    REQUIRE(log::open({.format = log::LineFormat::json}).has_value());
  }
  const std::string text(500'000, 'y');
  log::write_output({.about = {.pool = "www"}, .stream = "stdout"}, text);
  log::notice("after");
  CHECK_FALSE(log::flush());
  std::string got;
  while (!log::flush()) got += read_available(pipe->read.get());
  got += read_available(pipe->read.get());
  const auto lines = lines_of(got);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("\"output\":\"" + text + "\"}") != std::string::npos);
  CHECK(lines[1].find("\"message\":\"after\"") != std::string::npos);
}
