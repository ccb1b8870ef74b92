// A FastCGI server in a thread, for tests of clients: one connection after the other, each served
// by a function of the test.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace server {

/// A folder of its own under /tmp, removed with what is in it.
class TempFolder {
 public:
  TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder();
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

/// A listening UNIX socket, or a TCP one on a free port of 127.0.0.1.
class Listener {
 public:
  enum class Kind { unix_socket, tcp };
  explicit Listener(Kind kind = Kind::unix_socket);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();
  int fd() const { return fd_; }
  /// As clients take it: "unix:/path" or "127.0.0.1:port".
  const std::string& address() const { return address_; }

 private:
  TempFolder folder_;
  int fd_ = -1;
  std::string address_;
};

/// Accepts `connections` connections and gives each to the function, whose argument is closed
/// afterwards. The destructor waits for the thread; a client that stays away lets accept fail, so
/// that a broken test ends.
class Server {
 public:
  Server(Listener& listener, int connections, std::function<void(int fd)> serve);
  ~Server();

 private:
  Listener& listener_;
  std::thread thread_;
};

/// Reads and drops whatever comes until the peer closes.
void drain(int fd);
/// Sends all of it; false if the peer is gone.
bool send_all(int fd, std::string_view bytes);
/// Receives until the end of the body of a request, and gives the bytes.
std::string receive_request(int fd);
/// Records of a complete answer to request 1.
std::string answer(std::string_view out, std::string_view err = {}, std::uint32_t app_status = 0);

}  // namespace server
