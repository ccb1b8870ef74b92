// What lies in a pool's shared memory, and where.
//
//   Pulse        words that workers and master share about the pool as a whole
//   stages       one byte a slot, together, so that a look at 10,000 workers reads 10 KB
//   parking      one word a slot, on which its worker sleeps while it is not needed in accept
//   slots        one Slot each: a sequence counter and the words behind it
//
// Every slot has one writer: its worker, and after that worker's end the master. There is no lock
// that a killed worker could leave behind. All fields are lock-free and address-free atomics.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fpm::scoreboard {

/// Numbers of a slot: the index of each is its place among the slot's words.
enum class Field : std::size_t {
  pid,
  started_ns,          ///< of the process, CLOCK_REALTIME
  requests,            ///< served, without the one under way
  request_started_ns,  ///< CLOCK_MONOTONIC: the first byte of the request; 0: none yet
  duration_ns,         ///< of the last request that ended
  content_length,
  status,        ///< HTTP status of the answer; 0: not begun
  cpu_permyriad, ///< of the last request: hundredths of a percent of one processor
  memory_bytes,  ///< of the last request
  private_bytes, ///< resident less shared of the worker, looked at once a second at most
  request_id,    ///< of FastCGI, of the request under way
  connection,    ///< number of the worker's descriptor of the client; 0: none
  answer_begun,  ///< 1: set before the first byte of an answer leaves; or kAnswerComplete
  from_door,     ///< 1: the request under way came through the pool's door
  slow_told,     ///< 1: the slow log has an entry of the request under way
  expired_ns,    ///< CLOCK_MONOTONIC: when the worker gave up the request under way; 0: it has not
  count,
};

/// Of answer_begun: the client has all of its answer, and the handler works on.
inline constexpr std::uint64_t kAnswerComplete = 2;

/// A string of a slot: words from `first` on; cut to fit, ended by a zero byte.
struct TextField {
  std::size_t first;
  std::size_t words;
  constexpr std::size_t capacity() const { return words * 8 - 1; }
};

inline constexpr std::size_t kNumbers = static_cast<std::size_t>(Field::count);
inline constexpr TextField kMethod{kNumbers, 2};
inline constexpr TextField kUser{kMethod.first + kMethod.words, 4};
inline constexpr TextField kUri{kUser.first + kUser.words, 64};
inline constexpr TextField kQuery{kUri.first + kUri.words, 256};
inline constexpr TextField kScript{kQuery.first + kQuery.words, 64};
inline constexpr TextField kRequestId{kScript.first + kScript.words, 8};
inline constexpr TextField kRemote{kRequestId.first + kRequestId.words, 6};
inline constexpr std::size_t kWords = kRemote.first + kRemote.words;

/// Bits of a stage byte beside the stage itself.
inline constexpr std::uint8_t kStageMask = 0x0f;
inline constexpr std::uint8_t kKeptBit = 0x80;  ///< accepting, but on a kept connection
inline constexpr std::uint8_t kParkedBit = 0x10;  ///< accepting, but not needed in accept for now
inline constexpr std::uint8_t kLastBit = 0x40;  ///< in a request after which the worker ends
inline constexpr std::uint8_t kRetiringBit = 0x20;  ///< has done enough, serves until a successor does

struct alignas(64) Slot {
  /// Odd while the words are being written.
  std::atomic<std::uint64_t> sequence;
  std::array<std::atomic<std::uint64_t>, kWords> words;
};

/// What a worker does when it would accept again.
enum class Draining : std::uint32_t {
  no,
  leave,        ///< it ends: others take what waits in the queue
  serve_queue,  ///< it takes what waits in the queue, which is non-blocking now, and then ends
};

/// What workers and master tell each other of the generation as a whole; each group on a cache line of
/// its own, since every request touches some.
struct Pulse {
  /// How many workers wait in accept, or are parked. A hint that wakes the master in time; never shown.
  alignas(64) std::atomic<std::int32_t> spare;
  /// How many of them are parked, see parking.hpp. A hint, too.
  std::atomic<std::int32_t> parked;
  /// 1: the worker that leaves fewer than `threshold` in accept clears it and writes to the pool's
  /// eventfd.
  std::atomic<std::uint32_t> armed;
  std::atomic<std::int32_t> threshold;
  /// Not 0: a worker that reaches accept for the first time writes to the eventfd too. 2: and one that
  /// cannot start gives up, because an old generation serves.
  std::atomic<std::uint32_t> announce;
  /// So many workers that retire may end: their successors serve.
  std::atomic<std::int32_t> relieved;
  /// Counted up when logs were opened anew: workers read their channel before the next line.
  std::atomic<std::uint32_t> log_generation;
  /// A Draining: whether workers accept again.
  alignas(64) std::atomic<std::uint32_t> draining;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint8_t>::is_always_lock_free);

}  // namespace fpm::scoreboard
