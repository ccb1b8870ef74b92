#include "fpm/http/limits.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace fpm::http {

bool Descriptors::take(Ticket ticket) {
  if (row_.empty() && is_free()) {
    ++used_;
    return true;
  }
  row_.push_back(ticket);
  return false;
}

bool Descriptors::try_take() {
  if (!row_.empty() || !is_free()) return false;
  ++used_;
  return true;
}

void Descriptors::leave(Ticket ticket) {
  row_.erase(std::remove(row_.begin(), row_.end(), ticket), row_.end());
}

Descriptors::Ticket Descriptors::next() {
  if (row_.empty() || !is_free()) return 0;
  const Ticket ticket = row_.front();
  row_.pop_front();
  ++used_;
  return ticket;
}

std::vector<std::string> AcceptGate::look(std::size_t open_files, std::size_t file_limit,
                                          std::size_t connections, std::size_t most_connections) {
  std::vector<std::string> lines;
  if (!too_many_files_ && open_files * 10 > file_limit * 9) {
    too_many_files_ = true;
    lines.push_back(fmt::format("no more connections are accepted: {} of {} files are open",
                                open_files, file_limit));
  } else if (too_many_files_ && open_files * 10 < file_limit * 8) {
    too_many_files_ = false;
    lines.push_back(fmt::format("{} of {} files are open: connections are accepted again",
                                open_files, file_limit));
  }
  if (!too_many_connections_ && connections >= most_connections) {
    too_many_connections_ = true;
    lines.push_back(fmt::format("no more connections are accepted: {} are open, {} are the most",
                                connections, most_connections));
  } else if (too_many_connections_ && connections * 10 < most_connections * 9) {
    too_many_connections_ = false;
    lines.push_back(fmt::format("{} of at most {} connections are open: they are accepted again",
                                connections, most_connections));
  }
  return lines;
}

std::uint64_t RateLimit::allowance(std::uint64_t now_ns) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  // At least one segment, else a low rate would send byte by byte.
  const std::uint64_t burst = std::max<std::uint64_t>(rate_ / 4, 1460);
  const std::uint64_t passed = last_ns_ == 0 ? kSecond : std::min(now_ns - last_ns_, kSecond);
  const auto earned =
      static_cast<std::uint64_t>(static_cast<double>(rate_) * static_cast<double>(passed) / 1e9);
  if (earned > 0 || last_ns_ == 0) {
    credit_ = std::min(credit_ + earned, burst);
    last_ns_ = now_ns;
  }
  return credit_;
}

}  // namespace fpm::http
