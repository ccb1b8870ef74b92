// Answers that go from a script's pipe to the client without a copy in this process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fpm/os/fd.hpp"

namespace fpm::worker {

/// STDOUT records whose content is moved out of a pipe, and then into a socket, by splice(2): pages change
/// hands, their bytes stay where they are. The content goes into a pipe of its own first: only then its
/// length is known, which the record's head in front of it tells.
/// The pipes are made when they are needed. They count against the user's share of pipe memory (pipe(7),
/// pipe-user-pages-soft), so close() is for the end of each answer.
class PipedRecords {
 public:
  /// Takes what lies in the pipe `from`, at most `most` bytes and at most a record. Does not block.
  /// @return bytes; 0: nothing lies there, what was taken has to be sent first, or the system cannot do it.
  std::size_t take(int from, std::size_t most, std::uint16_t id);
  /// Nothing waits to be sent.
  bool empty() const { return pending_ == 0; }
  /// Moves what waits into a socket, without blocking. @return false: the peer is gone.
  bool send(int socket);
  /// Forgets what waits.
  void close();

 private:
  bool prepare();

  os::Pipe content_;  // of one record
  os::Pipe framed_;   // heads and contents
  std::size_t pending_ = 0;       // bytes in framed_
  std::size_t records_ = 0;       // in framed_ since it was empty last
  std::size_t most_records_ = 0;  // that fit into framed_ in any case; 0: no pipes
  bool broken_ = false;           // a record is not whole
  bool unfit_ = false;            // the system cannot do it
};

}  // namespace fpm::worker
