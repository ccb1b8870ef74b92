#include "fpm/handlers/cgi/error_lines.hpp"

#include <catch2/catch.hpp>
#include <vector>

using fpm::handlers::cgi::ErrorLines;

namespace {
struct Collected {
  std::vector<std::string> lines;
  ErrorLines cutter{[this](std::string_view line) { lines.emplace_back(line); }};
};
}  // namespace

TEST_CASE("standard error is cut into lines, however it arrives") {
  const std::string text = "one\r\ntwo\n\nthree";
  Collected at_once, by_byte;
  at_once.cutter.feed(text);
  at_once.cutter.end();
  for (const char& byte : text) by_byte.cutter.feed({&byte, 1});
  by_byte.cutter.end();
  CHECK(at_once.lines == std::vector<std::string>{"one", "two", "three"});
  CHECK(by_byte.lines == at_once.lines);
}

TEST_CASE("a long line goes on in the next and loses nothing") {
  const std::string exact(ErrorLines::kLineLimit, 'a');
  Collected collected;
  collected.cutter.feed(exact + "\n" + exact + "b\n");
  collected.cutter.end();
  CHECK(collected.lines == std::vector<std::string>{exact, exact, "b"});
}

TEST_CASE("the lines of one request are bounded and the rest is counted") {
  Collected collected;
  for (std::size_t line = 0; line < ErrorLines::kLines + 7; ++line) collected.cutter.feed("x\n");
  collected.cutter.end();
  REQUIRE(collected.lines.size() == ErrorLines::kLines + 1);
  CHECK(collected.lines.back() == "7 more lines were not logged");
}
