// Doors as the master sees them: processes that speak HTTP for a pool with http.listen.
//   door_parts.cpp     what they are made of
//   door_settings.cpp  what they are told
//   door_process.cpp   starting, telling, ending one
//   door.cpp           those of all pools
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/http/message.hpp"
#include "fpm/master/listeners.hpp"
#include "fpm/os/identity.hpp"
#include "fpm/os/process.hpp"
#include "fpm/scoreboard/door_board.hpp"

namespace boost::asio {
class io_context;
}

namespace fpm::master {

/// What the doors of one pool are made of, opened while a refusal is still possible.
struct DoorParts {
  config::Pool config;                   ///< without the values of env[], which may be secrets
  std::optional<os::Identity> identity;  ///< nothing: they stay who the master is
  std::shared_ptr<Listener> listener;    ///< at http.listen
  os::UniqueFd access_log;
};
/// By the names of their pools.
using AllDoorParts = std::map<std::string, DoorParts>;

/// The socket that listens at an address already; nothing: there is none.
using KnownListener = std::function<std::shared_ptr<Listener>(const config::Address&)>;

/// Opens what the doors of `pools` need; pools without http.listen are passed over. Every refusal is
/// told in the log with file and line. @return nothing if anything was refused. Blocks on the name
/// service.
std::optional<AllDoorParts> open_doors(const std::vector<const config::Pool*>& pools,
                                       const KnownListener& known = {},
                                       os::InheritedSockets* inherited = nullptr);

/// What a door is told of its pool. `listener`: the pool's own. The descriptors that come along are
/// not counted yet.
http::Settings door_settings(const config::Pool& config, const Listener& listener);

/// "http://127.0.0.1:8080/": where a browser finds it.
std::string door_address(const Listener& listener);

/// All doors. Nothing here waits, but for the end of the program.
class Doors {
 public:
  /// `changed`: what boards() gives has changed, for one pool or several. Called in the loop.
  Doors(boost::asio::io_context& io, std::function<void()> changed);
  /// Ends what is left.
  ~Doors();
  Doors(const Doors&) = delete;
  Doors& operator=(const Doors&) = delete;

  /// The doors of a pool from now on. Those that are there get new settings; only another user or
  /// another address needs new processes, beside which the old ones finish. `pool`: where its workers
  /// listen.
  void use(DoorParts parts, std::shared_ptr<Listener> pool);
  /// The pool has no door any more: its address is given free at once, what is under way is finished,
  /// for `patience` at most. `then` is called when they have ended; at once if there are none.
  void finish(const std::string& pool, std::chrono::milliseconds patience,
              std::function<void()> then);
  /// The same with all.
  void finish_all(std::chrono::milliseconds patience, std::function<void()> then);
  /// All are killed.
  void kill_all();
  /// A child of the master has ended. @return it was a door.
  bool reap(const os::Exit& exit);
  /// That process is a door.
  bool is(pid_t pid) const;
  /// A door is there, or about to be.
  bool any() const;
  /// Opens the access logs anew and hands them over. @return all could be.
  bool reopen_logs();
  /// The socket of a door at that address.
  std::shared_ptr<Listener> listener(const config::Address& address) const;

  /// The memory of the doors of a pool, also of those that finish; none: it has no door.
  std::vector<const scoreboard::DoorBoard*> boards(const std::string& pool) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fpm::master
