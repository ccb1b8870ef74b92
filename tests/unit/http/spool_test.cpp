// Bytes in memory, then in a file.
#include "fpm/http/spool.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

/// Takes up to `most` bytes from the front.
std::string take(Spool& spool, std::size_t most) {
  std::string out;
  if (const auto bytes = spool.in_memory(); !bytes.empty()) {
    out = bytes.substr(0, most);
  } else {
    out.resize(std::min<std::uint64_t>(most, spool.file_size()));
    const ssize_t got = ::pread(spool.file(), out.data(), out.size(),
                                static_cast<off_t>(spool.file_offset()));
    REQUIRE(got == static_cast<ssize_t>(out.size()));
  }
  spool.take(out.size());
  return out;
}

}  // namespace

TEST_CASE("what goes in comes out in its order, whatever the pieces and the limit") {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{10}, std::size_t{1000}}) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
      Spool spool(limit);
      std::string in;
      std::string out;
      for (int i = 0; i < 200; ++i) {
        const std::string text = std::to_string(i) + ",";
        in += text;
        REQUIRE(spool.append(text).has_value());
        if (i % 3 == 0 && !spool.empty()) out += take(spool, piece);
        REQUIRE(spool.size() == in.size() - out.size());
      }
      while (!spool.empty()) out += take(spool, piece);
      CHECK(out == in);
    }
  }
}

TEST_CASE("a file is opened only when memory is full, and is emptied when all was taken") {
  Spool spool(10);
  REQUIRE(spool.append("12345").has_value());
  CHECK(!spool.has_file());
  CHECK(!spool.needs_file(5));
  CHECK(spool.needs_file(6));
  REQUIRE(spool.append("1234567").has_value());
  CHECK(spool.has_file());
  CHECK(!spool.needs_file(100));
  CHECK(take(spool, 100) == "12345");
  CHECK(take(spool, 100) == "1234567");
  CHECK(spool.empty());
  CHECK(::lseek(spool.file(), 0, SEEK_END) == 0);
  REQUIRE(spool.append("abc").has_value());
  CHECK(spool.in_memory() == "abc");
  spool.clear();
  CHECK(!spool.has_file());
  CHECK(spool.empty());
}
