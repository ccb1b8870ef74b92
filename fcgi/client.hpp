// Asks a FastCGI server over a socket. The only file of this folder that does I/O.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"
#include "fcgi/request.hpp"
#include "fcgi/response_parser.hpp"

namespace fcgi {

/// Where the body of a request comes from: from memory, or, if `read` is set, from a callback.
struct Body {
  std::string_view bytes;
  /// Fills the span with up to its size. @return bytes written; 0 at the end of the body; -1 on an
  /// error, which ends the request with the text "read the body: " and errno's. Called only when
  /// the connection takes more.
  std::function<std::ptrdiff_t(std::span<char>)> read;
  /// What `read` reads, if that can make it wait: polled, so that the answer is received meanwhile.
  /// Borrowed; -1 for none.
  int fd = -1;
};

/// One request. Everything in it is borrowed for the time of Client::request().
struct Request {
  Role role = Role::responder;
  bool keep_conn = false;
  const Params* params = nullptr;  ///< none if null
  Body body;
  /// Gets STDOUT as it arrives: the CGI header block and the body. Null: dropped.
  std::function<void(std::string_view)> on_out;
  /// Gets STDERR as it arrives. Null: dropped.
  std::function<void(std::string_view)> on_err;
};

/// What came of a request.
struct Reply {
  /// Empty when END_REQUEST has come; else what failed, in one line: "receive: Connection reset by
  /// peer", "no answer within 5 s".
  std::string error;
  std::uint32_t app_status = 0;
  ProtocolStatus protocol_status = ProtocolStatus::request_complete;
  /// Bytes of STDOUT that have come, also before an error.
  std::size_t out_bytes = 0;

  bool ok() const { return error.empty(); }
};

/// Time limits; zero means none.
struct ClientTimeouts {
  std::chrono::milliseconds connect{5000};
  /// Longest time in which neither direction moves.
  std::chrono::milliseconds idle{0};
  /// Longest time for a request as a whole.
  std::chrono::milliseconds total{0};
};

/// One connection to a FastCGI server. Blocks in poll(2), within the limits. It receives while it
/// sends, so that a server that answers before it has read the body can not deadlock with it, and
/// goes on receiving when the server stops to read. Raises no SIGPIPE, does not throw but for
/// std::bad_alloc and what callbacks throw. Not for use by two threads at once.
class Client {
 public:
  explicit Client(ClientTimeouts timeouts = {}) : timeouts_(timeouts) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }

  /// Connects to "unix:/path", "/path" or "host:port" ("[::1]:9000" for IPv6, "unix:@name" for an
  /// abstract socket). An older connection is closed first. Names are resolved by getaddrinfo(3),
  /// which has time limits of its own. @return empty, or what failed: "connect unix:/run/x.sock: No
  /// such file or directory".
  std::string connect(std::string_view address);

  /// Sends one request and receives the answer to it. After an error, and unless keep_conn was set
  /// and the server keeps to it, the connection is closed.
  Reply request(const Request& request);

  /// Asks for the names in `names` by GET_VALUES. @return empty, or what failed; UNKNOWN_TYPE as an
  /// answer gives no values.
  std::string get_values(const Params& names, Params& values);

  /// Borrowed; -1 when there is no connection.
  int fd() const { return fd_; }
  bool connected() const { return fd_ >= 0; }
  void close();

 private:
  ClientTimeouts timeouts_;
  int fd_ = -1;
};

}  // namespace fcgi
