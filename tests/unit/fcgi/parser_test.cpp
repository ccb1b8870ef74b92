#include "fcgi/parser.hpp"

#include <catch2/catch.hpp>

#include "session.hpp"

using fcgi::Event;
using fcgi::Limits;
using fcgi::RequestParser;
using session::begin;
using session::get;
using session::pairs;
using session::record;
using session::RecordType;
using session::trace;
using Lines = std::vector<std::string>;

namespace {

/// begin and the complete parameters of a request.
std::string opening(std::uint16_t id, int role = 1) {
  return begin(id, role) + record(RecordType::params, id, pairs({{"A", "1"}})) +
         record(RecordType::params, id);
}

/// The trace of a fresh parser, made in one piece and byte by byte, which must be the same.
Lines fresh(std::string_view input, Limits limits = {}) {
  RequestParser whole(limits);
  RequestParser bytewise(limits);
  const Lines lines = trace(whole, input);
  CHECK(trace(bytewise, input, 1) == lines);
  return lines;
}

}  // namespace

TEST_CASE("a request without a body") {
  CHECK(fresh(get(1)) ==
        Lines{"begin 1 role 1", "params REQUEST_METHOD=GET QUERY_STRING=", "stdin-end"});
}

TEST_CASE("ids up to 65535 and the flag of kept connections are told") {
  for (const int id : {1, 3, 255, 256, 65535}) {
    const Lines lines = fresh(get(static_cast<std::uint16_t>(id), fcgi::kKeepConn));
    CHECK(lines[0] == "begin " + std::to_string(id) + " role 1 keep");
    CHECK(lines.size() == 3);
  }
}

TEST_CASE("body bytes are views into the input") {
  const std::string input = opening(1) + record(RecordType::stdin_stream, 1, "hello");
  RequestParser parser;
  std::string_view rest = input;
  Event event;
  while ((event = parser.next(rest)).kind != Event::Kind::stdin_bytes) REQUIRE(!rest.empty());
  CHECK(event.bytes == "hello");
  CHECK(event.bytes.data() == input.data() + input.size() - 5);
  CHECK(parser.next(rest).kind == Event::Kind::need_more);
  CHECK_FALSE(parser.input_ended());
}

TEST_CASE("the body ends by the empty STDIN whatever CONTENT_LENGTH says") {
  for (const char* length : {"", "0", "2", "5", "500000", "-1", "many"}) {
    const Lines lines =
        fresh(begin(1) + record(RecordType::params, 1, pairs({{"CONTENT_LENGTH", length}})) +
              record(RecordType::params, 1) + record(RecordType::stdin_stream, 1, "hel") +
              record(RecordType::stdin_stream, 1, "lo") + record(RecordType::stdin_stream, 1));
    CHECK(lines == Lines{"begin 1 role 1", std::string("params CONTENT_LENGTH=") + length,
                         "stdin hello", "stdin-end"});
  }
}

TEST_CASE("every padding from 0 to 255 is skipped on every record") {
  for (std::size_t padding = 0; padding <= 255; ++padding) {
    const std::string input =
        begin(7, 3, 0, padding) + record(RecordType::get_values, 0, "", padding) +
        record(RecordType::params, 7, pairs({{"A", "1"}}), padding) +
        record(RecordType::params, 7, "", padding) + record(99, 7, "odd", padding) +
        record(RecordType::stdin_stream, 7, "in", padding) +
        record(RecordType::stdin_stream, 7, "", padding) + record(77, 0, "?", padding) +
        record(RecordType::data_stream, 7, "da", padding) +
        record(RecordType::abort_request, 7, "", padding) +
        record(RecordType::data_stream, 7, "", padding);
    RequestParser parser;
    REQUIRE(trace(parser, input) == Lines{"begin 7 role 3", "get-values", "params A=1", "stdin in",
                                          "stdin-end", "unknown-type 77", "data da", "abort 7",
                                          "data-end"});
    REQUIRE(parser.input_ended());
  }
}

TEST_CASE("a record of 65535 bytes with 255 bytes of padding") {
  const std::string body(65535, 'b');
  const Lines lines = fresh(opening(1) + record(RecordType::stdin_stream, 1, body, 255) +
                            record(RecordType::stdin_stream, 1));
  REQUIRE(lines.size() == 4);
  CHECK(lines[2] == "stdin " + body);
}

TEST_CASE("parameters split over records inside a four-byte length") {
  const std::string value(300, 'v');
  const std::string wire = pairs({{"NAME", value}, {"B", "2"}});
  for (std::size_t cut = 1; cut < wire.size(); ++cut) {
    RequestParser parser;
    const Lines lines =
        trace(parser, begin(1) + record(RecordType::params, 1, wire.substr(0, cut), cut % 256) +
                          record(RecordType::params, 1, wire.substr(cut)) +
                          record(RecordType::params, 1));
    REQUIRE(lines == Lines{"begin 1 role 1", "params NAME=" + value + " B=2"});
  }
}

TEST_CASE("ten thousand parameters and a value of 64 KiB") {
  std::string wire;
  for (int i = 0; i < 10000; ++i) fcgi::encode_param("N" + std::to_string(i), "v", wire);
  fcgi::encode_param("BIG", std::string(65536, 'x'), wire);
  std::string input = begin(1);
  for (std::size_t at = 0; at < wire.size(); at += 60000) {
    input += record(RecordType::params, 1, std::string_view(wire).substr(at, 60000));
  }
  RequestParser parser;
  trace(parser, input + record(RecordType::params, 1));
  REQUIRE(parser.params().size() == 10001);
  CHECK(parser.params().first("N9999").value() == "v");
  CHECK(parser.params().first("BIG").value() == std::string(65536, 'x'));
}

TEST_CASE("repeated, nameless and empty parameters are kept as sent") {
  const Lines lines = fresh(
      begin(1) +
      record(RecordType::params, 1, pairs({{"X", "tester"}, {"X", ""}, {"", "n"}, {"X", "last"}})) +
      record(RecordType::params, 1));
  CHECK(lines == Lines{"begin 1 role 1", "params X=tester X= =n X=last"});
}

TEST_CASE("a request without any parameter is complete at the empty PARAMS") {
  CHECK(fresh(begin(1) + record(RecordType::params, 1)) == Lines{"begin 1 role 1", "params"});
}

TEST_CASE("too large or too many parameters, or a cut pair, are bad") {
  const std::string wire = pairs({{"AB", "CDE"}, {"F", "GHIJ"}});
  const std::string input =
      begin(1) + record(RecordType::params, 1, wire) + record(RecordType::params, 1);
  CHECK(fresh(input, {10, 2}).back() == "params AB=CDE F=GHIJ");
  CHECK(fresh(input, {9, 2}).back() == "bad: parameters too large");
  CHECK(fresh(input, {10, 1}).back() == "bad: too many parameters");
  const std::string cut =
      begin(1) + record(RecordType::params, 1, wire.substr(0, 3)) + record(RecordType::params, 1);
  CHECK(fresh(cut).back() == "bad: parameters end inside a pair");
}

TEST_CASE("parameters can be read at any moment, those that are complete") {
  const std::string input =
      begin(1) + record(RecordType::params, 1, pairs({{"A", "1"}, {"BB", "22"}}));
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    RequestParser parser;
    trace(parser, input.substr(0, cut));
    std::string seen;
    for (const fcgi::Param param : parser.params()) seen += param.name;
    REQUIRE(seen == (cut < 28 ? "" : cut < input.size() ? "A" : "ABB"));
  }
}

TEST_CASE("the limits hold over all PARAMS records together and start anew with each request") {
  const std::string wire = pairs({{"A", "1234567"}});
  const std::string one =
      begin(1) + record(RecordType::params, 1, wire) + record(RecordType::params, 1);
  RequestParser parser({10, 10});
  for (int i = 0; i < 3; ++i) {
    CHECK(trace(parser, one) == Lines{"begin 1 role 1", "params A=1234567"});
    parser.request_done();
  }
  CHECK(fresh(begin(1) + record(RecordType::params, 1, wire) + record(RecordType::params, 1, wire),
              {10, 10})
            .back() == "bad: parameters too large");
}

TEST_CASE("a body before the end of the parameters is bad") {
  CHECK(fresh(begin(1) + record(RecordType::stdin_stream, 1, "early")) ==
        Lines{"begin 1 role 1", "bad: body before the end of the parameters"});
  CHECK(fresh(begin(1) + record(RecordType::stdin_stream, 1)).back() ==
        "bad: body before the end of the parameters");
  CHECK(fresh(begin(1, 3) + record(RecordType::data_stream, 1, "early")).back() ==
        "bad: body before the end of the parameters");
}

TEST_CASE("an authorizer's request is complete without STDIN") {
  const Lines lines = fresh(opening(1, 2));
  CHECK(lines == Lines{"begin 1 role 2", "params A=1"});
}

TEST_CASE("a filter gets DATA after STDIN, a responder gets none") {
  const std::string data = record(RecordType::data_stream, 1, "da") +
                           record(RecordType::data_stream, 1, "ta") +
                           record(RecordType::data_stream, 1);
  const std::string body =
      record(RecordType::stdin_stream, 1, "in") + record(RecordType::stdin_stream, 1);
  CHECK(fresh(opening(1, 3) + body + data) ==
        Lines{"begin 1 role 3", "params A=1", "stdin in", "stdin-end", "data data", "data-end"});
  CHECK(fresh(opening(1) + body + data) ==
        Lines{"begin 1 role 1", "params A=1", "stdin in", "stdin-end"});
}

TEST_CASE("an unknown role is told once and its records are skipped") {
  for (const int role : {0, 4, 257, 65535}) {
    const std::string request =
        begin(5, role) + record(RecordType::params, 5, "junk") + record(RecordType::params, 5) +
        record(RecordType::stdin_stream, 5, "junk") + record(RecordType::abort_request, 5);
    CHECK(fresh(request + get(6)) == Lines{"unknown-role 5 " + std::to_string(role),
                                           "begin 6 role 1",
                                           "params REQUEST_METHOD=GET QUERY_STRING=", "stdin-end"});
  }
}

TEST_CASE("a BEGIN_REQUEST of wrong length is bad") {
  CHECK(fresh(record(RecordType::begin_request, 1, "1234567")).back() ==
        "bad: a BEGIN_REQUEST of wrong length");
  CHECK(fresh(record(RecordType::begin_request, 1)).back() ==
        "bad: a BEGIN_REQUEST of wrong length");
  CHECK(fresh(record(RecordType::begin_request, 1, "123456789")).back() ==
        "bad: a BEGIN_REQUEST of wrong length");
}

TEST_CASE("a second BEGIN_REQUEST on the connection is told and its records are skipped") {
  // What HAProxy does with mpxs-conns: two requests interleaved.
  const std::string input =
      begin(1, 1, 1) + begin(3, 1, 1) + record(RecordType::params, 3, pairs({{"B", "3"}})) +
      record(RecordType::params, 1, pairs({{"A", "1"}})) + record(RecordType::params, 3) +
      record(RecordType::params, 1) + record(RecordType::stdin_stream, 3, "three") +
      record(RecordType::stdin_stream, 1, "one") + record(RecordType::abort_request, 3) +
      record(RecordType::stdin_stream, 3) + record(RecordType::stdin_stream, 1);
  CHECK(fresh(input) ==
        Lines{"begin 1 role 1 keep", "second 3", "params A=1", "stdin one", "stdin-end"});
}

TEST_CASE("a refused second request does not come to life when the first is done") {
  RequestParser parser;
  trace(parser, get(1) + begin(3));
  parser.request_done();
  CHECK(trace(parser, record(RecordType::params, 3, "junk") + record(RecordType::params, 3) +
                          record(RecordType::stdin_stream, 3))
            .empty());
  CHECK(trace(parser, get(3))[0] == "begin 3 role 1");
}

TEST_CASE("BEGIN_REQUEST twice with the same id is bad") {
  CHECK(fresh(begin(1) + begin(1)) ==
        Lines{"begin 1 role 1", "bad: BEGIN_REQUEST for a request that has begun"});
}

TEST_CASE("records of an id that has not begun are skipped") {
  CHECK(fresh(record(RecordType::params, 9, "junk") + record(RecordType::stdin_stream, 9, "x", 9) +
              record(RecordType::abort_request, 9) + record(200, 9, "?") + get(1)) ==
        Lines{"begin 1 role 1", "params REQUEST_METHOD=GET QUERY_STRING=", "stdin-end"});
}

TEST_CASE("unknown types, and those that only applications send, are skipped for a known id") {
  std::string input = opening(1);
  for (const int type : {0, 3, 6, 7, 9, 10, 11, 12, 99, 255}) input += record(type, 1, "odd", 3);
  CHECK(fresh(input + record(RecordType::stdin_stream, 1)) ==
        Lines{"begin 1 role 1", "params A=1", "stdin-end"});
}

TEST_CASE("what follows the end of a stream is skipped") {
  CHECK(fresh(opening(1) + record(RecordType::params, 1, "more") + record(RecordType::params, 1) +
              record(RecordType::stdin_stream, 1) + record(RecordType::stdin_stream, 1, "more") +
              record(RecordType::stdin_stream, 1)) ==
        Lines{"begin 1 role 1", "params A=1", "stdin-end"});
}

TEST_CASE("content of the body that is taken past the parser is not missed by it") {
  RequestParser parser;
  const std::string head = opening(1);
  // What is left of the record at the moment, behind `seen` of its bytes; padding follows it.
  const std::size_t padding = GENERATE(0u, 7u);
  const std::size_t seen = GENERATE(0u, 3u);
  const std::string body = record(RecordType::stdin_stream, 1, "0123456789", padding);
  const std::string first = head + body.substr(0, 8 + seen);
  std::string_view input = first;
  CHECK(parser.body_left() == 0);
  CHECK(parser.head_left() == 8);
  while (parser.next(input).kind != Event::Kind::need_more) {
  }
  CHECK(parser.body_left() == 10 - seen);
  CHECK(parser.head_left() == 0);
  parser.body_taken(2);
  CHECK(parser.body_left() == 8 - seen);
  parser.body_taken(8 - seen);
  CHECK(parser.body_left() == 0);
  CHECK(parser.head_left() == padding + 8);
  const std::string rest = body.substr(18) + record(RecordType::stdin_stream, 1);
  input = rest;
  CHECK(parser.next(input).kind == Event::Kind::stdin_end);
  CHECK(parser.head_left() == 8);
}

TEST_CASE("content that is no body is not offered as body") {
  RequestParser parser;
  const std::string other = opening(1) + record(RecordType::stdin_stream, 2, "0123456789");
  std::string_view input = std::string_view(other).substr(0, other.size() - 5);
  while (parser.next(input).kind != Event::Kind::need_more) {
  }
  CHECK(parser.body_left() == 0);
  CHECK(parser.head_left() == 0);
}

TEST_CASE("ABORT_REQUEST is told at any time of a request, once") {
  const std::string abort = record(RecordType::abort_request, 1);
  CHECK(fresh(abort + begin(1) + abort + abort) == Lines{"begin 1 role 1", "abort 1"});
  CHECK(fresh(opening(1) + record(RecordType::stdin_stream, 1, "a") + abort +
              record(RecordType::stdin_stream, 1, "b")) ==
        Lines{"begin 1 role 1", "params A=1", "stdin a", "abort 1", "stdin b"});
  RequestParser parser;
  trace(parser, get(1));
  parser.request_done();
  CHECK(trace(parser, abort).empty());
  CHECK(trace(parser, begin(1) + abort) == Lines{"begin 1 role 1", "abort 1"});
}

TEST_CASE("GET_VALUES is told at any moment, with several and with unknown names") {
  const std::string ask =
      record(RecordType::get_values, 0,
             pairs({{"FCGI_MAX_REQS", ""}, {"FCGI_MPXS_CONNS", ""}, {"X", ""}}), 5);
  const std::string told = "get-values FCGI_MAX_REQS= FCGI_MPXS_CONNS= X=";
  CHECK(fresh(ask + begin(1) + ask + record(RecordType::params, 1, pairs({{"A", "1"}})) + ask +
              record(RecordType::params, 1) + ask + record(RecordType::stdin_stream, 1) + ask) ==
        Lines{told, "begin 1 role 1", told, told, "params A=1", told, "stdin-end", told});
}

TEST_CASE("GET_VALUES between two halves of a pair does not disturb the parameters") {
  const std::string wire = pairs({{"NAME", std::string(200, 'v')}});
  CHECK(fresh(begin(1) + record(RecordType::params, 1, wire.substr(0, 3)) +
              record(RecordType::get_values, 0, pairs({{"FCGI_MAX_CONNS", ""}})) +
              record(RecordType::params, 1, wire.substr(3)) + record(RecordType::params, 1)) ==
        Lines{"begin 1 role 1",
              "get-values FCGI_MAX_CONNS=", "params NAME=" + std::string(200, 'v')});
}

TEST_CASE("GET_VALUES with too many names or a cut pair is told with what is there") {
  std::string many;
  for (int i = 0; i < 100; ++i) fcgi::encode_param("N", "", many);
  RequestParser parser;
  trace(parser, record(RecordType::get_values, 0, many));
  CHECK(parser.asked().size() == 64);
  trace(parser, record(RecordType::get_values, 0, pairs({{"A", ""}}) + "\x05"));
  CHECK(parser.asked().size() == 1);
  const std::string ask = pairs({{"FCGI_MAX_CONNS", "x"}});
  for (std::size_t cut = 0; cut < ask.size(); ++cut) {
    CHECK(trace(parser, record(RecordType::get_values, 0, ask.substr(0, cut))) ==
          Lines{"get-values"});
  }
  CHECK(trace(parser, record(RecordType::get_values, 0)) == Lines{"get-values"});
}

TEST_CASE("management records of another type are told") {
  for (const int type : {0, 1, 2, 4, 5, 8, 10, 11, 12, 255}) {
    CHECK(fresh(record(type, 0, "12345678", 2) + get(1))[0] ==
          "unknown-type " + std::to_string(type));
  }
}

TEST_CASE("a record of another version is bad, and the parser stays bad") {
  std::string second = record(RecordType::params, 1);
  second[0] = 2;
  RequestParser parser;
  CHECK(trace(parser, begin(1) + second).back() ==
        "bad: a record of another protocol version than 1");
  CHECK(trace(parser, get(1)) == Lines{"bad: a record of another protocol version than 1"});
  parser.reset();
  CHECK(trace(parser, get(1)).size() == 3);
}

TEST_CASE("an HTTP request on the FastCGI port is recognised") {
  for (const char* line :
       {"GET / HTTP/1.1\r\n", "HEAD / HTTP/1.0\r\n", "POST /x HTTP/1.1\r\n", "PUT /x HTTP/1.1\r\n",
        "DELETE /x HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PATCH / HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n", "TRACE / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n"}) {
    CHECK(fresh(line) == Lines{"bad: not FastCGI (http)"});
  }
}

TEST_CASE("other bytes than FastCGI or HTTP are not FastCGI") {
  for (const char* line : {"GETTY 1234", "\x16\x03\x01\x02TLS hello", "POSTAL code", "PRICES", "x",
                           "get / HTTP/1.1", "\x02 another version"}) {
    CHECK(fresh(line) == Lines{"bad: not FastCGI"});
  }
  CHECK(fresh(std::string_view("\0\0\0\0\0\0\0\0", 8)) == Lines{"bad: not FastCGI"});
}

TEST_CASE("an HTTP request after a FastCGI record is a wrong version, not HTTP") {
  CHECK(fresh(get(1) + "GET / HTTP/1.1\r\n\r\n").back() ==
        "bad: a record of another protocol version than 1");
}

TEST_CASE("requests follow each other on a kept connection, with the same id or another") {
  RequestParser parser;
  for (const int id : {1, 1, 3, 1, 65535}) {
    const Lines lines = trace(parser, get(static_cast<std::uint16_t>(id), 1));
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == "begin " + std::to_string(id) + " role 1 keep");
    CHECK(parser.input_ended());
    CHECK(parser.active());
    CHECK_FALSE(parser.idle());
    parser.request_done();
    CHECK(parser.idle());
    CHECK_FALSE(parser.active());
  }
}

TEST_CASE("a body that still arrives after the answer is skipped until the next request") {
  const std::string body(100, 'b');
  const std::string late = record(RecordType::stdin_stream, 1, body, 7);
  // The answer may be complete at any byte of the body.
  for (std::size_t cut = 0; cut <= late.size(); ++cut) {
    RequestParser parser;
    trace(parser, opening(1) + late.substr(0, cut));
    parser.request_done();
    CHECK_FALSE(parser.input_ended());
    REQUIRE(trace(parser, late.substr(cut) + late).empty());
    CHECK_FALSE(parser.input_ended());
    REQUIRE(trace(parser, record(RecordType::stdin_stream, 1)).empty());
    CHECK(parser.input_ended());
    REQUIRE(trace(parser, get(1)).size() == 3);
  }
}

TEST_CASE("parameters that are cut off by request_done do not leak into the next request") {
  const std::string wire = record(RecordType::params, 1, pairs({{"SECRET", "old"}}));
  for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
    RequestParser parser;
    trace(parser, begin(1) + wire.substr(0, cut));
    parser.request_done();
    REQUIRE(trace(parser, wire.substr(cut) + get(1)) ==
            Lines{"begin 1 role 1", "params REQUEST_METHOD=GET QUERY_STRING=", "stdin-end"});
  }
}

TEST_CASE("the parameters stay readable after the request is done") {
  RequestParser parser;
  trace(parser, get(1));
  parser.request_done();
  CHECK(parser.params().first("REQUEST_METHOD").value() == "GET");
}

TEST_CASE("an end of file is clean only between requests and records") {
  const std::string input = get(1);
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    RequestParser parser;
    CHECK(parser.idle());
    trace(parser, input.substr(0, cut));
    REQUIRE(parser.idle() == (cut == 0));
    CHECK(parser.input_ended() == (cut < 16 || cut == input.size()));
  }
}
