// When a worker has done enough and makes room for a fresh one.
#pragma once

#include <cstdint>
#include <optional>

#include "fpm/config/config.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::worker {

/// pm.max_requests (with jitter), pm.max_worker_lifetime (+-10 %) and pm.max_memory of one worker.
class Lifespan {
 public:
  /// `random` decides jitter, so that workers that started together do not end together.
  Lifespan(const config::Pool& pool, std::uint64_t now_ns, std::uint64_t random);

  /// The request that begins now is this worker's last: the number it may serve is reached with
  /// it, or its time is over. `served`: before it.
  bool is_last(std::uint64_t served, std::uint64_t now_ns) const;

  /// Looks at the private memory of this process and of what `handler`, if given, owns, at most once a second.
  /// Called after a request. Blocks for some 100 us when it looks. Source: proc(5) smaps_rollup.
  bool grown_too_large(std::uint64_t now_ns, const handlers::Handler* handler = nullptr);

  /// Requests it may serve; 0: any number.
  std::uint64_t max_requests() const { return max_requests_; }
  /// CLOCK_MONOTONIC of its end; 0: never.
  std::uint64_t ends_at_ns() const { return ends_at_ns_; }

 private:
  std::uint64_t max_requests_ = 0;
  std::uint64_t ends_at_ns_ = 0;
  std::uint64_t max_memory_;
  std::uint64_t looked_ns_ = 0;
};

/// What this process has for itself, cheaply: resident less shared, from statm, 7 us. Where there is no /proc
/// it stays unknown.
class OwnMemory {
 public:
  /// @return bytes, 0: unknown; nothing: it was looked at less than a second ago.
  std::optional<std::uint64_t> look(std::uint64_t now_ns);

 private:
  std::uint64_t looked_ns_ = 0;
};

/// Private bytes of this process, from smaps_rollup; 0 if it cannot be read.
std::uint64_t private_memory();

}  // namespace fpm::worker
