// Log files that were opened anew, on their way from the master to running workers, so that a
// rotation of logs restarts no worker.
#pragma once

#include <cstdint>

#include "fpm/os/fd.hpp"

namespace fpm::log {

/// What a worker is to write to from now on.
struct NewLogs {
  std::uint32_t generation = 0;  ///< how often logs were reopened; also in shared memory
  os::UniqueFd log;              ///< none: as before
  os::UniqueFd access_log;       ///< none: as before
  os::UniqueFd output_log;       ///< none: as before
  os::UniqueFd slow_log;         ///< none: as before
};

/// Sends that over a worker's channel (SOCK_SEQPACKET), the descriptors (-1: none) borrowed. Does
/// not block. Nothing is sent, and that is no Error but `false`, while the worker has not read what
/// was sent to it before: at most one packet of this size waits in a channel. Errors as of
/// os::send_packet(): EAGAIN, ETOOMANYREFS, ENOBUFS and ENOMEM are worth another try.
os::Result<bool> send_new_logs(int channel, std::uint32_t generation, int log, int access_log,
                               int output_log = -1, int slow_log = -1);

/// Reads one of those. Does not block. EAGAIN: none has come. EPROTO: something else came, or the
/// end of the channel; it is worth no other try.
os::Result<NewLogs> receive_new_logs(int channel);

}  // namespace fpm::log
