// What the reporter's process has been told, and what of the pools is news to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "fpm/master/reporter.hpp"
#include "fpm/reporter/message.hpp"

namespace fpm::master {

/// One packet to be sent, with at most one descriptor.
struct ReporterPacket {
  reporter::Message message;
  os::UniqueFd owned;  ///< opened for it
  int borrowed = -1;   ///< else this one, unless it is -1
};

/// Tells one process step by step of pools and places; sends only what it does not know.
class ReporterNews {
 public:
  /// Sends a packet. Errors: EAGAIN and the like: later; EMSGSIZE: never.
  using Send = std::function<os::Result<void>(const ReporterPacket&)>;

  /// A new process: it knows nothing.
  void forget();
  /// Something may have changed: all is looked at again.
  void restart();
  /// Goes on where the last call stopped. @return true: all was sent, with the Commit; else the
  /// Error of `send` that stopped it, or of a descriptor that could not be opened.
  os::Result<void> go_on(const std::vector<ReportedPool>& pools, const ReporterParts& parts,
                         const Send& send);

 private:
  os::Result<void> tell_pool(std::uint32_t index, const ReportedPool& pool, const Send& send);
  os::Result<void> tell_place(std::uint32_t index, const ReporterParts::Place& place,
                              const Send& send);
  os::Result<std::uint64_t> tell_mapping(int fd, reporter::Mapping mapping, const Send& send);

  std::unordered_set<std::uint64_t> mappings_;  // that the process has
  std::unordered_set<std::uint64_t> sockets_;
  std::unordered_set<std::uint64_t> used_mappings_;  // of them, in this round
  std::unordered_set<std::uint64_t> used_sockets_;
  std::vector<std::uint64_t> pools_;   // hashes of the packets that were sent last
  std::vector<std::uint64_t> places_;
  std::uint32_t next_pool_ = 0;  // of this round
  std::uint32_t next_place_ = 0;
  int most_backlog_ = 0;
};

}  // namespace fpm::master
