#include "fcgi/client.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <sstream>

#include "server.hpp"
#include "session.hpp"

using fcgi::Client;
using fcgi::Params;
using fcgi::Reply;
using fcgi::Request;
using server::answer;
using server::Listener;
using server::Server;
using session::record;
using session::RecordType;
using std::chrono::milliseconds;

namespace {

/// Bounds every test: a client that hangs fails instead.
constexpr fcgi::ClientTimeouts kBounded{milliseconds(5000), milliseconds(0), milliseconds(10000)};

struct Outcome {
  Reply reply;
  std::string out;
  std::string err;
};

Outcome ask(Client& client, Request request) {
  Outcome outcome;
  request.on_out = [&](std::string_view bytes) { outcome.out += bytes; };
  request.on_err = [&](std::string_view bytes) { outcome.err += bytes; };
  outcome.reply = client.request(request);
  return outcome;
}

Request with_body(std::string_view bytes) {
  Request request;
  request.body.bytes = bytes;
  return request;
}

}  // namespace

TEST_CASE("a client asks over a UNIX socket and over TCP") {
  for (const auto kind : {Listener::Kind::unix_socket, Listener::Kind::tcp}) {
    Listener listener(kind);
    std::string seen;
    {
      Server server(listener, 1, [&](int fd) {
        seen = server::receive_request(fd);
        server::send_all(fd, answer("Status: 200\r\n\r\nhi", "oops", 3));
      });
      Params params;
      params.add("A", "1");
      Request request = with_body("body");
      request.params = &params;
      Client client(kBounded);
      REQUIRE(client.connect(listener.address()) == "");
      const Outcome outcome = ask(client, request);
      CHECK(outcome.reply.error == "");
      CHECK(outcome.out == "Status: 200\r\n\r\nhi");
      CHECK(outcome.err == "oops");
      CHECK(outcome.reply.app_status == 3);
      CHECK(outcome.reply.out_bytes == outcome.out.size());
      CHECK_FALSE(client.connected());
    }
    fcgi::RequestParser parser;
    CHECK(session::trace(parser, seen) ==
          std::vector<std::string>{"begin 1 role 1", "params A=1", "stdin body", "stdin-end"});
  }
}

TEST_CASE("an authorizer is sent no STDIN") {
  Listener listener;
  std::string seen;
  {
    Server server(listener, 1, [&](int fd) {
      char buffer[4096];
      fcgi::RequestParser parser;
      while (!parser.input_ended() || seen.empty()) {
        const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        seen.append(buffer, static_cast<std::size_t>(got));
        if (seen.ends_with(record(RecordType::params, 1))) break;
      }
      server::send_all(fd, answer("Status: 200\r\n\r\n"));
    });
    Request request = with_body("not sent");
    request.role = fcgi::Role::authorizer;
    Client client(kBounded);
    REQUIRE(client.connect(listener.address()) == "");
    CHECK(ask(client, request).reply.error == "");
  }
  fcgi::RequestParser parser;
  CHECK(session::trace(parser, seen) == std::vector<std::string>{"begin 1 role 2", "params"});
}

TEST_CASE("a server that answers much before it reads does not deadlock with the client") {
  Listener listener;
  const std::string big(8 << 20, 'x');
  std::size_t received = 0;
  {
    Server server(listener, 1, [&](int fd) {
      server::send_all(fd, answer(big).substr(0, 4 << 20));
      received = server::receive_request(fd).size();
      server::send_all(fd, answer(big).substr(4 << 20));
    });
    Client client(kBounded);
    REQUIRE(client.connect(listener.address()) == "");
    const Outcome outcome = ask(client, with_body(big));
    CHECK(outcome.reply.error == "");
    CHECK(outcome.out == big);
  }
  CHECK(received > big.size());
}

TEST_CASE("an answer that comes before the body is read is received") {
  Listener listener;
  Server server(listener, 1, [&](int fd) {
    server::send_all(fd, answer("Status: 413\r\n\r\ntoo large"));
    ::shutdown(fd, SHUT_WR);
    server::drain(fd);
  });
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  const std::string body(8 << 20, 'b');
  const Outcome outcome = ask(client, with_body(body));
  CHECK(outcome.reply.error == "");
  CHECK(outcome.out == "Status: 413\r\n\r\ntoo large");
}

TEST_CASE("a server that stops reading can still answer") {
  Listener listener;
  Server server(listener, 1, [&](int fd) {
    ::shutdown(fd, SHUT_RD);  // the client's sends fail from here on
    server::send_all(fd, answer("Status: 413\r\n\r\n"));
  });
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  const std::string body(8 << 20, 'b');
  CHECK(ask(client, with_body(body)).out == "Status: 413\r\n\r\n");
}

TEST_CASE("a body comes from a callback") {
  Listener listener;
  std::string seen;
  {
    Server server(listener, 1, [&](int fd) {
      seen = server::receive_request(fd);
      server::send_all(fd, answer("ok"));
    });
    Request request;
    int left = 5;
    request.body.read = [&](std::span<char> into) -> std::ptrdiff_t {
      if (left-- == 0) return 0;
      std::fill(into.begin(), into.end(), 'c');
      return static_cast<std::ptrdiff_t>(into.size());
    };
    Client client(kBounded);
    REQUIRE(client.connect(listener.address()) == "");
    CHECK(ask(client, request).reply.error == "");
  }
  CHECK(static_cast<std::size_t>(std::count(seen.begin(), seen.end(), 'c')) ==
        5 * fcgi::kMaxStdinRecord);
}

TEST_CASE("the answer is received while the body's source is silent") {
  Listener listener;
  Server server(listener, 1, [&](int fd) {
    server::send_all(fd, record(RecordType::stdout_stream, 1, "first"));
    server::receive_request(fd);
    server::send_all(fd, answer(" last"));
  });
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  std::string out;
  Request request;
  request.body.fd = pipe[0];
  request.body.read = [&](std::span<char> into) {
    return ::read(pipe[0], into.data(), into.size());
  };
  request.on_out = [&](std::string_view bytes) {
    out += bytes;
    if (pipe[1] >= 0) ::close(std::exchange(pipe[1], -1));  // only now the body ends
  };
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(client.request(request).error == "");
  CHECK(out == "first last");
  ::close(pipe[0]);
}

TEST_CASE("a body that can not be read ends the request with the reason") {
  Listener listener;
  Server server(listener, 1, [&](int fd) { server::drain(fd); });
  Request request;
  request.body.read = [](std::span<char>) -> std::ptrdiff_t {
    errno = EIO;
    return -1;
  };
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(ask(client, request).reply.error == "read the body: Input/output error");
  CHECK_FALSE(client.connected());
}

TEST_CASE("a connection is kept when both sides want it") {
  Listener listener;
  Server server(listener, 1, [&](int fd) {
    for (int i = 0; i < 3; ++i) {
      server::receive_request(fd);
      server::send_all(fd, answer("ok"));
    }
    server::drain(fd);
  });
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  Request request;
  request.keep_conn = true;
  for (int i = 0; i < 2; ++i) {
    CHECK(ask(client, request).out == "ok");
    CHECK(client.connected());
  }
  request.keep_conn = false;
  CHECK(ask(client, request).out == "ok");
  CHECK_FALSE(client.connected());
  CHECK(client.request(request).error == "not connected");
}

TEST_CASE("a connection whose body was not sent to its end is not kept") {
  Listener listener;
  Server server(listener, 1, [&](int fd) {
    server::send_all(fd, answer("early"));
    server::drain(fd);
  });
  int pipe[2];
  REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
  Request request;
  request.keep_conn = true;
  request.body.fd = pipe[0];
  request.body.read = [&](std::span<char> into) {
    return ::read(pipe[0], into.data(), into.size());
  };
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(ask(client, request).out == "early");
  CHECK_FALSE(client.connected());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_CASE("broken and missing answers are told in one line") {
  const std::string end = answer("").substr(8);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the connection was closed without an answer"},
      {record(RecordType::stdout_stream, 1, "half"),
       "the connection was closed before the end of the answer"},
      {answer("whole").substr(0, 30), "the connection was closed before the end of the answer"},
      {"Status: 200 OK\r\n\r\n", "broken answer: not a FastCGI record"},
      {record(RecordType::stdout_stream, 2, "x"), "broken answer: a record for another request"},
  };
  for (const auto& [bytes, error] : cases) {
    Listener listener;
    Server server(listener, 1, [&bytes = bytes](int fd) {
      server::receive_request(fd);
      server::send_all(fd, bytes);
    });
    Client client(kBounded);
    REQUIRE(client.connect(listener.address()) == "");
    CHECK(ask(client, {}).reply.error == error);
    CHECK_FALSE(client.connected());
  }
}

TEST_CASE("the limits of time end a request") {
  Listener listener;
  Server server(listener, 2, [&](int fd) { server::drain(fd); });
  Client total({milliseconds(5000), milliseconds(0), milliseconds(30)});
  REQUIRE(total.connect(listener.address()) == "");
  CHECK(ask(total, {}).reply.error == "no complete answer within 0.03 s");
  Client idle({milliseconds(5000), milliseconds(30), milliseconds(0)});
  REQUIRE(idle.connect(listener.address()) == "");
  CHECK(ask(idle, {}).reply.error == "nothing received for 0.03 s");
}

TEST_CASE("a connection that cannot be made is told with its address") {
  Client client(kBounded);
  CHECK(client.connect("unix:/nonexistent/x.sock") ==
        "connect unix:/nonexistent/x.sock: No such file or directory");
  CHECK(client.connect("/nonexistent/x.sock") ==
        "connect /nonexistent/x.sock: No such file or directory");
  CHECK(client.connect("unix:") == "connect unix:: Invalid argument");
  CHECK(client.connect("unix:/" + std::string(200, 'x')).ends_with(": File name too long"));
  for (const char* address : {"", "host", "host:", "host:0", "host:70000", "host:80x", "::1:80"}) {
    CHECK(client.connect(address) ==
          "connect " + std::string(address) + ": expected unix:/path or host:port");
  }
  std::string free_address;
  {
    Listener listener(Listener::Kind::tcp);
    free_address = listener.address();
  }
  CHECK(client.connect(free_address) == "connect " + free_address + ": Connection refused");
  CHECK_FALSE(client.connected());
}

TEST_CASE("a full queue of a UNIX socket ends by the limit for connecting") {
  Listener listener;
  REQUIRE(::listen(listener.fd(), 0) == 0);
  Client first(kBounded);
  REQUIRE(first.connect(listener.address()) == "");
  Client second({milliseconds(30), milliseconds(0), milliseconds(0)});
  CHECK(second.connect(listener.address()) ==
        "connect " + listener.address() + ": Connection timed out");
}

TEST_CASE("GET_VALUES brings values, or none from a server that does not know it") {
  Listener listener;
  int connection = 0;
  Server server(listener, 3, [&](int fd) {
    char buffer[4096];
    if (::recv(fd, buffer, sizeof buffer, 0) <= 0) return;
    switch (connection++) {
      case 0:
        server::send_all(fd, record(RecordType::get_values_result, 0,
                                    session::pairs({{"FCGI_MAX_CONNS", "8"}})));
        break;
      case 1:
        server::send_all(fd, record(RecordType::unknown_type, 0,
                                    "\x09"
                                    "1234567"));
        break;
      default:
        break;  // closes
    }
  });
  Params names;
  names.add("FCGI_MAX_CONNS", "");
  Params values;
  Client client(kBounded);
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(client.get_values(names, values) == "");
  CHECK(values.first("FCGI_MAX_CONNS").value() == "8");
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(client.get_values(names, values) == "");
  CHECK(values.empty());
  REQUIRE(client.connect(listener.address()) == "");
  CHECK(client.get_values(names, values) == "the connection was closed without an answer");
}

TEST_CASE("the README's example is the one that is compiled") {
  std::ifstream readme_file(FCGI_README);
  std::ifstream example_file(FCGI_EXAMPLE_SOURCE);
  std::stringstream readme;
  std::stringstream example;
  readme << readme_file.rdbuf();
  example << example_file.rdbuf();
  REQUIRE_FALSE(example.str().empty());
  CHECK(readme.str().find("```cpp\n" + example.str() + "```\n") != std::string::npos);
}

TEST_CASE("the README's example serves requests on its descriptor 0") {
  Listener listener;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, listener.fd(), 0);
  std::string program = FCGI_EXAMPLE;
  char* arguments[] = {program.data(), nullptr};
  pid_t pid = -1;
  REQUIRE(::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);

  Client client(kBounded);
  Params params;
  params.add("REQUEST_URI", "/x?y");
  const std::string body(100000, 'b');
  Request request = with_body(body);
  request.params = &params;
  request.keep_conn = true;
  CHECK(client.connect(listener.address()) == "");
  for (int i = 0; i < 2; ++i) {
    CHECK(ask(client, request).out ==
          "Content-Type: text/plain\r\n\r\n"
          "Hello, you asked for /x?y with a body of 100000 bytes.\n");
  }
  Params values;
  Params names;
  names.add("FCGI_MPXS_CONNS", "");
  CHECK(client.get_values(names, values) == "");
  CHECK(values.first("FCGI_MPXS_CONNS") == "0");
  client.close();

  ::kill(pid, SIGTERM);
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
}
