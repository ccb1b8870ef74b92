#include "fpm/log/new_logs.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "fpm/os/fd_passing.hpp"

namespace fpm::log {

namespace {

/// The bytes of the packet; the descriptors follow in the order of the bits in `flags`: log,
/// access log, output log, slow log.
struct Head {
  std::uint32_t magic = 0x46504c47;  // "FPLG"
  std::uint32_t generation = 0;
  std::uint32_t flags = 0;
};
constexpr std::size_t kLogs = 4;

}  // namespace

os::Result<bool> send_new_logs(int channel, std::uint32_t generation, int log, int access_log,
                               int output_log, int slow_log) {
  if (!os::all_was_read(channel)) return false;
  const std::array<int, kLogs> all{log, access_log, output_log, slow_log};
  Head head;
  head.generation = generation;
  std::array<int, kLogs> fds{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < kLogs; ++i) {
    if (all[i] < 0) continue;
    head.flags |= 1U << i;
    fds[count++] = all[i];
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
  const auto count = static_cast<std::size_t>(std::popcount(head.flags));
  if (head.magic != expected.magic || head.flags >= 1U << kLogs || count != packet->fd_count) {
    return os::Error(EPROTO, "channel");
  }
  NewLogs logs;
  logs.generation = head.generation;
  const std::array<os::UniqueFd*, kLogs> all{&logs.log, &logs.access_log, &logs.output_log,
                                                &logs.slow_log};
  std::size_t next = 0;
  for (std::size_t i = 0; i < kLogs; ++i) {
    if ((head.flags & 1U << i) != 0) *all[i] = std::move(packet->fds[next++]);
  }
  return logs;
}

}  // namespace fpm::log
