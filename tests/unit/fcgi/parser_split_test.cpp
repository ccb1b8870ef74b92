// The parser under every cut of its input, over sessions as web servers send them and over random
// ones; and what it allocates.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <new>
#include <random>
#include <sstream>

#include "fcgi/parser.hpp"
#include "session.hpp"

using fcgi::RequestParser;
using session::begin;
using session::get;
using session::pairs;
using session::record;
using session::RecordType;
using session::trace;
using Lines = std::vector<std::string>;

namespace {

/// Sessions in the manner of each web server, by the table of their habits: one PARAMS record
/// padded to 8 (nginx), 16 KB records (Apache), odd ids with GET_VALUES first (HAProxy), ...
std::vector<std::string> corpus() {
  const std::string params = pairs({{"SCRIPT_FILENAME", "/srv/www/index.cgi"},
                                    {"QUERY_STRING", ""},
                                    {"CONTENT_LENGTH", ""},
                                    {"HTTP_COOKIE", std::string(400, 'c')}});
  const auto padded = [](std::size_t length) { return (8 - length % 8) % 8; };
  std::vector<std::string> sessions;
  // nginx: POST, first STDIN record of 3941 bytes padded by 3
  sessions.push_back(begin(1) + record(RecordType::params, 1, params, padded(params.size())) +
                     record(RecordType::params, 1) +
                     record(RecordType::stdin_stream, 1, std::string(3941, 'n'), 3) +
                     record(RecordType::stdin_stream, 1, std::string(8192, 'n')) +
                     record(RecordType::stdin_stream, 1));
  // HAProxy: asks first, keeps, aborts
  sessions.push_back(
      record(RecordType::get_values, 0, pairs({{"FCGI_MAX_REQS", ""}, {"FCGI_MPXS_CONNS", ""}})) +
      begin(1, 1, 1) + record(RecordType::params, 1, params) + record(RecordType::params, 1) +
      begin(3, 1, 1) + record(RecordType::stdin_stream, 1, "body") +
      record(RecordType::params, 3, params) + record(RecordType::abort_request, 1) +
      record(RecordType::stdin_stream, 1));
  // mod_authnz_fcgi: no STDIN at all
  sessions.push_back(begin(1, 2) + record(RecordType::params, 1, params) +
                     record(RecordType::params, 1));
  // libfcgi's own client: pairs split over records anywhere
  std::string split = begin(1);
  for (const char byte : params) split += record(RecordType::params, 1, {&byte, 1});
  sessions.push_back(split + record(RecordType::params, 1) + record(RecordType::stdin_stream, 1));
  // a filter
  sessions.push_back(begin(2, 3) + record(RecordType::params, 2, params) +
                     record(RecordType::params, 2) + record(RecordType::stdin_stream, 2, "in") +
                     record(RecordType::stdin_stream, 2) +
                     record(RecordType::data_stream, 2, std::string(500, 'd'), 255) +
                     record(RecordType::data_stream, 2));
  return sessions;
}

/// Where the recorded sessions lie: what nginx 1.22 and others sent, byte for byte.
std::string recorded(const std::string& name) {
  std::ifstream file(std::string(FCGI_TEST_CORPUS) + "/" + name, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

class RandomSession {
 public:
  explicit RandomSession(unsigned seed) : random_(seed) {}

  std::string make() {
    std::string bytes;
    for (int records = between(1, 30); records > 0; --records) bytes += any_record();
    if (between(0, 9) == 0) bytes[static_cast<std::size_t>(between(0, 7))] ^= 0x40;
    return bytes;
  }

  int between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

 private:
  std::string any_record() {
    const auto id = static_cast<std::uint16_t>(between(0, 9) == 0 ? between(0, 3) : 1);
    const auto padding = static_cast<std::size_t>(between(0, 3) == 0 ? between(0, 255) : 0);
    switch (between(0, 9)) {
      case 0:
      case 1:
        return begin(id, between(0, 4), between(0, 1), padding);
      case 2:
      case 3:
        return record(RecordType::params, id, pairs({{"N", std::string(length(), 'v')}}), padding);
      case 4:
        return record(RecordType::params, id, "", padding);
      case 5:
      case 6:
        return record(RecordType::stdin_stream, id, std::string(length(), 's'), padding);
      case 7:
        return record(RecordType::get_values, 0, pairs({{"FCGI_MAX_REQS", ""}}), padding);
      case 8:
        return record(RecordType::data_stream, id, std::string(length(), 'd'), padding);
      default:
        return record(between(0, 13), id, std::string(length(), '\x02'), padding);
    }
  }

  std::size_t length() {
    return static_cast<std::size_t>(between(0, 4) == 0 ? between(0, 2000) : between(0, 20));
  }

  std::mt19937 random_;
};

/// Feeds `input` in the pieces whose sizes `piece` gives; calls request_done() at the end of every
/// body, so that connections with several requests come up.
template <class Piece>
Lines serve(RequestParser& parser, std::string_view input, Piece piece) {
  Lines lines;
  while (!input.empty()) {
    // A copy of exact size: a sanitizer sees every byte read beyond it.
    const std::size_t size = std::min(piece(), input.size());
    const std::vector<char> part(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(size));
    input.remove_prefix(size);
    std::string_view rest(part.data(), part.size());
    for (;;) {
      const fcgi::Event event = parser.next(rest);
      session::add_event(lines, parser, event);
      if (event.kind == fcgi::Event::Kind::bad) return lines;
      if (event.kind == fcgi::Event::Kind::stdin_end) parser.request_done();
      if (event.kind == fcgi::Event::Kind::need_more) break;
    }
  }
  return lines;
}

void check_all_cuts(const std::string& input) {
  RequestParser whole;
  const Lines lines = serve(whole, input, [&] { return input.size(); });
  for (std::size_t piece = 1; piece <= 17; ++piece) {
    RequestParser parser;
    REQUIRE(serve(parser, input, [&] { return piece; }) == lines);
  }
  const std::size_t step = input.size() / 500 + 1;
  for (std::size_t cut = 1; cut < input.size(); cut += step) {
    RequestParser parser;
    std::size_t next = cut;
    REQUIRE(serve(parser, input, [&] { return std::exchange(next, input.size()); }) == lines);
  }
}

std::size_t allocations = 0;

}  // namespace

// Counts what the whole test program allocates; only differences are looked at.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("sessions of every web server give the same events at every cut") {
  for (const std::string& input : corpus()) check_all_cuts(input);
}

TEST_CASE("recorded sessions of nginx are read as a user would expect, at every cut") {
  RequestParser parser;
  const std::string input = recorded("nginx-get.bin");
  REQUIRE_FALSE(input.empty());
  const Lines lines = trace(parser, input);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] == "begin 1 role 1");
  CHECK(parser.params().last("QUERY_STRING").value() == "a=b");
  CHECK(parser.params().first("TWICE").value() == "tester");
  CHECK(parser.params().last("TWICE").value() == "last");
  CHECK(lines[2] == "stdin-end");
  check_all_cuts(input);

  RequestParser second;
  const std::string post = recorded("nginx-post-keep.bin");
  REQUIRE_FALSE(post.empty());
  const Lines posted = trace(second, post);
  REQUIRE(posted.size() == 4);
  CHECK(posted[0] == "begin 1 role 1 keep");
  CHECK(second.params().last("CONTENT_LENGTH").value() == "20000");
  CHECK(posted[2] == "stdin " + std::string(20000, 'p'));
  check_all_cuts(post);
}

TEST_CASE("random sessions give the same events in random pieces as in one") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  RandomSession random(seed);
  for (int round = 0; round < 500; ++round) {
    const std::string input = random.make();
    RequestParser whole;
    RequestParser bytewise;
    RequestParser pieces;
    const Lines lines = serve(whole, input, [&] { return input.size(); });
    REQUIRE(serve(bytewise, input, [] { return std::size_t{1}; }) == lines);
    REQUIRE(serve(pieces, input,
                  [&] { return static_cast<std::size_t>(random.between(1, 300)); }) == lines);
  }
}

TEST_CASE("random bytes never give anything but events") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string input = get(1, 1);
    for (int i = 0; i < 20; ++i) input += static_cast<char>(random() & 0xff);
    input[random() % input.size()] = static_cast<char>(random() & 0xff);
    RequestParser whole;
    RequestParser bytewise;
    const Lines lines = serve(whole, input, [&] { return input.size(); });
    REQUIRE(serve(bytewise, input, [] { return std::size_t{1}; }) == lines);
  }
}

TEST_CASE("nothing is allocated after the first request") {
  const std::string input = corpus()[0] + record(RecordType::get_values, 0, pairs({{"A", ""}}));
  RequestParser parser;
  const auto serve_once = [&] {
    std::string_view rest = input;
    while (parser.next(rest).kind != fcgi::Event::Kind::need_more) {
    }
    parser.request_done();
  };
  serve_once();
  const std::size_t before = allocations;
  for (int i = 0; i < 100; ++i) serve_once();
  CHECK(allocations == before);
}
