#include "fcgi/writer.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <random>

#include "fcgi/response_parser.hpp"
#include "session.hpp"

using fcgi::ProtocolStatus;
using fcgi::ResponseWriter;
using session::record;
using session::RecordType;
using session::trace;
using Lines = std::vector<std::string>;

namespace {

struct Wire {
  explicit Wire(std::size_t size = 65536) : buffer(size), writer(buffer) {}

  /// Takes the next bytes from the writer, as a socket would.
  void send(std::size_t bytes = std::string::npos) {
    const std::string_view part = writer.pending().substr(0, bytes);
    sent.append(part);
    writer.sent(part.size());
  }

  Lines read(std::uint16_t id = 1) {
    send();
    fcgi::ResponseParser parser(id);
    return trace(parser, sent);
  }

  /// The types of the records that were sent.
  std::vector<int> types() {
    send();
    std::vector<int> list;
    for (std::string_view rest = sent; !rest.empty();) {
      const fcgi::RecordHeader header = fcgi::decode_header(rest.data());
      CHECK(header.padding_length == 0);  // nginx counts it against its header buffer
      list.push_back(static_cast<int>(header.type));
      rest.remove_prefix(fcgi::kHeaderSize + header.content_length);
    }
    return list;
  }

  std::vector<char> buffer;
  ResponseWriter writer;
  std::string sent;
};

}  // namespace

TEST_CASE("an answer is one STDOUT record, its end, and END_REQUEST") {
  Wire wire;
  REQUIRE(wire.writer.start(513));
  CHECK(wire.writer.out("Content-Type: text/plain\r\n\r\n") == 28);
  CHECK(wire.writer.out("hello") == 5);
  wire.writer.end(7);
  CHECK(wire.types() == std::vector<int>{6, 6, 3});
  CHECK(wire.read(513) == Lines{"out Content-Type: text/plain\r\n\r\nhello", "out-end", "end 7 0"});
}

TEST_CASE("STDERR is ended before STDOUT, and only where there was some") {
  Wire wire;
  wire.writer.start(1);
  wire.writer.out("a");
  wire.writer.err("w1 ");
  wire.writer.err("w2");
  wire.writer.err("");
  wire.writer.out("b");
  wire.writer.end(0);
  CHECK(wire.types() == std::vector<int>{6, 7, 6, 7, 6, 3});
  CHECK(wire.read() == Lines{"out a", "err w1 w2", "out b", "err-end", "out-end", "end 0 0"});
  wire.sent.clear();
  wire.writer.start(1);
  wire.writer.err("");
  wire.writer.end(0);
  CHECK(wire.types() == std::vector<int>{6, 3});
}

TEST_CASE("a record that is partly sent is not extended") {
  for (std::size_t sent = 0; sent <= 13; ++sent) {
    Wire wire;
    wire.writer.start(1);
    wire.writer.out("first");
    wire.send(sent);
    wire.writer.out("second");
    wire.writer.end(0);
    CHECK(wire.types() == (sent == 0 ? std::vector<int>{6, 6, 3} : std::vector<int>{6, 6, 6, 3}));
    CHECK(wire.read() == Lines{"out firstsecond", "out-end", "end 0 0"});
  }
}

TEST_CASE("room is exact and leaves place for STDERR and the end") {
  for (const std::size_t size :
       {ResponseWriter::kMinBuffer, std::size_t{65536}, std::size_t{200000}}) {
    Wire wire(size);
    wire.writer.start(1);
    const std::size_t room = wire.writer.room();
    CHECK(room > size - 600);
    CHECK(wire.writer.out(std::string(room + 1, 'x')) == room);
    CHECK(wire.writer.room() == 0);
    CHECK(wire.writer.out("y") == 0);
    CHECK(wire.writer.err_room() == ResponseWriter::kErrorReserve);
    CHECK(wire.writer.err(std::string(10000, 'e')) == ResponseWriter::kErrorReserve);
    CHECK(wire.writer.err("e") == 0);
    wire.writer.end(0);
    CHECK(wire.writer.pending().size() == size);
    CHECK(wire.read() == Lines{"out " + std::string(room, 'x'), "err " + std::string(512, 'e'),
                               "err-end", "out-end", "end 0 0"});
  }
}

TEST_CASE("a record never exceeds 65535 bytes") {
  Wire wire(200000);
  wire.writer.start(1);
  for (int i = 0; i < 150; ++i) CHECK(wire.writer.out(std::string(1000, 'x')) == 1000);
  CHECK(wire.writer.out("") == 0);
  wire.writer.end(0);
  CHECK(wire.types() == std::vector<int>{6, 6, 6, 6, 3});
  CHECK(wire.read()[0] == "out " + std::string(150000, 'x'));
}

TEST_CASE("management answers stand between records and never take the place of the end") {
  Wire wire(ResponseWriter::kMinBuffer);
  fcgi::Params asked;
  asked.add("FCGI_MPXS_CONNS", "");
  asked.add("UNHEARD_OF", "");
  asked.add("FCGI_MAX_REQS", "");
  wire.writer.start(1);
  wire.writer.out("a");
  CHECK(wire.writer.get_values_result(asked, {100, 4294967295, true}));
  wire.writer.out("b");
  CHECK(wire.writer.unknown_type(99));
  int more = 0;
  while (wire.writer.unknown_type(98)) ++more;
  CHECK(more > 50);
  CHECK_FALSE(wire.writer.get_values_result(asked, {}));
  CHECK_FALSE(wire.writer.cant_mpx(3));
  CHECK(wire.writer.err("e") == 1);
  wire.writer.end(0);
  const Lines lines = wire.read();
  CHECK(lines[0] == "out a");
  CHECK(lines[1] == "values FCGI_MAX_REQS=4294967295 FCGI_MPXS_CONNS=1");
  CHECK(lines[2] == "out b");
  CHECK(lines[3] == "unknown-type 99");
  CHECK(lines.back() == "end 0 0");
}

TEST_CASE("GET_VALUES_RESULT answers what was asked and nothing else") {
  Wire wire;
  fcgi::Params asked;
  CHECK(wire.writer.get_values_result(asked, {}));
  asked.add("FCGI_MAX_CONNS", "");
  asked.add("FCGI_MAX_CONNS", "");
  CHECK(wire.writer.get_values_result(asked, {32, 32, false}));
  asked.add("FCGI_MPXS_CONNS", "");
  CHECK(wire.writer.get_values_result(asked, {32, 32, false}));
  CHECK(wire.read() ==
        Lines{"values", "values FCGI_MAX_CONNS=32", "values FCGI_MAX_CONNS=32 FCGI_MPXS_CONNS=0"});
}

TEST_CASE("a second request is refused in the middle of an answer") {
  Wire wire;
  wire.writer.start(1);
  wire.writer.out("a");
  CHECK(wire.writer.cant_mpx(3));
  wire.writer.out("b");
  wire.writer.end(0);
  wire.send();
  char refused[fcgi::kBodySize];
  fcgi::encode_end_body({0, ProtocolStatus::cant_mpx_conn}, refused);
  CHECK(wire.sent.find(record(RecordType::end_request, 3, {refused, sizeof refused})) == 9);
}

TEST_CASE("answers follow each other in one buffer") {
  Wire wire;
  for (const int id : {1, 3}) {
    REQUIRE(wire.writer.start(static_cast<std::uint16_t>(id)));
    CHECK(wire.writer.started());
    CHECK(wire.writer.id() == id);
    if (id == 1) wire.writer.err("only the first");
    wire.writer.out("x");
    wire.writer.end(0);
    CHECK_FALSE(wire.writer.started());
  }
  CHECK(wire.types() == std::vector<int>{7, 6, 7, 6, 3, 6, 6, 3});
}

TEST_CASE("an answer does not begin where its end would not fit") {
  Wire wire(ResponseWriter::kMinBuffer);
  wire.writer.start(1);
  wire.writer.out(std::string(wire.writer.room(), 'x'));
  wire.writer.end(0);
  CHECK_FALSE(wire.writer.start(2));
  CHECK_FALSE(wire.writer.started());
  CHECK(wire.writer.room() == 0);
  CHECK(wire.writer.out("y") == 0);
  wire.writer.end(0);  // nothing is begun: nothing happens
  wire.send();
  CHECK(wire.writer.start(2));
}

TEST_CASE("a writer that is reset forgets what was pending") {
  Wire wire;
  wire.writer.start(1);
  wire.writer.out("x");
  wire.writer.reset();
  CHECK(wire.writer.pending().empty());
  CHECK_FALSE(wire.writer.started());
  wire.writer.start(2);
  wire.writer.end(0, ProtocolStatus::overloaded);
  CHECK(wire.read(2) == Lines{"out-end", "end 0 2"});
}

TEST_CASE("a large body can be sent beside the writer") {
  Wire wire;
  wire.writer.start(1);
  wire.writer.out("head");
  wire.send();
  const std::string body(60000, 'b');
  char header[fcgi::kHeaderSize];
  fcgi::encode_record_header(RecordType::stdout_stream, 1, body.size(), header);
  wire.sent.append(header, sizeof header).append(body);
  wire.writer.out("tail");
  wire.writer.end(0);
  CHECK(wire.read() == Lines{"out head" + body + "tail", "out-end", "end 0 0"});
}

TEST_CASE("random writing and sending gives the bytes that were written") {
  const unsigned seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](std::size_t limit) { return random() % limit; };
  for (int round = 0; round < 50; ++round) {
    Wire wire(ResponseWriter::kMinBuffer + below(100000));
    std::string expected_out;
    std::string expected_err;
    REQUIRE(wire.writer.start(1));
    for (int step = 0; step < 200; ++step) {
      const std::string bytes(below(10) == 0 ? below(80000) : below(50),
                              static_cast<char>('a' + step % 26));
      switch (below(4)) {
        case 0: {
          const std::size_t room = wire.writer.err_room();
          const std::size_t taken = wire.writer.err(bytes);
          REQUIRE(taken == std::min(room, bytes.size()));
          expected_err.append(bytes, 0, taken);
          break;
        }
        case 1:
          wire.send(below(3000));
          break;
        default: {
          const std::size_t room = wire.writer.room();
          const std::size_t taken = wire.writer.out(bytes);
          REQUIRE(taken == std::min(room, bytes.size()));
          expected_out.append(bytes, 0, taken);
        }
      }
    }
    wire.writer.end(0);
    wire.send();
    std::string out;
    std::string err;
    fcgi::ResponseParser parser(1);
    for (std::string_view rest = wire.sent;;) {
      const fcgi::ResponseEvent event = parser.next(rest);
      if (event.kind == fcgi::ResponseEvent::Kind::need_more) break;
      REQUIRE(event.kind != fcgi::ResponseEvent::Kind::bad);
      if (event.kind == fcgi::ResponseEvent::Kind::out_bytes) out += event.bytes;
      if (event.kind == fcgi::ResponseEvent::Kind::err_bytes) err += event.bytes;
    }
    REQUIRE(parser.reusable());
    REQUIRE(out == expected_out);
    REQUIRE(err == expected_err);
  }
}
