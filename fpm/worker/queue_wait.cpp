#include "fpm/worker/queue_wait.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <charconv>

namespace fpm::worker {

namespace {

constexpr std::uint64_t kSecond = 1'000'000'000U;
constexpr std::uint64_t kDay = 86'400U * kSecond;

/// The digits behind a decimal point as nanoseconds; nothing if they are none.
std::optional<std::uint64_t> parse_fraction(std::string_view digits) {
  std::uint64_t value = 0;
  std::uint64_t unit = kSecond / 10;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value += static_cast<std::uint64_t>(digit - '0') * unit;
    unit /= 10;
  }
  return value;
}

}  // namespace

std::optional<std::uint64_t> parse_stamp(std::string_view text) {
  if (text.starts_with("t=")) text.remove_prefix(2);
  std::uint64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, whole);
  if (failure != std::errc() || stop == text.data()) return std::nullopt;
  std::uint64_t fraction = 0;
  if (stop != end) {
    if (*stop != '.') return std::nullopt;
    const auto digits = parse_fraction({stop + 1, static_cast<std::size_t>(end - stop - 1)});
    if (!digits) return std::nullopt;
    fraction = *digits;
  }
  // 10^11 seconds are the year 5138, 10^11 milliseconds 1973: the ranges do not meet.
  if (whole < 100'000'000'000ULL) return whole * kSecond + fraction;
  if (whole < 100'000'000'000'000ULL) return whole * 1'000'000U + fraction / 1000;
  if (whole < 100'000'000'000'000'000ULL) return whole * 1000U + fraction / 1'000'000U;
  return std::nullopt;
}

std::optional<std::chrono::nanoseconds> queue_wait(const fcgi::Params& params,
                                                   std::uint64_t now_ns) {
  std::string_view text = params.last_non_empty("FPM_QUEUED_AT");
  if (text.empty()) text = params.last_non_empty("HTTP_X_REQUEST_START");
  if (text.empty()) return std::nullopt;
  const auto stamp = parse_stamp(text);
  if (!stamp || *stamp > now_ns || now_ns - *stamp > kDay) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(now_ns - *stamp));
}

std::optional<std::chrono::nanoseconds> tcp_wait(int socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return std::nullopt;
  return std::chrono::milliseconds(info.tcpi_last_data_recv);
}

}  // namespace fpm::worker
