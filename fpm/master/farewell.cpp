#include "fpm/master/farewell.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace fpm::master {

namespace {

constexpr std::chrono::milliseconds kLinger{1000};

constexpr std::string_view kPage =
    "<!DOCTYPE html>\n<html><head><title>504 Gateway Timeout</title></head>\n"
    "<body><h1>504 Gateway Timeout</h1>\n<p>The application took too long to answer.</p>"
    "</body></html>\n";

/// FastCGI 1.0 §3.3: version, type, id, length of the content, padding.
std::string record(unsigned type, std::uint16_t id, std::string_view content) {
  std::string bytes;
  for (const unsigned byte : {1U, type, id / 256U, id % 256U,
                              static_cast<unsigned>(content.size() / 256),
                              static_cast<unsigned>(content.size() % 256), 0U, 0U}) {
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes.append(content);
}

bool option_is(int fd, int option, int value) {
  int now = 0;
  socklen_t size = sizeof now;
  return ::getsockopt(fd, SOL_SOCKET, option, &now, &size) == 0 && now == value;
}

}  // namespace

std::string gateway_timeout(std::uint16_t request_id) {
  constexpr unsigned kStdout = 6;
  constexpr unsigned kEndRequest = 3;
  const std::string answer = fmt::format(
      "Status: 504 Gateway Timeout\r\nContent-Type: text/html; charset=UTF-8\r\n"
      "Cache-Control: no-store\r\nContent-Length: {}\r\n\r\n{}",
      kPage.size(), kPage);
  // appStatus 0, FCGI_REQUEST_COMPLETE.
  return record(kStdout, request_id, answer) +
         record(kEndRequest, request_id, std::string_view("\0\0\0\0\0\0\0\0", 8));
}

os::Result<Farewell> Farewell::to(os::UniqueFd connection, Clock::time_point now) {
  const int fd = connection.get();
  // A worker could have named its listening socket, on which nothing may be shut.
  if (!option_is(fd, SO_TYPE, SOCK_STREAM)) return os::Error(ENOTSOCK, "connection");
  if (!option_is(fd, SO_ACCEPTCONN, 0)) return os::Error(EINVAL, "connection");
  return Farewell(std::move(connection), now + kLinger);
}

bool Farewell::answer(std::uint16_t request_id) {
  const std::string bytes = gateway_timeout(request_id);
  const ssize_t sent =
      ::send(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(connection_.get(), SHUT_WR);
  return sent == static_cast<ssize_t>(bytes.size());
}

bool Farewell::over(Clock::time_point now) {
  std::array<char, 16 * 1024> unread;
  for (int reads = 0; reads < 16; ++reads) {
    const ssize_t got = ::recv(connection_.get(), unread.data(), unread.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return true;
    if (got < 0) break;
  }
  return now >= until_;
}

}  // namespace fpm::master
