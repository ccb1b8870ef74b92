// Sleeping on a word of memory that processes share.
#pragma once

#include <atomic>
#include <cstdint>

namespace fpm::os {

/// Sleeps while `word` is `value`, until futex_wake() or a signal; returns at once when it is not.
/// @return false: a signal ended it. Source: futex(2) FUTEX_WAIT.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value);
/// Wakes who sleeps on `word`, one at most. Does not block. Async-signal-safe. Source: futex(2) FUTEX_WAKE.
void futex_wake(std::atomic<std::uint32_t>& word);

}  // namespace fpm::os
