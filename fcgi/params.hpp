// A request's parameters: ordered name-value pairs in one arena, and their wire form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fcgi {

/// One parameter. The views end with the next non-const call on the Params they are from.
struct Param {
  std::string_view name;
  std::string_view value;
};

/// Name-value pairs in the order in which they were added, repeated names included. All bytes lie
/// in one arena that clear() keeps: a Params that is used for one request after the other stops
/// allocating once it has held the largest of them.
class Params {
 public:
  class Iterator;

  /// Appends a pair. Either may be empty, both may hold any byte.
  void add(std::string_view name, std::string_view value);
  /// Forgets all pairs and keeps the memory.
  void clear();
  /// Takes memory for that many pairs and bytes of names and values ahead of time.
  void reserve(std::size_t pairs, std::size_t bytes);

  /// Number of pairs.
  std::size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  /// Bytes of all names and values together, without their lengths; those of a pair that is being
  /// decoded count as they arrive.
  std::size_t bytes() const { return arena_.size(); }
  /// The pair at `index`, which is below size().
  Param operator[](std::size_t index) const;

  /// The value of the first pair of that name, as getenv and libfcgi's FCGX_GetParam have it.
  std::optional<std::string_view> first(std::string_view name) const;
  /// The value of the last pair of that name, as PHP has it.
  std::optional<std::string_view> last(std::string_view name) const;
  /// The last value of that name that is not empty; an empty view if there is none.
  std::string_view last_non_empty(std::string_view name) const;

  Iterator begin() const;
  Iterator end() const;

 private:
  friend class ParamsDecoder;

  struct Entry {
    std::size_t offset;  // of the name in the arena; the value follows it
    std::uint32_t name_length;
    std::uint32_t value_length;
  };

  void enter(const Entry& entry);
  template <class Wanted>
  const Entry* find_last(std::string_view name, Wanted wanted) const;
  bool is_named(const Entry& entry, std::string_view name) const;
  std::string_view value_of(const Entry& entry) const;

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<char> tags_;  // a byte of each entry's name: a look-up compares few names
};

/// Walks over a Params in order and gives each Param by value.
class Params::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = Param;
  using difference_type = std::ptrdiff_t;
  using pointer = const Param*;
  using reference = Param;

  Iterator() = default;
  Iterator(const Params* params, std::size_t index) : params_(params), index_(index) {}
  Param operator*() const { return (*params_)[index_]; }
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  Iterator operator++(int) {
    Iterator before = *this;
    ++index_;
    return before;
  }
  bool operator==(const Iterator&) const = default;

 private:
  const Params* params_ = nullptr;
  std::size_t index_ = 0;
};

inline Params::Iterator Params::begin() const { return Iterator(this, 0); }
inline Params::Iterator Params::end() const { return Iterator(this, size()); }

/// What one request may send. A request beyond it is refused, not cut.
struct Limits {
  /// Bytes of all names and values together.
  std::size_t param_bytes = 256 * 1024;
  /// Number of pairs.
  std::size_t params = 16384;
};

/// Decodes name-value pairs from pieces of any size, split anywhere, even inside a length, and
/// appends each to a Params when all of it is there. Announced lengths are checked against the
/// limits before anything is added, and memory is taken as bytes arrive, not as they are announced.
/// Source: FastCGI 1.0 §3.4.
class ParamsDecoder {
 public:
  enum class Result {
    ok,              ///< everything taken
    too_many_bytes,  ///< Limits::param_bytes would be passed
    too_many_pairs,  ///< Limits::params would be passed
  };

  explicit ParamsDecoder(Limits limits = {}) : limits_(limits) {}

  /// Takes all of `piece`. After another result than ok only reset() may follow; `into` then holds
  /// the pairs before the one that did not fit. `into` is the same object, and changed by nobody
  /// else, from reset() on.
  Result feed(std::string_view piece, Params& into);
  /// Whether the pieces so far end between two pairs: what must hold at the end of the stream.
  bool complete() const { return length_bytes_ == 0 && missing_ == 0; }
  /// Ready for a new stream. The caller clears the Params.
  void reset();

 private:
  void take_bytes(std::string_view& piece, Params& into);
  Result take_lengths(std::string_view& piece, Params& into);
  Result begin_pair(const unsigned char* lengths, Params& into);

  Limits limits_;
  unsigned char lengths_[8] = {};  // the two lengths of the pair that arrives
  std::size_t length_bytes_ = 0;   // of those that are here
  Params::Entry pair_ = {};        // the pair whose bytes arrive; an entry once all are here
  std::size_t missing_ = 0;        // bytes of it that have not arrived
};

/// Bytes that encode_param() writes for the pair. Source: FastCGI 1.0 §3.4.
std::size_t encoded_size(std::string_view name, std::string_view value);

/// The longest name or value that the wire form can express.
inline constexpr std::size_t kMaxParamLength = 0x7fffffff;

/// Writes the wire form of the two lengths (2 to 8 bytes; 4 bytes for a length above 127) to `out`.
/// Both lengths are at most kMaxParamLength. @return bytes written.
std::size_t encode_param_lengths(std::size_t name_length, std::size_t value_length, char* out);

/// Appends the wire form of the pair to `out`. Both are at most kMaxParamLength long.
void encode_param(std::string_view name, std::string_view value, std::string& out);

}  // namespace fcgi
