#include "fpm/worker/lifespan.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "fpm/os/fd.hpp"

namespace fpm::worker {

namespace {
constexpr std::uint64_t kSecond = 1'000'000'000U;
}

Lifespan::Lifespan(const config::Pool& pool, std::uint64_t now_ns, std::uint64_t random)
    : max_memory_(pool.max_memory) {
  if (pool.max_requests > 0) {
    const auto jitter = static_cast<std::uint64_t>(pool.max_requests_jitter);
    max_requests_ = static_cast<std::uint64_t>(pool.max_requests) + random % (jitter + 1);
  }
  if (pool.max_worker_lifetime.count() > 0) {
    const auto limit = static_cast<std::uint64_t>(pool.max_worker_lifetime.count()) * 1'000'000U;
    // 90 % to 110 %, in steps of a thousandth.
    ends_at_ns_ = now_ns + limit / 1000 * (900 + (random >> 32) % 201);
  }
}

bool Lifespan::is_last(std::uint64_t served, std::uint64_t now_ns) const {
  return (max_requests_ != 0 && served + 1 >= max_requests_) ||
         (ends_at_ns_ != 0 && now_ns >= ends_at_ns_);
}

bool Lifespan::grown_too_large(std::uint64_t now_ns, const handlers::Handler* handler) {
  if (max_memory_ == 0 || now_ns < looked_ns_ + kSecond) return false;
  looked_ns_ = now_ns;
  return private_memory() + (handler != nullptr ? handler->memory() : 0) > max_memory_;
}

std::optional<std::uint64_t> OwnMemory::look(std::uint64_t now_ns) {
  if (now_ns < looked_ns_ + kSecond) return std::nullopt;
  looked_ns_ = now_ns;
  const os::UniqueFd statm(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  std::array<char, 128> text;
  const ssize_t got = statm ? ::read(statm.get(), text.data(), text.size()) : -1;
  if (got <= 0) return 0;
  std::array<std::uint64_t, 3> pages{};  // size, resident, shared
  const char* at = text.data();
  const char* const end = at + got;
  for (std::uint64_t& number : pages) {
    at = std::from_chars(at, end, number).ptr;
    if (at < end) ++at;
  }
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return (pages[1] - std::min(pages[1], pages[2])) * page;
}

std::uint64_t private_memory() {
  const os::UniqueFd file(::open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC));
  if (!file) return 0;
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
  if (got <= 0) return 0;
  std::string_view text(buffer.data(), static_cast<std::size_t>(got));
  std::uint64_t sum_kb = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with("Private_")) continue;
    const std::size_t at = line.find_first_of("0123456789");
    if (at == std::string_view::npos) continue;
    std::uint64_t kb = 0;
    std::from_chars(line.data() + at, line.data() + line.size(), kb);
    sum_kb += kb;
  }
  return sum_kb * 1024;
}

}  // namespace fpm::worker
