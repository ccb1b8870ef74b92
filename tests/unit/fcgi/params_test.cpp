#include "fcgi/params.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "fcgi/protocol.hpp"
#include "session.hpp"

using fcgi::Limits;
using fcgi::Params;
using fcgi::ParamsDecoder;
using Result = fcgi::ParamsDecoder::Result;

namespace {

std::string shown(const Params& params) {
  std::string text;
  for (const fcgi::Param param : params) {
    text.append(param.name).append("=").append(param.value).append(";");
  }
  return text;
}

/// Decodes `bytes` in pieces of `piece` bytes; the pieces are copied so that reading past one is
/// seen by a sanitizer.
Result decode(std::string_view bytes, std::size_t piece, Params& into, bool& complete,
              Limits limits = {}) {
  ParamsDecoder decoder(limits);
  Result result = Result::ok;
  while (!bytes.empty() && result == Result::ok) {
    const std::vector<char> part(
        bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece, bytes.size())));
    result = decoder.feed({part.data(), part.size()}, into);
    bytes.remove_prefix(part.size());
  }
  complete = decoder.complete();
  return result;
}

}  // namespace

TEST_CASE("the header and bodies survive encoding and decoding") {
  char bytes[fcgi::kHeaderSize];
  fcgi::RecordHeader header;
  header.type = static_cast<fcgi::RecordType>(200);
  header.id = 0xfedc;
  header.content_length = 0xabcd;
  header.padding_length = 255;
  fcgi::encode_header(header, bytes);
  CHECK(std::string_view(bytes, sizeof bytes) ==
        std::string_view("\x01\xc8\xfe\xdc\xab\xcd\xff\x00", 8));
  const fcgi::RecordHeader back = fcgi::decode_header(bytes);
  CHECK(back.version == 1);
  CHECK(static_cast<int>(back.type) == 200);
  CHECK(back.id == 0xfedc);
  CHECK(back.content_length == 0xabcd);
  CHECK(back.padding_length == 255);

  fcgi::encode_begin_body({0x0102, fcgi::kKeepConn}, bytes);
  CHECK(std::string_view(bytes, 8) == std::string_view("\x01\x02\x01\0\0\0\0\0", 8));
  CHECK(fcgi::decode_begin_body(bytes).role == 0x0102);
  CHECK(fcgi::decode_begin_body(bytes).flags == 1);

  fcgi::encode_end_body({0xdeadbeef, fcgi::ProtocolStatus::overloaded}, bytes);
  CHECK(std::string_view(bytes, 8) == std::string_view("\xde\xad\xbe\xef\x02\0\0\0", 8));
  CHECK(fcgi::decode_end_body(bytes).app_status == 0xdeadbeef);
  CHECK(fcgi::decode_end_body(bytes).protocol_status == fcgi::ProtocolStatus::overloaded);
}

TEST_CASE("only the three roles are roles") {
  CHECK_FALSE(fcgi::is_role(0));
  CHECK(fcgi::is_role(1));
  CHECK(fcgi::is_role(3));
  CHECK_FALSE(fcgi::is_role(4));
  CHECK_FALSE(fcgi::is_role(257));
}

TEST_CASE("params keep order and repeated names") {
  Params params;
  params.add("A", "1");
  params.add("B", "");
  params.add("A", "3");
  params.add("A", "");
  CHECK(shown(params) == "A=1;B=;A=3;A=;");
  CHECK(params.size() == 4);
  CHECK(params.bytes() == 6);
  CHECK(params.first("A").value() == "1");
  CHECK(params.last("A").value() == "");
  CHECK(params.last_non_empty("A") == "3");
  CHECK(params.first("B").value() == "");
  CHECK(params.last_non_empty("B").data() == nullptr);
  CHECK_FALSE(params.first("C").has_value());
  CHECK_FALSE(params.last("C").has_value());
  CHECK(params.last_non_empty("C").empty());
  params.clear();
  CHECK(params.empty());
  CHECK(params.bytes() == 0);
  CHECK_FALSE(params.first("A").has_value());
}

TEST_CASE("a look-up finds what a look at every pair finds") {
  // Few letters and lengths, so that names repeat and differ in one byte.
  std::mt19937 random(20'011);
  const auto word = [&random](std::size_t longest) {
    std::string text(random() % (longest + 1), ' ');
    for (char& byte : text) byte = static_cast<char>('A' + random() % 3);
    return text;
  };
  for (int round = 0; round < 50; ++round) {
    Params params;
    const std::string wire = [&] {
      std::string bytes;
      for (int i = 0; i < 40; ++i) fcgi::encode_param(word(4), word(1), bytes);
      return bytes;
    }();
    bool complete = false;
    REQUIRE(decode(wire, 1 + random() % 50, params, complete) == Result::ok);
    for (int i = 0; i < 40; ++i) params.add(word(4), word(1));
    for (int i = 0; i < 50; ++i) {
      const std::string name = word(5);
      std::optional<std::string_view> first, last;
      std::string_view last_non_empty;
      for (const fcgi::Param param : params) {
        if (param.name != name) continue;
        if (!first) first = param.value;
        last = param.value;
        if (!param.value.empty()) last_non_empty = param.value;
      }
      CHECK(params.first(name) == first);
      CHECK(params.last(name) == last);
      CHECK(params.last_non_empty(name) == last_non_empty);
    }
    params.clear();
    CHECK_FALSE(params.first(""));
    CHECK(params.last_non_empty("A").empty());
  }
}

TEST_CASE("params take any byte, empty names and empty values") {
  Params params;
  params.add(std::string_view("\0\n=", 3), std::string_view("a\0b", 3));
  params.add("", "nameless");
  params.add("", "");
  CHECK(params.first(std::string_view("\0\n=", 3)).value() == std::string_view("a\0b", 3));
  CHECK(params.first("").value() == "nameless");
  CHECK(params.last("").value() == "");
}

TEST_CASE("names and values above 127 bytes take the four-byte length") {
  for (const std::size_t length :
       std::vector<std::size_t>{0, 1, 127, 128, 255, 256, 65535, 65536}) {
    const std::string text(length, 'x');
    std::string wire;
    fcgi::encode_param(text, "v", wire);
    CHECK(wire.size() == fcgi::encoded_size(text, "v"));
    CHECK(wire.size() == length + 1 + (length > 127 ? 5 : 2));
    CHECK(((static_cast<unsigned char>(wire[0]) & 0x80) != 0) == (length > 127));
    Params params;
    bool complete = false;
    CHECK(decode(wire, 7, params, complete) == Result::ok);
    CHECK(complete);
    REQUIRE(params.size() == 1);
    CHECK(params[0].name == text);
    CHECK(params[0].value == "v");
  }
}

TEST_CASE("a short length in the four-byte form is taken") {
  Params params;
  bool complete = false;
  CHECK(decode(std::string_view("\x80\0\0\x01\x80\0\0\x02nvv", 11), 1, params, complete) ==
        Result::ok);
  CHECK(complete);
  CHECK(shown(params) == "n=vv;");
}

TEST_CASE("pairs split anywhere decode to the same params") {
  const std::string wire = session::pairs({{"", ""},
                                           {"REQUEST_METHOD", "GET"},
                                           {std::string(200, 'N'), std::string(300, 'v')},
                                           {"EMPTY", ""},
                                           {"", "nameless"},
                                           {"LONG", std::string(1000, 'l')}});
  Params whole;
  bool complete = false;
  REQUIRE(decode(wire, wire.size(), whole, complete) == Result::ok);
  REQUIRE(whole.size() == 6);
  for (std::size_t piece = 1; piece < 20; ++piece) {
    Params params;
    REQUIRE(decode(wire, piece, params, complete) == Result::ok);
    CHECK(complete);
    CHECK(shown(params) == shown(whole));
  }
}

TEST_CASE("a stream that ends inside a pair is not complete, at every cut") {
  const std::string wire = session::pairs({{std::string(130, 'n'), std::string(140, 'v')}});
  for (std::size_t cut = 1; cut < wire.size(); ++cut) {
    Params params;
    bool complete = true;
    REQUIRE(decode(std::string_view(wire).substr(0, cut), 3, params, complete) == Result::ok);
    REQUIRE_FALSE(complete);
    REQUIRE(params.empty());  // what is not complete is not shown
  }
}

TEST_CASE("the limit of bytes is exact") {
  const std::string wire = session::pairs({{"AB", "CDE"}, {"F", "GHIJ"}});
  for (const std::size_t piece : {std::size_t{1}, wire.size()}) {
    Params params;
    bool complete = false;
    CHECK(decode(wire, piece, params, complete, {10, 100}) == Result::ok);
    CHECK(params.bytes() == 10);
    Params small;
    CHECK(decode(wire, piece, small, complete, {9, 100}) == Result::too_many_bytes);
    CHECK(shown(small) == "AB=CDE;");
  }
}

TEST_CASE("the limit of pairs is exact, also for pairs without a byte") {
  const std::string wire = session::pairs({{"", ""}, {"", ""}, {"", ""}});
  Params params;
  bool complete = false;
  CHECK(decode(wire, 1, params, complete, {10, 3}) == Result::ok);
  Params few;
  CHECK(decode(wire, 1, few, complete, {10, 2}) == Result::too_many_pairs);
  CHECK(few.size() == 2);
}

TEST_CASE("lengths near 2^31 are refused before memory is taken") {
  for (const std::string_view wire :
       {std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8),
        std::string_view("\xff\xff\xff\xff\x01", 5), std::string_view("\x01\xff\xff\xff\xff", 5)}) {
    Params params;
    bool complete = false;
    CHECK(decode(wire, 1, params, complete) == Result::too_many_bytes);
    CHECK(params.empty());
  }
}

TEST_CASE("an announced length takes no memory by itself") {
  Params params;
  ParamsDecoder decoder({std::size_t{1} << 40, 10});
  CHECK(decoder.feed(std::string_view("\x01\xff\xff\xff\xffn", 6), params) == Result::ok);
  CHECK(params.bytes() == 1);  // 2 GiB are announced
  CHECK_FALSE(decoder.complete());
}
