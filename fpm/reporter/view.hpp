// What the reporter knows: pools, their shared memory, and the addresses to answer at.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fpm/os/allowed_clients.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/listen_key.hpp"
#include "fpm/reporter/message.hpp"
#include "fpm/reporter/wait_history.hpp"
#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/door_board.hpp"
#include "fpm/scoreboard/ledger.hpp"

namespace fpm::reporter {

/// An address to answer at.
struct Place {
  Place(std::string name, const std::vector<std::string>& clients, std::shared_ptr<os::UniqueFd> fd)
      : pool(std::move(name)), allowed(clients), socket(std::move(fd)) {}

  const std::string pool;  ///< empty: status.listen
  const os::AllowedClients allowed;
  const std::shared_ptr<os::UniqueFd> socket;  ///< the same one as long as the master keeps it
};

/// Built from the master's messages; what it shows is as of the last Commit. The shared memory in it
/// is mapped for reading alone, and nothing in it is trusted.
class View {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Takes a message with its descriptors. @return what is wrong with it, empty: nothing. After a
  /// wrong one the view is as it was, and the caller had better end: the master starts another.
  std::string take(const Message& message, os::Packet& packet);
  /// How often a Commit has come; 0: nothing is known yet.
  unsigned commits() const { return commits_; }

  std::size_t size() const { return shown_.size(); }
  const PoolNews& pool(std::size_t index) const { return shown_[index]->news; }
  /// The pool of that name.
  std::optional<std::size_t> find(std::string_view name) const;
  const std::vector<std::shared_ptr<const Place>>& places() const { return places_; }

  /// The pool as its own status page shows it, all generations together.
  scoreboard::PoolSnapshot snapshot(std::size_t index, bool full);
  /// The same of several, in that order; much cheaper for many.
  std::vector<scoreboard::PoolSnapshot> snapshots(const std::vector<std::size_t>& indexes,
                                                  bool full);
  /// The queue wait of its last 10 s.
  scoreboard::HistogramSnapshot recent_wait(std::size_t index, Time now) const;
  /// To be called once a second. Looks at one cache line of each pool that had no request.
  void sample(Time now);

 private:
  struct TotalsMemory {
    scoreboard::Ledger ledger;
    WaitHistory waits;
  };
  struct Known {
    PoolNews news;
    std::shared_ptr<TotalsMemory> totals;                          // null: none
    std::vector<std::shared_ptr<const scoreboard::Board>> boards;  // the newest first
    std::vector<std::shared_ptr<const scoreboard::DoorBoard>> doors;
  };

  std::string take(const Mapping& mapping, os::Packet& packet);
  std::string take(const PoolNews& news, os::Packet& packet);
  std::string take(const PlaceNews& news, os::Packet& packet);
  std::string take(const Commit& commit, os::Packet& packet);

  // By the master's keys; what nothing refers to goes with a Commit.
  std::unordered_map<std::uint64_t, std::shared_ptr<TotalsMemory>> totals_;
  std::unordered_map<std::uint64_t, std::shared_ptr<const scoreboard::Board>> boards_;
  std::unordered_map<std::uint64_t, std::shared_ptr<const scoreboard::DoorBoard>> doors_;
  std::unordered_map<std::uint64_t, std::shared_ptr<os::UniqueFd>> sockets_;

  std::unordered_map<std::uint32_t, std::shared_ptr<const Known>> new_pools_;
  std::unordered_map<std::uint32_t, std::shared_ptr<const Place>> new_places_;
  std::vector<std::shared_ptr<const Known>> shown_;
  std::vector<std::shared_ptr<const Place>> places_;
  std::unordered_map<std::string_view, std::size_t> by_name_;  // the names are those in shown_
  unsigned commits_ = 0;
  os::ListenQueues queues_;
};

}  // namespace fpm::reporter
