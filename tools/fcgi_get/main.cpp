// fcgi-get: one FastCGI request from the shell.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "fcgi/client.hpp"
#include "tools/fcgi_get/answer.hpp"
#include "tools/fcgi_get/options.hpp"

namespace {

using fcgi_get::Answer;
using fcgi_get::Options;

constexpr int kNoAnswer = 1;
constexpr int kUsage = 64;  // EX_USAGE, sysexits(3)

int fail(std::string_view what, int code = kNoAnswer) {
  fmt::print(stderr, "fcgi-get: {}\n", what);
  return code;
}

/// The file of -d, open, and its size where that is known beforehand.
struct BodyFile {
  int fd = -1;  // open until the process ends
  std::optional<std::uint64_t> size;
};

std::optional<BodyFile> open_body(const Options& options) {
  BodyFile file;
  if (!options.body) {
    // Some applications take a POST without CONTENT_LENGTH for one of unknown length.
    if (!options.method.empty() && options.method != "GET" && options.method != "HEAD") {
      file.size = 0;
    }
    return file;
  }
  file.fd =
      *options.body == "-" ? STDIN_FILENO : ::open(options.body->c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) < 0) return std::nullopt;
  const off_t at = S_ISREG(status.st_mode) ? ::lseek(file.fd, 0, SEEK_CUR) : -1;
  if (at >= 0) file.size = static_cast<std::uint64_t>(std::max<off_t>(status.st_size - at, 0));
  return file;
}

void set_body(fcgi::Request& request, const BodyFile& file) {
  if (file.fd < 0) return;
  request.body.fd = file.fd;
  request.body.read = [fd = file.fd](std::span<char> into) -> std::ptrdiff_t {
    ssize_t got = -1;
    do {
      got = ::read(fd, into.data(), into.size());
    } while (got < 0 && errno == EINTR);
    return got;
  };
}

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

std::string_view refusal(fcgi::ProtocolStatus status) {
  switch (status) {
    case fcgi::ProtocolStatus::request_complete:
      return {};
    case fcgi::ProtocolStatus::cant_mpx_conn:
      return "the server refused the request: it can not multiplex (CANT_MPX_CONN)";
    case fcgi::ProtocolStatus::overloaded:
      return "the server refused the request: overloaded (OVERLOADED)";
    case fcgi::ProtocolStatus::unknown_role:
      return "the server refused the request: unknown role (UNKNOWN_ROLE)";
  }
  return "the server ended the request with an unknown protocol status";
}

int exit_status(const fcgi::Reply& reply, const Answer& answer) {
  if (!reply.ok()) return fail(reply.error);
  if (const std::string_view why = refusal(reply.protocol_status); !why.empty()) return fail(why);
  if (reply.out_bytes == 0) return fail("empty answer");
  if (answer.too_large()) return fail("the answer's header block is too large");
  if (!answer.headers_complete()) return fail("the answer has no complete header block");
  const int status = answer.status();
  if (status < 0) return fail("the answer's Status is no HTTP status");
  return status < 400 ? 0 : status < 500 ? 4 : 5;
}

int run(const Options& options) {
  const std::optional<BodyFile> file = open_body(options);
  if (!file) return fail(fmt::format("open {}: {}", *options.body, std::strerror(errno)));

  fcgi::ClientTimeouts timeouts;
  timeouts.total = options.limit;
  if (options.limit.count() > 0) timeouts.connect = std::min(timeouts.connect, options.limit);
  fcgi::Client client(timeouts);
  if (const std::string error = client.connect(options.address); !error.empty()) return fail(error);

  const fcgi::Params params = make_params(options, file->size);
  Answer answer;
  bool printed = true;
  fcgi::Request request;
  request.role = options.role;
  request.params = &params;
  set_body(request, *file);
  request.on_out = [&](std::string_view bytes) {
    const bool in_headers = !answer.headers_complete();
    if (answer.too_large()) return;
    const std::string_view body = answer.feed(bytes);
    if (in_headers && answer.headers_complete() && options.include_headers) {
      printed = print(answer.headers()) && printed;
    }
    printed = print(body) && printed;
    if (!body.empty()) printed = std::fflush(stdout) == 0 && printed;  // streams are seen as such
  };
  request.on_err = [](std::string_view bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
  };
  const fcgi::Reply reply = client.request(request);
  if (std::fflush(stdout) != 0 || !printed) {
    return fail(fmt::format("write: {}", std::strerror(errno)));
  }
  return exit_status(reply, answer);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::string error;
    const auto options = fcgi_get::parse_options(argc, argv, error);
    if (!options) return fail(error + " (fcgi-get -h tells the options)", kUsage);
    if (options->help) return print(fcgi_get::help_text()) ? 0 : kNoAnswer;
    if (options->version) return print("fcgi-get " FCGI_GET_VERSION "\n") ? 0 : kNoAnswer;
    return run(*options);
  } catch (const std::exception& problem) {
    return fail(problem.what());
  }
}
