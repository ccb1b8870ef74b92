// Bodies in chunks.
#include "fpm/http/chunks.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace fpm::http;
using Step = ChunkReader::Step;

namespace {

struct Outcome {
  std::string body;
  Step last = Step::need_more;
  std::string rest;
};

Outcome read(const std::string& text, std::size_t piece) {
  Outcome outcome;
  ChunkReader reader;
  std::string_view left = text;
  while (!left.empty()) {
    std::string_view input = left.substr(0, piece);
    left.remove_prefix(input.size());
    while (true) {
      std::string_view data;
      outcome.last = reader.next(input, data);
      if (outcome.last != Step::data) break;
      outcome.body.append(data);
    }
    if (outcome.last == Step::end || outcome.last == Step::bad) {
      outcome.rest = std::string(input) + std::string(left);
      break;
    }
  }
  return outcome;
}

}  // namespace

TEST_CASE("chunks are joined, in whatever pieces they come") {
  const std::string text =
      "5\r\nhello\r\n00000A;a=b;c=\"d\"\r\n0123456789\r\n0\r\nX-Trailer: a\r\nB:\r\n\r\nGET";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, text.size()}) {
    const Outcome outcome = read(text, piece);
    CHECK(outcome.body == "hello0123456789");
    CHECK(outcome.last == Step::end);
    CHECK(outcome.rest == "GET");
  }
}

TEST_CASE("chunks that are none are refused") {
  const auto [what, text] = GENERATE(table<const char*, std::string>({
      {"no size", "\r\n"},
      {"a sign", "+5\r\nhello\r\n"},
      {"a minus", "-1\r\n"},
      {"0x", "0x5\r\nhello\r\n"},
      {"a blank in front", " 5\r\nhello\r\n"},
      {"a blank behind", "5 \r\nhello\r\n"},
      {"no number", "g\r\n"},
      {"beyond all numbers", "fffffffffffffffff\r\n"},
      {"a bare LF after the size", "5\nhello\r\n"},
      {"a bare CR after the size", "5\rhello\r\n"},
      {"a bare LF after the data", "5\r\nhello\n0\r\n\r\n"},
      {"data that is longer", "5\r\nhello!\r\n"},
      {"data that is shorter", "6\r\nhello\r\n0\r\n\r\n"},
      {"NUL in an extension", std::string("5;a\0\r\n", 6)},
      {"an extension without an end", "5;" + std::string(2000, 'a')},
      {"a trailer without a colon", "0\r\nabc\r\n\r\n"},
      {"a trailer without a name", "0\r\n: a\r\n\r\n"},
      {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"},
      {"a bare LF in the trailer", "0\r\nA: b\n\r\n"},
      {"trailers without an end", "0\r\nA: " + std::string(9000, 'a')},
      {"a bare LF at the end", "0\r\n\n"},
  }));
  for (const std::size_t piece : {std::size_t{1}, text.size()}) {
    INFO(what << ", " << piece);
    CHECK(read(text, piece).last == Step::bad);
  }
}
