#include "fpm/scoreboard/parking.hpp"

#include "fpm/os/futex.hpp"
#include "fpm/scoreboard/stage.hpp"

namespace fpm::scoreboard {

void Parking::enter(int slot) {
  words_[slot].store(1, std::memory_order_seq_cst);
  pulse_->parked.fetch_add(1, std::memory_order_seq_cst);
  // Whoever left accept before this saw no one parked: the look here is for that.
  if (in_accept() < kFewestInAccept) unpark(slot);
}

void Parking::sleep(int slot) {
  while (words_[slot].load(std::memory_order_seq_cst) == 1) {
    if (!os::futex_wait(words_[slot], 1)) return;
  }
}

bool Parking::unpark(int slot) {
  std::uint32_t one = 1;
  if (!words_[slot].compare_exchange_strong(one, 0, std::memory_order_seq_cst)) return false;
  pulse_->parked.fetch_sub(1, std::memory_order_seq_cst);
  return true;
}

/// The lowest slot: so it is the same few that serve, and their memory stays warm.
void Parking::wake_one() {
  for (int slot = 0; slot < slots_; ++slot) {
    if (words_[slot].load(std::memory_order_relaxed) != 1 || !unpark(slot)) continue;
    os::futex_wake(words_[slot]);
    return;
  }
}

void Parking::correct() {
  if (!is_used()) return;
  std::int32_t hint = pulse_->parked.load(std::memory_order_seq_cst);
  std::int32_t parked = 0;
  std::int32_t in_accept = 0;
  for (int slot = 0; slot < slots_; ++slot) {
    const unsigned byte = stages_[slot].load(std::memory_order_seq_cst);
    if (static_cast<Stage>(byte & kStageMask) != Stage::accepting || (byte & kKeptBit) != 0) continue;
    if (words_[slot].load(std::memory_order_seq_cst) == 1) {
      ++parked;
    } else {
      ++in_accept;
      if ((byte & kParkedBit) != 0) os::futex_wake(words_[slot]);
    }
  }
  // Left alone when a worker has just changed it.
  pulse_->parked.compare_exchange_strong(hint, parked, std::memory_order_seq_cst);
  for (; in_accept < kFewestInAccept && parked > 0; ++in_accept, --parked) wake_one();
}

}  // namespace fpm::scoreboard
