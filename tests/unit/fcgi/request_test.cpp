// The side of the web server: encoding requests, reading answers.
#include "fcgi/request.hpp"

#include <catch2/catch.hpp>

#include "fcgi/response_parser.hpp"
#include "session.hpp"

using fcgi::Params;
using fcgi::ResponseParser;
using session::record;
using session::RecordType;
using session::trace;
using Lines = std::vector<std::string>;

namespace {

struct Seen {
  RecordType type;
  std::size_t length;
  std::string_view content;
};

std::vector<Seen> records(std::string_view bytes) {
  std::vector<Seen> list;
  while (!bytes.empty()) {
    REQUIRE(bytes.size() >= fcgi::kHeaderSize);
    const fcgi::RecordHeader header = fcgi::decode_header(bytes.data());
    bytes.remove_prefix(fcgi::kHeaderSize);
    const std::size_t length = header.content_length;
    REQUIRE(bytes.size() >= length + header.padding_length);
    list.push_back({header.type, length, bytes.substr(0, length)});
    bytes.remove_prefix(length + header.padding_length);
  }
  return list;
}

/// The parameters that a server reads of what append_params wrote.
void check_round_trip(const Params& params) {
  std::string bytes;
  fcgi::append_begin(bytes, 1, fcgi::Role::responder, false);
  fcgi::append_params(bytes, 1, params);
  fcgi::RequestParser parser({1 << 20, 100000});
  trace(parser, bytes);
  REQUIRE(parser.params().size() == params.size());
  for (std::size_t i = 0; i < params.size(); ++i) {
    REQUIRE(parser.params()[i].name == params[i].name);
    REQUIRE(parser.params()[i].value == params[i].value);
  }
}

std::string end_record(std::uint16_t id, std::uint32_t app_status, int protocol_status) {
  char body[fcgi::kBodySize];
  fcgi::encode_end_body({app_status, static_cast<fcgi::ProtocolStatus>(protocol_status)}, body);
  return record(RecordType::end_request, id, {body, sizeof body});
}

Lines fresh(std::string_view input, std::uint16_t id = 1) {
  ResponseParser whole(id);
  ResponseParser bytewise(id);
  const Lines lines = trace(whole, input);
  CHECK(trace(bytewise, input, 1) == lines);
  return lines;
}

}  // namespace

TEST_CASE("an encoded request is what a server reads") {
  Params params;
  params.add("A", "1");
  params.add("A", "");
  std::string bytes;
  fcgi::append_begin(bytes, 9, fcgi::Role::filter, true);
  fcgi::append_params(bytes, 9, params);
  fcgi::append_stdin(bytes, 9, "body");
  fcgi::append_stdin_end(bytes, 9);
  fcgi::append_data(bytes, 9, "file");
  fcgi::append_abort(bytes, 9);
  fcgi::append_data_end(bytes, 9);
  fcgi::append_get_values(bytes, params);
  fcgi::RequestParser parser;
  CHECK(trace(parser, bytes) == Lines{"begin 9 role 3 keep", "params A=1 A=", "stdin body",
                                      "stdin-end", "data file", "abort 9", "data-end",
                                      "get-values A= A="});
}

TEST_CASE("parameters go into one record as long as they fit") {
  Params params;
  std::string bytes;
  fcgi::append_params(bytes, 1, params);
  CHECK(records(bytes).size() == 1);  // the end alone

  params.add("N", std::string(65535 - 1 - 5, 'v'));  // lengths take 1 + 4 bytes
  bytes.clear();
  fcgi::append_params(bytes, 1, params);
  REQUIRE(records(bytes).size() == 2);
  CHECK(records(bytes)[0].length == 65535);
  check_round_trip(params);

  params.add("", "");
  bytes.clear();
  fcgi::append_params(bytes, 1, params);
  REQUIRE(records(bytes).size() == 3);
  CHECK(records(bytes)[1].length == 2);
  check_round_trip(params);
}

TEST_CASE("records of parameters end between pairs") {
  Params params;
  for (int i = 0; i < 300; ++i) params.add("N" + std::to_string(i), std::string(997, 'v'));
  std::string bytes;
  fcgi::append_params(bytes, 1, params);
  const auto list = records(bytes);
  CHECK(list.size() == 6);  // 65 pairs of about 1006 bytes in each, and the end
  for (const Seen& seen : list) {
    Params decoded;
    fcgi::ParamsDecoder decoder;
    REQUIRE(decoder.feed(seen.content, decoded) == fcgi::ParamsDecoder::Result::ok);
    CHECK(decoder.complete());
  }
  check_round_trip(params);
}

TEST_CASE("a pair above one record is split and arrives") {
  Params params;
  params.add("BEFORE", "1");
  params.add("BIG", std::string(200000, 'x'));
  params.add("AFTER", "2");
  check_round_trip(params);
}

TEST_CASE("a body goes out in records of at most 32 KiB") {
  const std::string body(100000, 'b');
  std::string bytes;
  fcgi::append_stdin(bytes, 1, body);
  fcgi::append_stdin(bytes, 1, "");
  std::string joined;
  for (const Seen& seen : records(bytes)) {
    CHECK(seen.length > 0);
    CHECK(seen.length <= 32768);
    joined += seen.content;
  }
  CHECK(joined == body);
  CHECK(records(bytes).size() == 4);
}

TEST_CASE("an answer is read, with any padding") {
  for (const std::size_t padding : std::vector<std::size_t>{0, 1, 7, 255}) {
    CHECK(fresh(record(RecordType::stderr_stream, 1, "warn", padding) +
                record(RecordType::stdout_stream, 1, "Status: 200\r\n", padding) +
                record(RecordType::stdout_stream, 1, "\r\nbody", padding) +
                record(RecordType::stderr_stream, 1, "", padding) +
                record(RecordType::stdout_stream, 1, "", padding) + end_record(1, 3, 0)) ==
          Lines{"err warn", "out Status: 200\r\n\r\nbody", "err-end", "out-end", "end 3 0"});
  }
}

TEST_CASE("answers without the empty STDOUT, or refused ones, end as well") {
  CHECK(fresh(record(RecordType::stdout_stream, 5, "x") + end_record(5, 0, 0), 5) ==
        Lines{"out x", "end 0 0"});
  CHECK(fresh(end_record(1, 0, 2)) == Lines{"end 0 2"});
  CHECK(fresh(end_record(1, 0xffffffff, 200)) == Lines{"end 4294967295 200"});
}

TEST_CASE("management answers are read at any moment") {
  CHECK(fresh(record(RecordType::get_values_result, 0,
                     session::pairs({{"FCGI_MAX_CONNS", "8"}, {"FCGI_MPXS_CONNS", "0"}})) +
              record(RecordType::stdout_stream, 1, "x") + record(RecordType::get_values_result, 0) +
              record(RecordType::unknown_type, 0, std::string_view("\x63\0\0\0\0\0\0\0", 8))) ==
        Lines{"values FCGI_MAX_CONNS=8 FCGI_MPXS_CONNS=0", "out x", "values", "unknown-type 99"});
}

TEST_CASE("what no application sends is bad") {
  CHECK(fresh("Status: 200 OK\r\n") == Lines{"bad: not a FastCGI record"});
  CHECK(fresh(record(RecordType::stdout_stream, 2, "x")) ==
        Lines{"bad: a record for another request"});
  CHECK(fresh(record(RecordType::stdin_stream, 1, "x")) ==
        Lines{"bad: a record of a type that no application sends"});
  CHECK(fresh(record(99, 1)) == Lines{"bad: a record of a type that no application sends"});
  CHECK(fresh(record(RecordType::end_request, 1, "1234567")) ==
        Lines{"bad: END_REQUEST of wrong length"});
  CHECK(fresh(record(99, 0)) == Lines{"bad: an unknown management record"});
  CHECK(fresh(record(RecordType::unknown_type, 0, "x")) ==
        Lines{"bad: an unknown management record"});
  CHECK(fresh(record(RecordType::get_values_result, 0, "\x05")) ==
        Lines{"bad: GET_VALUES_RESULT ends inside a pair"});
  CHECK(fresh(end_record(1, 0, 0) + record(RecordType::stdout_stream, 1, "late")) ==
        Lines{"end 0 0", "bad: a record after END_REQUEST"});
}

TEST_CASE("a connection is reusable after END_REQUEST and its padding, not before") {
  std::string answer = record(RecordType::stdout_stream, 1, "x");
  std::string end = end_record(1, 0, 0);
  end[6] = 5;  // padding
  answer += end + std::string(5, '\0');
  for (std::size_t cut = 0; cut <= answer.size(); ++cut) {
    ResponseParser parser(1);
    trace(parser, answer.substr(0, cut));
    REQUIRE(parser.reusable() == (cut == answer.size()));
    REQUIRE(parser.ended() == (cut >= answer.size() - 5));
  }
  ResponseParser parser(1);
  trace(parser, answer);
  parser.next_request(2);
  CHECK_FALSE(parser.ended());
  CHECK(trace(parser, record(RecordType::stdout_stream, 2, "y") + end_record(2, 0, 0)) ==
        Lines{"out y", "end 0 0"});
  CHECK(trace(parser, "x") == Lines{"bad: not a FastCGI record"});
  parser.reset(1);
  CHECK(trace(parser, end_record(1, 0, 0)) == Lines{"end 0 0"});
}
