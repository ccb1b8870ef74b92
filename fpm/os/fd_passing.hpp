// Descriptors that travel from one process to another.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// How many descriptors one packet carries.
inline constexpr std::size_t kMostPassed = 12;

/// Sends `bytes` (at least one) with `fds`, borrowed, as one packet of a UNIX socket that keeps
/// packets apart (SOCK_SEQPACKET, SOCK_DGRAM). Does not block, raises no SIGPIPE.
/// Errors to try again later: EAGAIN (the receiver has not read), ETOOMANYREFS (this user has more
/// than RLIMIT_NOFILE descriptors under way, unread), ENOBUFS, ENOMEM. EPIPE, ECONNRESET: the
/// receiver is gone. EINVAL: more than kMostPassed. Source: unix(7) SCM_RIGHTS.
Result<void> send_packet(int socket, std::span<const char> bytes, std::span<const int> fds);

/// A packet as it was received. Its descriptors are close-on-exec and owned here.
struct Packet {
  std::size_t size = 0;  ///< bytes written into the buffer; 0: the sender has closed its end
  std::array<UniqueFd, kMostPassed> fds;
  std::size_t fd_count = 0;
};

/// Receives one packet into `buffer`. Does not block.
/// Errors: EAGAIN if none has come; EMSGSIZE if it did not fit the buffer or not all of its
/// descriptors could be received (no room below RLIMIT_NOFILE): it is gone, and what came with it
/// is closed.
Result<Packet> receive_packet(int socket, std::span<char> buffer);

/// The other side has read every packet that was sent on this UNIX socket. False also if that
/// cannot be known. Does not block. Source: unix(7) SIOCOUTQ counts what the receiver did not read.
bool all_was_read(int socket);

}  // namespace fpm::os
