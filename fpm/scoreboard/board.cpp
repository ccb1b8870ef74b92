#include "fpm/scoreboard/board.hpp"

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace fpm::scoreboard {

namespace {

constexpr std::size_t kAlignment = 64;

constexpr std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

std::uint64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
std::uint64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }

std::chrono::system_clock::time_point as_time(std::uint64_t ns) {
  constexpr std::uint64_t kYear2200 = 7'258'118'400ULL * 1'000'000'000U;
  const auto bounded = static_cast<std::int64_t>(std::min(ns, kYear2200));
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::nanoseconds(bounded)));
}

void Pen::text(const TextField& field, std::string_view text) {
  const std::size_t length = std::min(text.size(), field.capacity());
  // Only the words that are used, and the one with the zero byte.
  for (std::size_t i = 0; i * 8 <= length; ++i) {
    std::uint64_t value = 0;
    // An empty view may have no address, which memcpy must not be given even for no bytes.
    const std::size_t bytes = std::min<std::size_t>(8, length - i * 8);
    if (bytes > 0) std::memcpy(&value, text.data() + i * 8, bytes);
    word(field.first + i, value);
  }
}

namespace {

/// Where the parts of a mapping for so many slots begin.
struct Layout {
  explicit Layout(std::size_t slots)
      : parking_at(stages_at + aligned(slots)),
        slots_at(parking_at + aligned(slots * sizeof(std::uint32_t))),
        bytes(slots_at + slots * sizeof(Slot)) {}

  std::size_t stages_at = aligned(sizeof(Pulse));
  std::size_t parking_at;
  std::size_t slots_at;
  std::size_t bytes;
};

/// More than any pool has; a number from another process must not overflow.
constexpr int kMostSlots = 1 << 20;

}  // namespace

Board Board::over(os::SharedMemory memory, std::size_t slots) {
  const Layout layout(slots);
  Board board;
  board.memory_ = std::move(memory);
  auto* base = static_cast<std::byte*>(board.memory_.data());
  // Zeroed memory is a valid state of every one of these atomics.
  board.pulse_ = std::launder(reinterpret_cast<Pulse*>(base));
  board.stages_ =
      std::launder(reinterpret_cast<std::atomic<std::uint8_t>*>(base + layout.stages_at));
  board.parking_words_ =
      std::launder(reinterpret_cast<std::atomic<std::uint32_t>*>(base + layout.parking_at));
  board.slots_begin_ = std::launder(reinterpret_cast<Slot*>(base + layout.slots_at));
  board.slots_ = static_cast<int>(slots);
  return board;
}

os::Result<Board> Board::create(int slots) {
  const auto count = static_cast<std::size_t>(slots);
  auto memory = os::SharedMemory::create("fpm-scoreboard", Layout(count).bytes);
  if (!memory) return memory.error();
  return over(std::move(*memory), count);
}

os::Result<Board> Board::attach(int fd, int slots) {
  if (slots < 1 || slots > kMostSlots) return os::Error(EINVAL, "attach a scoreboard");
  const auto count = static_cast<std::size_t>(slots);
  auto memory = os::SharedMemory::map_read_only(fd, Layout(count).bytes);
  if (!memory) return memory.error();
  return over(std::move(*memory), count);
}

os::Result<Board> Board::join(int fd, int slots) {
  if (slots < 1 || slots > kMostSlots) return os::Error(EINVAL, "join a scoreboard");
  const auto count = static_cast<std::size_t>(slots);
  auto memory = os::SharedMemory::map_writable(fd, Layout(count).bytes);
  if (!memory) return memory.error();
  return over(std::move(*memory), count);
}

Stage Board::stage(int slot) const {
  return static_cast<Stage>(stages_[slot].load(std::memory_order_acquire) & kStageMask);
}

void Board::occupy(int slot) { pen(slot).enter(Stage::starting); }

void Board::vacate(int slot) {
  Pen writer = pen(slot);
  parking().unpark(slot);
  writer.enter(Stage::vacant);
  writer.update([](Pen& pen) {
    for (std::size_t i = 0; i < kNumbers; ++i) pen.number(static_cast<Field>(i), 0);
    for (const TextField& field : {kMethod, kUser, kUri, kQuery, kScript, kRequestId, kRemote}) {
      pen.text(field, {});
    }
  });
}

namespace {

/// The words of one slot, copied while nobody wrote.
struct Copy {
  std::array<std::uint64_t, kWords> words;

  std::uint64_t number(Field field) const { return words[static_cast<std::size_t>(field)]; }

  std::string text(const TextField& field) const {
    const auto* begin = reinterpret_cast<const char*>(&words[field.first]);
    const std::size_t length = ::strnlen(begin, field.capacity());
    return std::string(begin, length);
  }
};

bool copy_slot(const Slot& slot, Copy& copy) {
  for (int attempt = 0; attempt < 64; ++attempt) {
    const std::uint64_t before = slot.sequence.load(std::memory_order_acquire);
    if ((before & 1) != 0) continue;
    for (std::size_t i = 0; i < kWords; ++i) {
      copy.words[i] = slot.words[i].load(std::memory_order_acquire);
    }
    if (slot.sequence.load(std::memory_order_relaxed) == before) return true;
  }
  return false;
}

std::chrono::microseconds as_microseconds(std::uint64_t ns) {
  return std::chrono::microseconds(static_cast<std::int64_t>(ns / 1000));
}

}  // namespace

std::optional<WorkerSnapshot> Board::worker(int slot, std::uint64_t now_monotonic_ns) const {
  WorkerSnapshot seen;
  seen.slot = slot;
  seen.stage = stage(slot);
  if (seen.stage == Stage::vacant) return std::nullopt;
  Copy copy{};
  if (!copy_slot(slots_begin_[slot], copy)) return std::nullopt;
  seen.pid = static_cast<pid_t>(copy.number(Field::pid));
  seen.started = as_time(copy.number(Field::started_ns));
  seen.requests = copy.number(Field::requests);
  // As php-fpm, whose count includes the request under way; in stage finished it is in already.
  if (is_active(seen.stage) && seen.stage != Stage::finished) ++seen.requests;
  const std::uint64_t began = copy.number(Field::request_started_ns);
  seen.request_duration = as_microseconds(copy.number(Field::duration_ns));
  if (is_active(seen.stage) && began != 0 && now_monotonic_ns >= began) {
    seen.request_duration = as_microseconds(now_monotonic_ns - began);
  }
  seen.method = copy.text(kMethod);
  seen.uri = copy.text(kUri);
  seen.query = copy.text(kQuery);
  seen.content_length = copy.number(Field::content_length);
  seen.user = copy.text(kUser);
  seen.remote = copy.text(kRemote);
  seen.request_id = copy.text(kRequestId);
  seen.from_door = copy.number(Field::from_door) != 0;
  seen.status = static_cast<int>(copy.number(Field::status) % 1000);
  seen.script = copy.text(kScript);
  seen.memory = copy.number(Field::private_bytes);
  if (is_idle(seen.stage)) {
    seen.last_cpu_percent = static_cast<double>(copy.number(Field::cpu_permyriad)) / 100.0;
    seen.last_memory = copy.number(Field::memory_bytes);
  }
  return seen;
}

Moment Board::moment(int slot) const {
  Moment moment;
  moment.slot = slot;
  const unsigned byte = stages_[slot].load(std::memory_order_acquire);
  moment.stage = static_cast<Stage>(byte & kStageMask);
  moment.kept = is_idle(moment.stage) && (byte & kKeptBit) != 0;
  const Slot& data = slots_begin_[slot];
  const auto load = [&](Field field) {
    return data.words[static_cast<std::size_t>(field)].load(std::memory_order_acquire);
  };
  // A single word cannot be torn; that the two belong to one request the caller does not need.
  moment.request_started_ns = load(Field::request_started_ns);
  moment.slow_told = load(Field::slow_told) != 0;
  moment.expired_ns = load(Field::expired_ns);
  moment.answered = load(Field::answer_begun) == kAnswerComplete;
  moment.idle_since_ns = moment.request_started_ns + load(Field::duration_ns);
  return moment;
}

std::optional<Client> Board::client(int slot) const {
  Copy copy{};
  if (!copy_slot(slots_begin_[slot], copy)) return std::nullopt;
  return Client{copy.number(Field::request_started_ns), copy.number(Field::request_id),
                copy.number(Field::connection), copy.number(Field::answer_begun) != 0};
}

Board::Counts Board::counts() const {
  Counts counts;
  for (int slot = 0; slot < slots_; ++slot) {
    const unsigned byte = stages_[slot].load(std::memory_order_acquire);
    const Stage now = static_cast<Stage>(byte & kStageMask);
    if ((byte & kRetiringBit) != 0) ++counts.retiring;
    if (is_idle(now)) {
      ++counts.idle;
      if ((byte & kKeptBit) != 0) ++counts.kept;
    } else if (is_active(now)) {
      ++counts.active;
      if ((byte & kLastBit) != 0) ++counts.last;
    } else if (now == Stage::starting) {
      ++counts.starting;
    }
  }
  return counts;
}

bool Board::retires(int slot) const {
  return (stages_[slot].load(std::memory_order_acquire) & kRetiringBit) != 0;
}

bool Board::anyone_accepts(int but) const {
  for (int slot = 0; slot < slots_; ++slot) {
    const unsigned byte = stages_[slot].load(std::memory_order_seq_cst);
    const unsigned waits = byte & ~static_cast<unsigned>(kRetiringBit | kParkedBit);
    if (slot != but && waits == static_cast<unsigned>(Stage::accepting)) return true;
  }
  return false;
}

/// Bounded: a scribbled number must not spoil the sum.
std::uint64_t Board::memory_of(int slot) const {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 48;
  const auto& word = slots_begin_[slot].words[static_cast<std::size_t>(Field::private_bytes)];
  return std::min(word.load(std::memory_order_relaxed), kMost);
}

PoolSnapshot Board::snapshot(bool full) const {
  PoolSnapshot seen;
  seen.now = std::chrono::system_clock::now();
  const Counts counted = counts();
  seen.idle = static_cast<unsigned>(counted.idle);
  seen.active = static_cast<unsigned>(counted.active);
  for (int slot = 0; slot < slots_; ++slot) {
    const auto now = static_cast<std::size_t>(stage(slot));
    if (now == static_cast<std::size_t>(Stage::vacant)) continue;
    if (now < seen.stages.size()) ++seen.stages[now];
    seen.memory += memory_of(slot);
  }
  if (!full) return seen;
  const std::uint64_t now = monotonic_ns();
  for (int slot = 0; slot < slots_; ++slot) {
    if (auto one = worker(slot, now)) seen.workers.push_back(std::move(*one));
  }
  return seen;
}

void merge(PoolSnapshot& into, const PoolSnapshot& draining) {
  into.idle += draining.idle;
  into.active += draining.active;
  into.memory += draining.memory;
  for (std::size_t i = 0; i < into.stages.size(); ++i) into.stages[i] += draining.stages[i];
  for (WorkerSnapshot worker : draining.workers) {
    worker.of_old_generation = true;
    into.workers.push_back(std::move(worker));
  }
}

}  // namespace fpm::scoreboard
