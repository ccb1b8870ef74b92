// How long a request waited before a worker took it, as far as somebody stamped it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "fcgi/params.hpp"

namespace fpm::worker {

/// The moment a front wrote down, in nanoseconds since the epoch: seconds with or without a
/// fraction, milliseconds or microseconds, told apart by their size, with or without "t=" before
/// them. Nothing if it is none of these.
std::optional<std::uint64_t> parse_stamp(std::string_view text);

/// From the stamp (parameter FPM_QUEUED_AT, which a client cannot set, else HTTP_X_REQUEST_START)
/// to `now_ns` (CLOCK_REALTIME). Nothing without a stamp, or if it lies in the future or more than
/// a day back. Never guessed.
std::optional<std::chrono::nanoseconds> queue_wait(const fcgi::Params& params,
                                                   std::uint64_t now_ns);

/// How long the data of a TCP connection that was just accepted lay there: the wait, if the worker did not
/// wait for it in accept. Nothing if the kernel does not tell. One system call. Source: tcp(7)
/// tcpi_last_data_recv, whose unit is a millisecond.
std::optional<std::chrono::nanoseconds> tcp_wait(int socket);

}  // namespace fpm::worker
