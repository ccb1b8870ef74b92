#include "fpm/log/late_report.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace fpm::log {

namespace {

constexpr std::size_t kTexts = 6;

/// The beginning of a packet; the texts follow in their order.
struct Head {
  std::uint32_t magic = 0x46504c52;  // "FPLR"
  std::uint32_t overdue = 0;
  std::uint32_t answer = 0;
  std::int32_t pid = 0;
  std::int64_t taken_us = 0;
  std::array<std::uint32_t, kTexts> lengths{};
};

/// How much of each text is told, the frames last: what is left is theirs.
constexpr std::array<std::size_t, kTexts> kMost{512, 32, 512, 2048, 128, 10 * 1024};
static_assert(sizeof(Head) + 512 + 32 + 512 + 2048 + 128 + 10 * 1024 <= kLateReport);

}  // namespace

std::size_t write_late_report(const LateReport& report, std::span<char> packet) noexcept {
  const LateRequest& request = report.request;
  const std::array<std::string_view, kTexts> texts{request.script, request.method,
                                                   request.uri,    request.query,
                                                   report.request_id, report.frames};
  Head head;
  head.overdue = report.lateness == Lateness::overdue ? 1 : 0;
  head.answer = static_cast<std::uint32_t>(report.answer);
  head.pid = request.pid;
  head.taken_us = request.taken.count();
  std::size_t size = sizeof head;
  for (std::size_t i = 0; i < kTexts; ++i) {
    const std::size_t length = std::min(texts[i].size(), kMost[i]);
    head.lengths[i] = static_cast<std::uint32_t>(length);
    if (length > 0) std::memcpy(packet.data() + size, texts[i].data(), length);
    size += length;
  }
  std::memcpy(packet.data(), &head, sizeof head);
  return size;
}

std::optional<LateReport> read_late_report(std::span<const char> packet) {
  Head head;
  const std::uint32_t magic = head.magic;
  if (packet.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, packet.data(), sizeof head);
  if (head.magic != magic) return std::nullopt;
  LateReport report;
  report.lateness = head.overdue != 0 ? Lateness::overdue : Lateness::slow;
  report.answer = static_cast<LateReport::Answer>(
      std::min(head.answer, static_cast<std::uint32_t>(LateReport::Answer::whole)));
  report.request.pid = head.pid;
  constexpr std::int64_t kMostTaken = std::int64_t{1} << 50;
  report.request.taken =
      std::chrono::microseconds(std::clamp<std::int64_t>(head.taken_us, 0, kMostTaken));
  const std::array<std::string_view*, kTexts> texts{
      &report.request.script, &report.request.method, &report.request.uri,
      &report.request.query,  &report.request_id,     &report.frames};
  std::size_t at = sizeof head;
  for (std::size_t i = 0; i < kTexts; ++i) {
    if (head.lengths[i] > packet.size() - at) return std::nullopt;
    *texts[i] = {packet.data() + at, head.lengths[i]};
    at += head.lengths[i];
  }
  return report;
}

}  // namespace fpm::log
