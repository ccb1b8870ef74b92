// A pool's scoreboard: made by the master, written by its workers, read by whoever shows it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "fpm/os/shared_memory.hpp"
#include "fpm/scoreboard/layout.hpp"
#include "fpm/scoreboard/parking.hpp"
#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::scoreboard {

/// The only writer of one slot. Costs some 10 ns a request; never blocks, never fails.
class Pen {
 public:
  Pen() = default;
  Pen(std::atomic<std::uint8_t>& stage, Slot& slot) : stage_(&stage), slot_(&slot) {}

  /// Enters a stage, with bits of layout.hpp. seq_cst: the look at `draining` that may follow must
  /// come after it.
  void enter(Stage stage, std::uint8_t bits = 0) {
    const auto byte = static_cast<unsigned>(static_cast<std::uint8_t>(stage)) | bits;
    stage_->store(static_cast<std::uint8_t>(byte), std::memory_order_seq_cst);
  }
  Stage stage() const {
    return static_cast<Stage>(stage_->load(std::memory_order_relaxed) & kStageMask);
  }

  /// Several fields as one change: readers see all of them or none.
  template <class Write>
  void update(Write&& write) {
    const std::uint64_t before = slot_->sequence.load(std::memory_order_relaxed);
    slot_->sequence.store(before | 1, std::memory_order_relaxed);
    write(*this);
    slot_->sequence.store((before | 1) + 1, std::memory_order_release);
  }

  // Inside update() only.
  void number(Field field, std::uint64_t value) { word(static_cast<std::size_t>(field), value); }
  void text(const TextField& field, std::string_view text);

  /// One word, by a signal handler that may have struck in the middle of an update().
  void mark(Field field, std::uint64_t value) { number(field, value); }

  std::uint64_t read(Field field) const {
    return slot_->words[static_cast<std::size_t>(field)].load(std::memory_order_relaxed);
  }

 private:
  void word(std::size_t index, std::uint64_t value) {
    // Release, so that a reader who sees this word also sees the odd sequence before it.
    slot_->words[index].store(value, std::memory_order_release);
  }

  std::atomic<std::uint8_t>* stage_ = nullptr;
  Slot* slot_ = nullptr;
};

/// Where the answer of a request goes, for whoever gives it in place of a worker that does not react.
/// A worker may have written anything here.
struct Client {
  std::uint64_t request_started_ns = 0;
  std::uint64_t request_id = 0;  ///< of FastCGI; 0: not known yet
  std::uint64_t connection = 0;  ///< number of the worker's descriptor
  bool answer_begun = false;     ///< something of an answer may have been sent
};

/// The mapping of one pool and generation. Trusts nothing that it reads: a worker may have written
/// anything there.
class Board {
 public:
  /// Room for `slots` workers, all vacant. Made before the generation's first fork.
  static os::Result<Board> create(int slots);
  /// Another process's look at the memory of create(slots), through a descriptor opened O_RDONLY,
  /// which is not kept: only what is const may be called. Errors: EINVAL if it is no such memory.
  static os::Result<Board> attach(int fd, int slots);

  /// The memory of create(slots) of the master, by its descriptor, in a process that did not inherit the
  /// mapping. Errors: EINVAL if it is no such memory.
  static os::Result<Board> join(int fd, int slots);

  /// Not made yet: no slots, all counts are 0, and there is no pulse.
  Board() = default;
  explicit operator bool() const { return pulse_ != nullptr; }

  int slots() const { return slots_; }
  Pulse& pulse() const { return *pulse_; }
  Pen pen(int slot) const { return Pen(stages_[slot], slots_begin_[slot]); }
  Stage stage(int slot) const;
  Parking parking() const { return Parking(*pulse_, stages_, parking_words_, slots_); }

  /// Master: gives a vacant slot to a worker that is about to be forked.
  void occupy(int slot);
  /// Master: the slot's worker has ended. Closes the counter that it may have left open, so that
  /// the slot can be read and given away again.
  void vacate(int slot);

  /// One worker's fields; nothing when the slot kept changing during 64 tries or is vacant.
  std::optional<WorkerSnapshot> worker(int slot, std::uint64_t now_monotonic_ns) const;
  /// The part of it that deadlines need; `started` may be torn in the same cases (then 0).
  Moment moment(int slot) const;

  /// Nothing while the slot is being written, be it by a worker that was stopped in the middle of it.
  std::optional<Client> client(int slot) const;

  /// Idle and active workers, counted from the stages.
  struct Counts {
    int idle = 0;      ///< in stage accepting, kept connections included
    int active = 0;    ///< in a request
    int starting = 0;  ///< forked, not yet at its first accept
    int kept = 0;      ///< those of idle that wait on a kept connection
    int last = 0;      ///< those of active that end after this request
    int retiring = 0;  ///< those of idle and active that serve until a successor does
  };
  Counts counts() const;
  /// The worker has done enough and serves until a successor does.
  bool retires(int slot) const;

  /// Whether a worker other than `but` waits in accept itself, not on a kept connection. Stops at
  /// the first that does.
  bool anyone_accepts(int but) const;

  /// The pool's part of a status page: everything that shared memory knows. `full`: with workers.
  PoolSnapshot snapshot(bool full) const;

  const os::SharedMemory& memory() const { return memory_; }

 private:
  static Board over(os::SharedMemory memory, std::size_t slots);

  std::uint64_t memory_of(int slot) const;

  os::SharedMemory memory_;
  Pulse* pulse_ = nullptr;
  std::atomic<std::uint8_t>* stages_ = nullptr;
  std::atomic<std::uint32_t>* parking_words_ = nullptr;
  Slot* slots_begin_ = nullptr;
  int slots_ = 0;
};

/// CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds; no system call (vdso(7)).
std::uint64_t monotonic_ns();
std::uint64_t realtime_ns();
/// A moment of CLOCK_REALTIME that was read from shared memory, bounded so that whoever prints it does not
/// overflow the calendar.
std::chrono::system_clock::time_point as_time(std::uint64_t realtime_ns);

}  // namespace fpm::scoreboard
