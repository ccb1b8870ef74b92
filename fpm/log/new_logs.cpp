#include "fpm/log/new_logs.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include "fpm/os/fd_passing.hpp"

namespace fpm::log {

namespace {

/// The bytes of the packet; the descriptors follow in the order of the flags.
struct Head {
  std::uint32_t magic = 0x46504c47;  // "FPLG"
  std::uint32_t generation = 0;
  std::uint32_t flags = 0;
};
constexpr std::uint32_t kLog = 1;
constexpr std::uint32_t kAccessLog = 2;

}  // namespace

os::Result<bool> send_new_logs(int channel, std::uint32_t generation, int log, int access_log) {
  if (!os::all_was_read(channel)) return false;
  Head head;
  head.generation = generation;
  std::array<int, 2> fds{};
  std::size_t count = 0;
  if (log >= 0) {
    head.flags |= kLog;
    fds[count++] = log;
  }
  if (access_log >= 0) {
    head.flags |= kAccessLog;
    fds[count++] = access_log;
  }
  std::array<char, sizeof head> bytes;
  std::memcpy(bytes.data(), &head, sizeof head);
  if (auto sent = os::send_packet(channel, bytes, std::span(fds.data(), count)); !sent) {
    return sent.error();
  }
  return true;
}

os::Result<NewLogs> receive_new_logs(int channel) {
  std::array<char, sizeof(Head)> bytes;
  auto packet = os::receive_packet(channel, bytes);
  if (!packet) return packet.error();
  const Head expected;
  Head head;
  if (packet->size != sizeof head) return os::Error(EPROTO, "channel");
  std::memcpy(&head, bytes.data(), sizeof head);
  const std::size_t count =
      ((head.flags & kLog) != 0 ? 1U : 0U) + ((head.flags & kAccessLog) != 0 ? 1U : 0U);
  if (head.magic != expected.magic || count != packet->fd_count) {
    return os::Error(EPROTO, "channel");
  }
  NewLogs logs;
  logs.generation = head.generation;
  std::size_t next = 0;
  if ((head.flags & kLog) != 0) logs.log = std::move(packet->fds[next++]);
  if ((head.flags & kAccessLog) != 0) logs.access_log = std::move(packet->fds[next++]);
  return logs;
}

}  // namespace fpm::log
