#include "fpm/log/text.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace fpm::log;

TEST_CASE("printable escapes what could forge a line, close a quote or steer a terminal") {
  struct Row {
    std::string_view in, out;
  };
  const Row row = GENERATE(values<Row>({
      {"", ""},
      {"plain /a.php?b=c", "plain /a.php?b=c"},
      {"a\nb", "a\\x0Ab"},
      {"a\"b\\c", "a\\x22b\\x5Cc"},
      {"\x1b[31m", "\\x1B[31m"},
      {"\x7f", "\\x7F"},
      {std::string_view("\0", 1), "\\x00"},
      {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"\xc2\x9b", "\\xC2\\x9B"},           // U+009B, the 8-bit escape sequence introducer
      {"\xc0\xaf", "\\xC0\\xAF"},           // overlong
      {"\xed\xa0\x80", "\\xED\\xA0\\x80"},  // a surrogate
      {"\xf4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"},
      {"\xe2\x82", "\\xE2\\x82"},  // cut in the middle
  }));
  CHECK(printable(row.in) == row.out);
}

TEST_CASE("printable keeps its limit and says that it cut") {
  CHECK(printable("abcdef", 6) == "abcdef");
  CHECK(printable("abcdefg", 6) == "abc...");
  CHECK(printable("abc\n\n", 8) == "abc...");                    // no half escape
  CHECK(printable("ab\xe2\x82\xac\xe2\x82\xac", 7) == "ab...");  // no half character
  CHECK(printable("abc", 2) == "..");
  for (std::size_t limit = 0; limit < 40; ++limit) {
    CHECK(printable("a\nb\xe2\x82\xac\"\\xyz\xff some more text", limit).size() <= limit);
  }
}

TEST_CASE("the harmless prefix ends before the first byte to escape") {
  CHECK(harmless_prefix("abc") == 3);
  CHECK(harmless_prefix("ab\"c") == 2);
  CHECK(harmless_prefix("\xc3\xa4\xff") == 2);
  CHECK(harmless_prefix("") == 0);
}
