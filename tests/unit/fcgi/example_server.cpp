// hello: answers on the listening socket that it has as descriptor 0.
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "fcgi/parser.hpp"
#include "fcgi/writer.hpp"

namespace {

bool flush(int fd, fcgi::ResponseWriter& writer) {
  while (!writer.pending().empty()) {
    const std::string_view bytes = writer.pending();
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    writer.sent(static_cast<std::size_t>(sent));
  }
  return true;
}

bool print(int fd, fcgi::ResponseWriter& writer, std::string_view text) {
  while (!text.empty()) {
    text.remove_prefix(writer.out(text));
    if (!text.empty() && !flush(fd, writer)) return false;
  }
  return true;
}

/// Serves one connection until the web server closes it or has no further use for it.
void serve(int fd) {
  using Kind = fcgi::Event::Kind;
  char received[65536];
  char answers[65536];
  fcgi::RequestParser parser;
  fcgi::ResponseWriter writer(answers);
  bool keep = true;
  std::size_t body = 0;

  while (keep || parser.active()) {
    const ssize_t got = ::recv(fd, received, sizeof received, 0);
    if (got <= 0) return;
    std::string_view input(received, static_cast<std::size_t>(got));
    while (!input.empty()) {
      const fcgi::Event event = parser.next(input);
      if (event.kind == Kind::begin) {
        if (!flush(fd, writer)) return;  // the buffer is this answer's alone
        keep = event.keep_conn;
        body = 0;
        writer.start(event.id);
      } else if (event.kind == Kind::stdin_bytes) {
        body += event.bytes.size();
      } else if (event.kind == Kind::stdin_end || event.kind == Kind::abort) {
        const auto uri = parser.params().last("REQUEST_URI").value_or("");
        print(fd, writer, "Content-Type: text/plain\r\n\r\nHello, you asked for ");
        print(fd, writer, uri);
        print(fd, writer, " with a body of " + std::to_string(body) + " bytes.\n");
        writer.end(0);
        parser.request_done();
      } else if (event.kind == Kind::second_begin) {
        writer.cant_mpx(event.id);
      } else if (event.kind == Kind::unknown_role) {
        writer.end_only(event.id, fcgi::ProtocolStatus::unknown_role);
      } else if (event.kind == Kind::get_values) {
        writer.get_values_result(parser.asked(), {});
      } else if (event.kind == Kind::unknown_type) {
        writer.unknown_type(event.type);
      } else if (event.kind == Kind::bad) {
        return;
      }
    }
    if (!flush(fd, writer)) return;
  }
}

}  // namespace

int main() {
  for (;;) {
    const int fd = ::accept(0, nullptr, nullptr);
    if (fd < 0) return 1;
    serve(fd);
    ::close(fd);
  }
}
