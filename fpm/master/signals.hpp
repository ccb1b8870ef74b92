// Signals to the master, turned into records that its event loop reads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "fpm/os/fd.hpp"

namespace fpm::master {

/// A signal as it arrived: what the log needs to name the sender.
struct SignalRecord {
  std::int32_t signal = 0;
  std::int32_t pid = 0;  ///< of the sender; 0: the kernel
  std::int32_t uid = 0;
};

/// Handlers for every signal that would end the process or that it acts on. A handler only writes
/// one record into a socketpair, never more: what does not fit (1,000 signals at once) is lost,
/// and for SIGCHLD one record is enough for any number of ends.
class Signals {
 public:
  /// One at a time in a process. Source: signal-safety(7).
  static os::Result<Signals> install();

  /// Readable when a record waits; borrowed.
  int fd() const { return read_.get(); }
  /// The next record. Does not block.
  std::optional<SignalRecord> next();

 private:
  os::UniqueFd read_;
  os::UniqueFd write_;
};

}  // namespace fpm::master
