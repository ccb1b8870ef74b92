#include "fpm/config/values.hpp"

#include <catch2/catch.hpp>

#include "fpm/config/address.hpp"

using namespace fpm::config;
using std::chrono::milliseconds;

TEST_CASE("booleans are php-fpm's words in any case") {
  for (const char* text : {"on", "yes", "TRUE", "1"}) {
    bool out = false;
    CHECK(parse_flag(text, out).empty());
    CHECK(out);
  }
  for (const char* text : {"off", "no", "False", "none", "0"}) {
    bool out = true;
    CHECK(parse_flag(text, out).empty());
    CHECK_FALSE(out);
  }
  bool out = true;
  CHECK(parse_flag("2", out) == "yes or no");
  CHECK(parse_flag("", out) == "yes or no");
  CHECK(out);
}

TEST_CASE("numbers that do not fit are refused, not wrapped") {
  int out = 7;
  CHECK(parse_number("99999999999", 1, INT_MAX, out) == "a whole number from 1 to 2147483647");
  CHECK(parse_number("2147483648", 1, INT_MAX, out) == "a whole number from 1 to 2147483647");
  CHECK(parse_number("0", 1, INT_MAX, out) == "a whole number, 1 or more");
  CHECK(parse_number("-2", -1, INT_MAX, out) == "a whole number, -1 or more");
  for (const char* text : {"", "many", "1.5", "1 ", "+1", "0x10", "1e3", "--1"}) {
    CHECK(parse_number(text, 1, INT_MAX, out) == "a whole number, 1 or more");
  }
  CHECK(parse_number("20", 1, 19, out) == "a whole number from 1 to 19");
  CHECK(out == 7);
  CHECK(parse_number("2147483647", 1, INT_MAX, out).empty());
  CHECK(out == 2147483647);
  CHECK(parse_number("-1", -1, INT_MAX, out).empty());
  CHECK(out == -1);
}

TEST_CASE("times have units, and print so that they are read back") {
  const std::pair<const char*, milliseconds> rows[] = {
      {"0", milliseconds(0)},           {"5", milliseconds(5000)},
      {"5s", milliseconds(5000)},       {"250ms", milliseconds(250)},
      {"2m", milliseconds(120'000)},    {"3h", milliseconds(10'800'000)},
      {"1d", milliseconds(86'400'000)}, {"3650d", kMaxTime},
  };
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    milliseconds out{-1};
    CHECK(parse_time(text, out).empty());
    CHECK(out == expected);
    milliseconds again{-1};
    CHECK(parse_time(print_time(out), again).empty());
    CHECK(again == expected);
  }
  milliseconds out{-1};
  for (const char* text : {"", "s", "-1", "1.5s", "1w", "1 s", "1S", "3651d",
                           "18446744073709551615", "18446744073709551616", "213503982335d"}) {
    CAPTURE(text);
    CHECK(parse_time(text, out) == "a whole number with s, m, h, d or ms behind it, at most 3650d");
  }
  CHECK(out == milliseconds(-1));
  CHECK(print_time(milliseconds(30'000)) == "30s");
  CHECK(print_time(milliseconds(1500)) == "1500ms");
}

TEST_CASE("sizes are bytes with K, M and G") {
  const std::pair<const char*, std::uint64_t> rows[] = {
      {"0", 0},       {"1023", 1023},          {"2K", 2048},
      {"16m", 16777216}, {"3G", 3221225472ULL}, {"9223372036854775807", 9223372036854775807ULL}};
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    std::uint64_t out = 1;
    CHECK(parse_size(text, out).empty());
    CHECK(out == expected);
    std::uint64_t again = 1;
    CHECK(parse_size(print_size(out), again).empty());
    CHECK(again == expected);
  }
  std::uint64_t out = 1;
  for (const char* text : {"", "K", "-1", "1KB", "1 K", "1T", "9223372036854775808",
                           "8589934592G"}) {
    CAPTURE(text);
    CHECK(parse_size(text, out) == "a whole number of bytes, K, M or G may follow");
  }
  CHECK(out == 1);
}

TEST_CASE("modes are octal and at most 0777") {
  std::string out;
  for (const char* text : {"0660", "660", "0", "0777", "777"}) {
    CHECK(parse_mode(text, out).empty());
    CHECK(out == text);
  }
  for (const char* text : {"0999", "1777", "7777", "00660", "rw", "", "-1", "0x1"}) {
    CAPTURE(text);
    CHECK(parse_mode(text, out) == "octal digits from 0 to 0777, as in 0660");
  }
}

TEST_CASE("relative paths are below the prefix") {
  CHECK(absolute_path("a/b", "/etc/fpm") == "/etc/fpm/a/b");
  CHECK(absolute_path("a", "/") == "/a");
  CHECK(absolute_path("/a", "/etc/fpm") == "/a");
  CHECK(absolute_path("", "/etc/fpm").empty());
}

TEST_CASE("listen takes php-fpm's forms") {
  struct Row { const char* text; const char* path; const char* host; int port; };
  const Row rows[] = {
      {"/run/www.sock", "/run/www.sock", "", 0}, {"www.sock", "www.sock", "", 0},
      {"/run/a:9000", "/run/a:9000", "", 0},     {"9000", "", "", 9000},
      {"127.0.0.1:9000", "", "127.0.0.1", 9000}, {"[::1]:65535", "", "::1", 65535},
      {"localhost:1", "", "localhost", 1},       {"a-b.example:80", "", "a-b.example", 80},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    Address out;
    CHECK(parse_address(row.text, out).empty());
    CHECK(out.text == row.text);
    CHECK(out.path == row.path);
    CHECK(out.host == row.host);
    CHECK(out.port == row.port);
  }
}

TEST_CASE("addresses that would meet are found in any spelling") {
  struct Row { const char* a; const char* b; bool meet; };
  const Row rows[] = {
      {"/run/a.sock", "/run/a.sock", true},      {"/run/a.sock", "/run//x/../a.sock", true},
      {"/run/a.sock", "/run/b.sock", false},     {"/run/9000", "9000", false},
      {"9000", "9000", true},                    {"9000", "9001", false},
      {"9000", "127.0.0.1:9000", true},          {"9000", "[::1]:9000", true},
      {"127.0.0.1:9000", "127.0.0.2:9000", false}, {"[::1]:9000", "[0:0::1]:9000", true},
      {"[::]:9000", "10.0.0.1:9000", true},      {"0.0.0.0:9000", "10.0.0.1:9000", true},
      {"0.0.0.0:9000", "[::1]:9000", false},     {"localhost:9000", "127.0.0.1:9000", true},
      {"[::ffff:127.0.0.1]:9000", "127.0.0.1:9000", true},
      {"a.example:9000", "A.example:9000", true}, {"a.example:9000", "b.example:9000", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.a, row.b);
    Address a;
    Address b;
    REQUIRE(parse_address(row.a, a).empty());
    REQUIRE(parse_address(row.b, b).empty());
    CHECK(overlap(a, b) == row.meet);
    CHECK(overlap(b, a) == row.meet);
  }
}

TEST_CASE("an address is local when only this machine reaches it") {
  for (const char* text : {"/run/a.sock", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1",
                           "[::ffff:127.0.0.1]:1"}) {
    CAPTURE(text);
    Address address;
    REQUIRE(parse_address(text, address).empty());
    CHECK(is_local(address));
  }
  for (const char* text : {"9000", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "a.example:1"}) {
    CAPTURE(text);
    Address address;
    REQUIRE(parse_address(text, address).empty());
    CHECK_FALSE(is_local(address));
  }
}

TEST_CASE("clients are addresses and networks") {
  for (const char* text : {"192.0.2.1", "192.0.2.0/24", "10.0.0.0/0", "::1", "2001:db8::/32",
                           "::/0", "::1/128"}) {
    CAPTURE(text);
    CHECK(check_client(text).empty());
  }
  for (const char* text : {"", "xxx", "192.0.2", "192.0.2.1/33", "192.0.2.1/", "::1/129",
                           "192.0.2.1/-1", "localhost", "192.0.2.1/24/8"}) {
    CAPTURE(text);
    CHECK_FALSE(check_client(text).empty());
  }
}
