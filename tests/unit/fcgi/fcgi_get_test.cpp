// The program fcgi-get as a user meets it: what it sends, prints and returns.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>
#include <vector>

#include "fcgi/parser.hpp"
#include "server.hpp"
#include "session.hpp"

using server::answer;
using server::Listener;
using server::Server;
using server::TempFolder;
using Arguments = std::vector<std::string>;

namespace {

struct Result {
  int status = -1;
  std::string out;
  std::string err;
};

std::string content(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream bytes;
  bytes << stream.rdbuf();
  return bytes.str();
}

/// Runs fcgi-get and waits for its end. @param input the file that is its standard input.
Result fcgi_get(Arguments arguments, const std::string& input = "/dev/null") {
  TempFolder folder;
  const std::string out = folder.file("out");
  const std::string err = folder.file("err");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  arguments.insert(arguments.begin(), FCGI_GET);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int spawned = ::posix_spawn(&pid, FCGI_GET, &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  REQUIRE(spawned == 0);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFEXITED(status));
  return {WEXITSTATUS(status), content(out), content(err)};
}

/// Runs it against a server that gives `bytes`, and keeps the parameters and body that were sent.
struct Asked {
  Result result;
  fcgi::RequestParser parser;
  std::string body;
  std::string begin;
};

Asked ask(Arguments options, const std::string& bytes, const Arguments& uri = {"/a%20b?c=d"},
          const std::string& input = "/dev/null") {
  Asked asked;
  Listener listener;
  std::string seen;
  {
    Server server(listener, 1, [&](int fd) {
      seen = server::receive_request(fd);
      server::send_all(fd, bytes);
    });
    options.push_back(listener.address());
    options.insert(options.end(), uri.begin(), uri.end());
    asked.result = fcgi_get(options, input);
  }
  for (const std::string& line : session::trace(asked.parser, seen)) {
    if (line.starts_with("begin")) asked.begin = line;
    if (line.starts_with("stdin ")) asked.body = line.substr(6);
  }
  return asked;
}

const std::string kHello = "Content-Type: text/plain\r\n\r\nhello\n";

}  // namespace

TEST_CASE("the body goes to standard output, FCGI_STDERR to standard error") {
  const Asked asked = ask({}, answer(kHello, "a warning\n"));
  CHECK(asked.result.status == 0);
  CHECK(asked.result.out == "hello\n");
  CHECK(asked.result.err == "a warning\n");
  CHECK(ask({"-i"}, answer(kHello)).result.out == kHello);
}

TEST_CASE("headers end by LF or CRLF, and one byte at a time") {
  for (const std::string& text :
       {std::string("A: b\n\nbody"), std::string("A: b\r\n\r\nbody"), std::string("A: b\n\r\nbody"),
        std::string("\nbody"), std::string("\r\nbody")}) {
    std::string bytes;
    for (const char byte : text) {
      bytes += session::record(fcgi::RecordType::stdout_stream, 1, {&byte, 1}, 3);
    }
    const Asked asked = ask({}, bytes + answer(""));
    CHECK(asked.result.out == "body");
    CHECK(asked.result.status == 0);
  }
}

TEST_CASE("parameters are those of CGI for the URI") {
  Asked asked = ask({}, answer(kHello));
  const fcgi::Params& params = asked.parser.params();
  const auto value = [&](const char* name) { return params.first(name).value_or("(none)"); };
  CHECK(asked.begin == "begin 1 role 1");
  CHECK(value("REQUEST_METHOD") == "GET");
  CHECK(value("REQUEST_URI") == "/a%20b?c=d");
  CHECK(value("SCRIPT_NAME") == "/a b");
  CHECK(value("SCRIPT_FILENAME") == "/a b");
  CHECK(value("QUERY_STRING") == "c=d");
  CHECK(value("SERVER_PROTOCOL") == "HTTP/1.1");
  CHECK(value("GATEWAY_INTERFACE") == "CGI/1.1");
  CHECK(value("CONTENT_LENGTH") == "(none)");
  CHECK(ask({}, answer(kHello), {}).parser.params().first("REQUEST_URI") == "/");
  CHECK(ask({}, answer(kHello), {"status"}).parser.params().first("REQUEST_URI") == "/status");
}

TEST_CASE("-e replaces, adds, repeats, empties and removes parameters") {
  Asked asked = ask({"-e", "SERVER_NAME=x=y", "-e", "NEW=", "-e", "TWICE=1", "-e", "TWICE=2", "-e",
                     "HTTP_HOST", "-e", "DOCUMENT_ROOT=/srv"},
                    answer(kHello));
  const fcgi::Params& params = asked.parser.params();
  CHECK(params.first("SERVER_NAME").value() == "x=y");
  CHECK(params.last("SERVER_NAME").value() == "x=y");
  CHECK(params.first("NEW").value() == "");
  CHECK(params.first("TWICE").value() == "1");
  CHECK(params.last("TWICE").value() == "2");
  CHECK_FALSE(params.first("HTTP_HOST").has_value());
  CHECK(params.first("SCRIPT_FILENAME").value() == "/srv/a b");
}

TEST_CASE("method and role are sent as asked for") {
  Asked asked = ask({"-X", "PUT", "-r", "filter"}, answer(kHello));
  CHECK(asked.begin == "begin 1 role 3");
  CHECK(asked.parser.params().first("REQUEST_METHOD").value() == "PUT");
  CHECK(asked.parser.params().first("CONTENT_LENGTH").value() == "0");
}

TEST_CASE("a body is read from a file or from standard input") {
  TempFolder folder;
  const std::string file = folder.file("body");
  const std::string body(100000, 'b');
  std::ofstream(file) << body;
  Asked from_file = ask({"-d", file}, answer(kHello));
  CHECK(from_file.body == body);
  CHECK(from_file.parser.params().first("REQUEST_METHOD").value() == "POST");
  CHECK(from_file.parser.params().first("CONTENT_LENGTH").value() == "100000");
  Asked from_input = ask({"-d", "-"}, answer(kHello), {}, file);
  CHECK(from_input.body == body);
  CHECK(from_input.parser.params().first("CONTENT_LENGTH").value() == "100000");
  Asked empty = ask({"-d", "-"}, answer(kHello), {}, "/dev/null");
  CHECK(empty.body == "");
  CHECK_FALSE(empty.parser.params().first("CONTENT_LENGTH").has_value());  // not known beforehand
}

TEST_CASE("the exit status tells the class of the answer") {
  const std::vector<std::pair<std::string, int>> cases = {
      {"Status: 200 OK\r\n\r\n", 0},     {"status:   204\r\n\r\n", 0},
      {"Location: /x\r\n\r\n", 0},       {"Status: 399 x\n\n", 0},
      {"Status: 404 Not Found\n\n", 4},  {"A: b\nStatus: 499\n\n", 4},
      {"Status: 500 Oh\r\n\r\n", 5},     {"Status: 503\r\n\r\n", 5},
      {"Status: none\r\n\r\n", 1},       {"Status: 20\r\n\r\n", 1},
      {"Content-Type: text/html\r\n", 1}};
  for (const auto& [text, status] : cases) {
    INFO(text);
    CHECK(ask({}, answer(text)).result.status == status);
  }
}

TEST_CASE("what goes wrong is told in one line and by status 1") {
  const auto end = [](fcgi::ProtocolStatus status) {
    char body[fcgi::kBodySize];
    fcgi::encode_end_body({0, status}, body);
    return session::record(fcgi::RecordType::end_request, 1, {body, sizeof body});
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "fcgi-get: the connection was closed without an answer\n"},
      {"HTTP/1.1 400 Bad Request\r\n\r\n", "fcgi-get: broken answer: not a FastCGI record\n"},
      {answer(""), "fcgi-get: empty answer\n"},
      {answer("Content-Type: x\r\n"), "fcgi-get: the answer has no complete header block\n"},
      {answer(std::string(300000, 'h')), "fcgi-get: the answer's header block is too large\n"},
      {end(fcgi::ProtocolStatus::overloaded),
       "fcgi-get: the server refused the request: overloaded (OVERLOADED)\n"}};
  for (const auto& [bytes, line] : cases) {
    const Asked asked = ask({}, bytes);
    CHECK(asked.result.status == 1);
    CHECK(asked.result.err == line);
    CHECK(asked.result.out == "");
  }
  const Result absent = fcgi_get({"unix:/nonexistent/x.sock"});
  CHECK(absent.status == 1);
  CHECK(absent.err == "fcgi-get: connect unix:/nonexistent/x.sock: No such file or directory\n");
  const Result no_body = fcgi_get({"-d", "/nonexistent/body", "unix:/nonexistent/x.sock"});
  CHECK(no_body.status == 1);
  CHECK(no_body.err == "fcgi-get: open /nonexistent/body: No such file or directory\n");
}

TEST_CASE("-t ends a request that takes too long") {
  Listener listener;
  Server server(listener, 1, [](int fd) { server::drain(fd); });
  const Result result = fcgi_get({"-t", "0.05", listener.address()});
  CHECK(result.status == 1);
  CHECK(result.err == "fcgi-get: no complete answer within 0.05 s\n");
}

TEST_CASE("wrong usage is told by status 64") {
  for (const Arguments& arguments :
       {Arguments{}, Arguments{"-x"}, Arguments{"a:1", "/", "more"}, Arguments{"-r", "king", "a:1"},
        Arguments{"-t", "0", "a:1"}, Arguments{"-t", "x", "a:1"}, Arguments{"-e", "=x", "a:1"},
        Arguments{"--inc", "a:1"}}) {
    const Result result = fcgi_get(arguments);
    CHECK(result.status == 64);
    CHECK(result.err.starts_with("fcgi-get: "));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
  CHECK(fcgi_get({"-h"}).out.starts_with("Usage: fcgi-get "));
  CHECK(fcgi_get({"-h"}).status == 0);
  CHECK(fcgi_get({"-V"}).out.starts_with("fcgi-get "));
}
