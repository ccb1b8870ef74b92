// Plain values as the bytes of a packet and back, between two processes of one program. What comes
// out is checked for its size, not trusted for its meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace fpm::os {

/// Appends numbers as they lie in memory and strings with their length in front.
class Packer {
 public:
  template <class Number>
  void operator()(const Number& number) {
    static_assert(std::is_trivially_copyable_v<Number>);
    out.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  void operator()(const std::string& text) {
    (*this)(static_cast<std::uint32_t>(text.size()));
    out.append(text);
  }
  template <class Item>
  void operator()(const std::vector<Item>& items) {
    (*this)(static_cast<std::uint32_t>(items.size()));
    for (const Item& item : items) (*this)(item);
  }

  std::string out;
};

/// Takes the same out again.
class Unpacker {
 public:
  explicit Unpacker(std::span<const char> packet) : left_(packet) {}

  template <class Number>
  void operator()(Number& number) {
    static_assert(std::is_trivially_copyable_v<Number>);
    if (!has(sizeof number)) return;
    std::memcpy(&number, left_.data(), sizeof number);
    left_ = left_.subspan(sizeof number);
  }
  void operator()(std::string& text) {
    std::uint32_t length = 0;
    (*this)(length);
    if (!has(length)) return;
    text.assign(left_.data(), length);
    left_ = left_.subspan(length);
  }
  template <class Item>
  void operator()(std::vector<Item>& items) {
    std::uint32_t count = 0;
    (*this)(count);
    // Each item takes four bytes or more: no memory for what cannot be there.
    if (!has(std::size_t{count} * 4)) return;
    items.resize(count);
    for (Item& item : items) (*this)(item);
  }

  /// Everything was there, and nothing is left.
  bool complete() const { return good_ && left_.empty(); }

 private:
  bool has(std::size_t bytes) {
    good_ = good_ && bytes <= left_.size();
    return good_;
  }

  std::span<const char> left_;
  bool good_ = true;
};

}  // namespace fpm::os
