// The control socket: how fpmctl reaches the running master.
//
// A UNIX stream socket, mode 0600, for root and for the user that runs the master (SO_PEERCRED). One
// line of JSON is one order, at most kOrderLimit bytes; one line of JSON is the answer. Orders on one
// connection are answered one after the other.
//
//   {"order":"version"}                         {"done":true,"text":"0.1.0"}
//   {"order":"status"}                          {"done":true,"pools":[{...}]}
//   {"order":"status","full":true}              the same with "processes" in each pool
//   {"order":"connections","pool":"www"}        {"done":true,"pool":"www","states":{...},"connections":[{...}],...}
//   {"order":"reload"}                          {"done":true,"text":"2 pools reloaded"}
//   {"order":"reload","pool":"www"}             that pool alone
//   {"order":"reload","changed":true}           pools whose directives differ
//   {"order":"reopen-logs"}
//   {"order":"drain","pool":"www"}              {"done":false,"text":"there is no pool of that name"}
//   {"order":"resume","pool":"www"}
//   {"order":"stop"}                            finish what runs; with "now":true stop at once
//
// A pool is shown as its own status page shows it with ?json&extended, connections as status/connections.hpp has
// them. What is no such order gets
// "done":false with the reason, and its connection is closed.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "fpm/master/orders.hpp"
#include "fpm/os/fd.hpp"
#include "fpm/os/socket.hpp"

namespace boost::asio {
class io_context;
}

namespace fpm::master {

/// Bytes of an order, its line feed included.
inline constexpr std::size_t kOrderLimit = 4096;

/// The socket, opened while a refusal is still possible. Its file goes with it.
class ControlSocket {
 public:
  /// Errors: EADDRINUSE, another instance has it; those of bind(2).
  static os::Result<ControlSocket> open(const std::string& path);

  ControlSocket() = default;
  ControlSocket(ControlSocket&& other) noexcept;
  ControlSocket& operator=(ControlSocket&& other) noexcept;
  ~ControlSocket() { close(); }

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  void close();

 private:
  os::UniqueFd fd_;
  std::string path_;
  std::optional<os::FileId> file_;
};

/// Answers orders in the master's loop. Nothing here waits; a client that says nothing whole or reads nothing
/// for 5 s is dropped, one beyond the 16th is not let in.
class Control {
 public:
  Control(boost::asio::io_context& io, ControlSocket socket, Orders& orders, std::string version);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

 private:
  class Server;
  std::shared_ptr<Server> server_;
};

}  // namespace fpm::master
