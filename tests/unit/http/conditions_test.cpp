// Ranges, conditions and dates.
#include "fpm/http/conditions.hpp"

#include <catch2/catch.hpp>

#include "fpm/http/dates.hpp"

using namespace fpm::http;

namespace {

constexpr std::int64_t kTime = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr FileFacts kFile{.size = 1000, .modified = kTime, .nanoseconds = 0};

Selection ask(std::vector<Field> fields, std::string_view method = "GET") {
  Head head;
  head.method = method;
  head.fields = std::move(fields);
  return select(head, kFile, entity_tag(kFile));
}

}  // namespace

TEST_CASE("dates are read in three forms and written in one") {
  CHECK(http_date(kTime) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == kTime);
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == kTime);
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == kTime);
  CHECK(parse_http_date("Wed Nov 16 08:49:37 1994") == kTime + 10 * 86400);
  for (const char* text : {"", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Foo 1994 08:49:37 GMT",
                           "Sun, 40 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 28:49:37 GMT"}) {
    CHECK(!parse_http_date(text));
  }
}

TEST_CASE("a range is taken, ignored or refused") {
  const auto range = [](std::string_view text, std::uint64_t size = 1000) -> std::string {
    const auto found = parse_range(text, size);
    if (!found) return "ignored";
    if (found->first > found->last) return "none";
    return std::to_string(found->first) + "-" + std::to_string(found->last);
  };
  CHECK(range("bytes=0-0") == "0-0");
  CHECK(range("bytes=10-19") == "10-19");
  CHECK(range("bytes=990-2000") == "990-999");
  CHECK(range("bytes=10-") == "10-999");
  CHECK(range("bytes=-10") == "990-999");
  CHECK(range("bytes=-5000") == "0-999");
  CHECK(range("Bytes=1-2") == "1-2");
  CHECK(range("bytes=0-99999999999999999999999") == "0-999");
  CHECK(range("bytes=1000-") == "none");
  CHECK(range("bytes=99999999999999999999999-") == "none");
  CHECK(range("bytes=-0") == "none");
  CHECK(range("bytes=0-0", 0) == "none");
  for (const char* text : {"bytes=1-2,4-5", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "lines=1-2",
                           "bytes 1-2", "bytes=1-2x", "bytes= 1-2", "bytes=--1"}) {
    INFO(text);
    CHECK(range(text) == "ignored");
  }
}

TEST_CASE("conditions are judged in the order of the RFC") {
  const std::string tag = entity_tag(kFile);
  const std::string weak = "W/" + tag;
  const std::string list = "\"a\", " + weak + ", \"b\"";
  CHECK(ask({}).status == 200);
  CHECK(ask({{"If-None-Match", tag}}).status == 304);
  CHECK(ask({{"If-None-Match", weak}}).status == 304);
  CHECK(ask({{"If-None-Match", list}}).status == 304);
  CHECK(ask({{"If-None-Match", "*"}}).status == 304);
  CHECK(ask({{"If-None-Match", "\"a\""}}).status == 200);
  CHECK(ask({{"If-None-Match", "a"}}).status == 200);
  CHECK(ask({{"If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"}}).status == 304);
  CHECK(ask({{"If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"}}).status == 200);
  CHECK(ask({{"If-Modified-Since", "nonsense"}}).status == 200);
  // The tag counts, not the time.
  CHECK(ask({{"If-None-Match", "\"a\""}, {"If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"}})
            .status == 200);
  CHECK(ask({{"If-Match", tag}}).status == 200);
  CHECK(ask({{"If-Match", weak}}).status == 412);
  CHECK(ask({{"If-Match", "\"a\""}}).status == 412);
  CHECK(ask({{"If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"}}).status == 412);
  CHECK(ask({{"Range", "bytes=1-2"}}).status == 206);
  CHECK(ask({{"Range", "bytes=1-2"}}, "HEAD").status == 200);
  CHECK(ask({{"Range", "bytes=5000-"}}).status == 416);
  CHECK(ask({{"Range", "bytes=1-2"}, {"If-Range", tag}}).status == 206);
  CHECK(ask({{"Range", "bytes=1-2"}, {"If-Range", weak}}).status == 200);
  CHECK(ask({{"Range", "bytes=1-2"}, {"If-Range", "Sun, 06 Nov 1994 08:49:37 GMT"}}).status == 206);
  CHECK(ask({{"Range", "bytes=1-2"}, {"If-Range", "Sun, 06 Nov 1994 08:49:38 GMT"}}).status == 200);
  CHECK(ask({{"Range", "bytes=1-2"}, {"If-None-Match", tag}}).status == 304);
}

TEST_CASE("several fields of tags are one list") {
  const std::string tag = entity_tag(kFile);
  CHECK(ask({{"If-None-Match", "\"x\""}, {"If-None-Match", tag}}).status == 304);
  CHECK(ask({{"If-Match", "\"x\""}, {"if-match", tag}}).status == 200);
  CHECK(ask({{"If-Match", "\"x\""}, {"if-match", "\"y\""}}).status == 412);
  CHECK(ask({{"If-Match", ""}}).status == 200);
}

TEST_CASE("another file has another tag") {
  CHECK(entity_tag(kFile) == entity_tag(kFile));
  CHECK(entity_tag(kFile) != entity_tag({1001, kTime, 0}));
  CHECK(entity_tag(kFile) != entity_tag({1000, kTime + 1, 0}));
  CHECK(entity_tag(kFile) != entity_tag({1000, kTime, 1}));
}
