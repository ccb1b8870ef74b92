#include "fpm/scoreboard/door_board.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

namespace fpm::scoreboard {

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::string read_words(const std::atomic<std::uint64_t>* words, std::size_t count) {
  std::string text(count * sizeof(std::uint64_t), '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t word = words[i].load(kRelaxed);
    std::memcpy(text.data() + i * sizeof word, &word, sizeof word);
  }
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

/// How many slots memory of that size has; nothing if it is none of ours.
os::Result<std::size_t> slots_in(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) < 0) return os::last_error("fstat");
  const auto bytes = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  const std::size_t room = bytes < sizeof(DoorBoard::Head) ? 0 : bytes - sizeof(DoorBoard::Head);
  const std::size_t slots = room / sizeof(DoorBoard::Slot);
  if (slots == 0 || slots > DoorBoard::kMostSlots) return os::Error(EINVAL, "a door's memory");
  return slots;
}

}  // namespace

void write_words(std::string_view text, std::atomic<std::uint64_t>* words, std::size_t count) {
  text = text.substr(0, count * sizeof(std::uint64_t) - 1);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t word = 0;
    const std::string_view piece = text.substr(0, sizeof word);
    piece.copy(reinterpret_cast<char*>(&word), piece.size());
    words[i].store(word, kRelaxed);
    text.remove_prefix(piece.size());
    if (piece.size() < sizeof word) break;  // this one ends in a zero byte
  }
}

void DoorCounts::add(const DoorCounts& other) {
  for (std::size_t i = 0; i < connections.size(); ++i) connections[i] += other.connections[i];
  for (std::size_t i = 0; i < statuses.size(); ++i) statuses[i] += other.statuses[i];
  accepted += other.accepted;
  requests += other.requests;
  passed += other.passed;
  bytes_out += other.bytes_out;
  bytes_in += other.bytes_in;
  aborted += other.aborted;
  queue_full += other.queue_full;
  queue_timeout += other.queue_timeout;
  retried += other.retried;
  refused += other.refused;
}

std::uint64_t DoorCounts::all_connections() const {
  return std::accumulate(connections.begin(), connections.end(), std::uint64_t{0});
}

os::Result<DoorBoard> DoorBoard::create(std::size_t slots) {
  DoorBoard board;
  board.slots_ = std::clamp<std::size_t>(slots, 1, kMostSlots);
  auto memory = os::SharedMemory::create("fpm-door", sizeof(Head) + board.slots_ * sizeof(Slot));
  if (!memory) return memory.error();
  board.memory_ = std::move(*memory);
  return board;
}

os::Result<DoorBoard> DoorBoard::attach_writable(int fd) {
  const auto slots = slots_in(fd);
  if (!slots) return slots.error();
  auto memory = os::SharedMemory::map_writable(fd, sizeof(Head) + *slots * sizeof(Slot));
  if (!memory) return memory.error();
  DoorBoard board;
  board.memory_ = std::move(*memory);
  board.slots_ = *slots;
  return board;
}

os::Result<DoorBoard> DoorBoard::attach(int fd) {
  const auto slots = slots_in(fd);
  if (!slots) return slots.error();
  auto memory = os::SharedMemory::map_read_only(fd, sizeof(Head) + *slots * sizeof(Slot));
  if (!memory) return memory.error();
  DoorBoard board;
  board.memory_ = std::move(*memory);
  board.slots_ = *slots;
  return board;
}

DoorBoard::Slot& DoorBoard::slot(std::size_t index) const {
  return reinterpret_cast<Slot*>(static_cast<char*>(memory_.data()) + sizeof(Head))[index];
}

DoorCounts DoorBoard::counts() const {
  DoorCounts counts;
  if (!*this) return counts;
  const Head& from = head();
  for (std::size_t i = 0; i < kDoorStates; ++i) {
    counts.connections[i] = from.connections[i].load(kRelaxed);
  }
  for (std::size_t i = 0; i < counts.statuses.size(); ++i) {
    counts.statuses[i] = from.statuses[i].load(kRelaxed);
  }
  counts.accepted = from.accepted.load(kRelaxed);
  counts.requests = from.requests.load(kRelaxed);
  counts.passed = from.passed.load(kRelaxed);
  counts.bytes_out = from.bytes_out.load(kRelaxed);
  counts.bytes_in = from.bytes_in.load(kRelaxed);
  counts.aborted = from.aborted.load(kRelaxed);
  counts.queue_full = from.queue_full.load(kRelaxed);
  counts.queue_timeout = from.queue_timeout.load(kRelaxed);
  counts.retried = from.retried.load(kRelaxed);
  counts.refused = from.refused.load(kRelaxed);
  return counts;
}

std::size_t DoorBoard::used_slots() const {
  return std::min<std::size_t>(head().used_slots.load(kRelaxed), slots_);
}

std::optional<DoorConnection> DoorBoard::connection(std::size_t index) const {
  const Slot& from = slot(index);
  const std::uint64_t state = from.state.load(kRelaxed);
  if (state == 0 || state > kDoorStates) return std::nullopt;
  DoorConnection one;
  one.state = static_cast<DoorState>(state - 1);
  one.opened_ns = from.opened_ns.load(kRelaxed);
  one.changed_ns = from.changed_ns.load(kRelaxed);
  one.bytes_in = from.bytes_in.load(kRelaxed);
  one.bytes_out = from.bytes_out.load(kRelaxed);
  one.requests = from.requests.load(kRelaxed);
  one.remote = read_words(from.remote.data(), from.remote.size());
  one.request = read_words(from.request.data(), from.request.size());
  return one;
}

void DoorBoard::move_counters(const DoorBoard& to) const {
  if (!*this || !to) return;
  Head& from = head();
  Head& into = to.head();
  const auto move = [](std::atomic<std::uint64_t>& one, std::atomic<std::uint64_t>& other) {
    other.fetch_add(one.exchange(0, kRelaxed), kRelaxed);
  };
  move(from.accepted, into.accepted);
  move(from.requests, into.requests);
  move(from.passed, into.passed);
  move(from.bytes_out, into.bytes_out);
  move(from.bytes_in, into.bytes_in);
  move(from.aborted, into.aborted);
  move(from.queue_full, into.queue_full);
  move(from.queue_timeout, into.queue_timeout);
  move(from.retried, into.retried);
  move(from.refused, into.refused);
  for (std::size_t i = 0; i < from.statuses.size(); ++i) move(from.statuses[i], into.statuses[i]);
}

void DoorBoard::forget_connections() const {
  if (!*this) return;
  const std::size_t used = used_slots();
  for (std::size_t i = 0; i < used; ++i) slot(i).state.store(0, kRelaxed);
  for (auto& count : head().connections) count.store(0, kRelaxed);
}

std::vector<DoorConnection> oldest_connections(std::span<const DoorBoard* const> boards,
                                               std::size_t most) {
  struct Place {
    std::uint64_t opened_ns;
    const DoorBoard* board;
    std::size_t slot;
  };
  // The strings, which are most of the work, of those alone that are shown.
  std::vector<Place> places;
  for (const DoorBoard* const board : boards) {
    const std::size_t used = *board ? board->used_slots() : 0;
    for (std::size_t i = 0; i < used; ++i) {
      const DoorBoard::Slot& slot = board->slot(i);
      if (slot.state.load(kRelaxed) == 0) continue;
      places.push_back({slot.opened_ns.load(kRelaxed), board, i});
    }
  }
  const std::size_t shown = std::min(places.size(), most);
  std::partial_sort(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(shown), places.end(),
                    [](const Place& a, const Place& b) { return a.opened_ns < b.opened_ns; });
  std::vector<DoorConnection> oldest;
  oldest.reserve(shown);
  for (std::size_t i = 0; i < shown; ++i) {
    if (auto one = places[i].board->connection(places[i].slot)) oldest.push_back(std::move(*one));
  }
  return oldest;
}

}  // namespace fpm::scoreboard
