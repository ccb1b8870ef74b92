#include "fcgi/params.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fcgi {
namespace {

/// Names of a front differ in length and in their last letters.
char tag_of(std::string_view name) {
  if (name.empty()) return 0;
  const auto at = [name](std::size_t index) { return static_cast<unsigned char>(name[index]); };
  const std::size_t size = name.size();
  return static_cast<char>(size * 37 + at(0) + at(size / 2) * 3U + at(size - 1) * 11U);
}

}  // namespace

void Params::add(std::string_view name, std::string_view value) {
  const std::size_t offset = arena_.size();
  arena_.append(name);
  arena_.append(value);
  enter({offset, static_cast<std::uint32_t>(name.size()), static_cast<std::uint32_t>(value.size())});
}

/// All of its bytes are in the arena.
void Params::enter(const Entry& entry) {
  entries_.push_back(entry);
  tags_.push_back(tag_of(std::string_view(arena_).substr(entry.offset, entry.name_length)));
}

void Params::clear() {
  arena_.clear();
  entries_.clear();
  tags_.clear();
}

void Params::reserve(std::size_t pairs, std::size_t bytes) {
  entries_.reserve(pairs);
  tags_.reserve(pairs);
  arena_.reserve(bytes);
}

Param Params::operator[](std::size_t index) const {
  const Entry& entry = entries_[index];
  return {std::string_view(arena_).substr(entry.offset, entry.name_length), value_of(entry)};
}

bool Params::is_named(const Entry& entry, std::string_view name) const {
  return entry.name_length == name.size() &&
         std::string_view(arena_).substr(entry.offset, entry.name_length) == name;
}

std::string_view Params::value_of(const Entry& entry) const {
  return std::string_view(arena_).substr(entry.offset + entry.name_length, entry.value_length);
}

std::optional<std::string_view> Params::first(std::string_view name) const {
  const char tag = tag_of(name);
  for (auto at = std::find(tags_.begin(), tags_.end(), tag); at != tags_.end();
       at = std::find(at + 1, tags_.end(), tag)) {
    const Entry& entry = entries_[static_cast<std::size_t>(at - tags_.begin())];
    if (is_named(entry, name)) return value_of(entry);
  }
  return std::nullopt;
}

template <class Wanted>
const Params::Entry* Params::find_last(std::string_view name, Wanted wanted) const {
  const char tag = tag_of(name);
  // memrchr(3) looks at many bytes at a time.
  for (std::size_t end = tags_.size(); end > 0;) {
    const void* const found = ::memrchr(tags_.data(), tag, end);
    if (found == nullptr) break;
    end = static_cast<std::size_t>(static_cast<const char*>(found) - tags_.data());
    if (wanted(entries_[end]) && is_named(entries_[end], name)) return &entries_[end];
  }
  return nullptr;
}

std::optional<std::string_view> Params::last(std::string_view name) const {
  const Entry* const entry = find_last(name, [](const Entry&) { return true; });
  return entry == nullptr ? std::nullopt : std::optional(value_of(*entry));
}

std::string_view Params::last_non_empty(std::string_view name) const {
  const Entry* const entry = find_last(name, [](const Entry& one) { return one.value_length > 0; });
  return entry == nullptr ? std::string_view() : value_of(*entry);
}

namespace {

std::size_t length_size(unsigned char first_byte) { return (first_byte & 0x80) != 0 ? 4 : 1; }

/// Bytes of the two lengths of a pair as far as they tell: 0 while even that is not known.
std::size_t lengths_size(const unsigned char* lengths, std::size_t here) {
  if (here == 0) return 0;
  const std::size_t name = length_size(lengths[0]);
  if (here <= name) return 0;
  return name + length_size(lengths[name]);
}

std::uint32_t read_length(const unsigned char* in) {
  if ((in[0] & 0x80) == 0) return in[0];
  return (in[0] & 0x7fU) << 24 | static_cast<std::uint32_t>(in[1]) << 16 |
         static_cast<std::uint32_t>(in[2]) << 8 | in[3];
}

}  // namespace

void ParamsDecoder::reset() {
  length_bytes_ = 0;
  missing_ = 0;
}

ParamsDecoder::Result ParamsDecoder::feed(std::string_view piece, Params& into) {
  while (!piece.empty()) {
    if (missing_ > 0) {
      take_bytes(piece, into);
    } else if (const Result result = take_lengths(piece, into); result != Result::ok) {
      return result;
    }
  }
  return Result::ok;
}

/// Of the name and the value, as many as are here.
void ParamsDecoder::take_bytes(std::string_view& piece, Params& into) {
  const std::string_view here = piece.substr(0, missing_);
  into.arena_.append(here);
  piece.remove_prefix(here.size());
  missing_ -= here.size();
  if (missing_ == 0) into.enter(pair_);
}

ParamsDecoder::Result ParamsDecoder::take_lengths(std::string_view& piece, Params& into) {
  if (length_bytes_ == 0) {
    const auto* const here = reinterpret_cast<const unsigned char*>(piece.data());
    const std::size_t size = lengths_size(here, piece.size());
    if (size > 0 && size <= piece.size()) {  // nearly always: all in one piece
      piece.remove_prefix(size);
      return begin_pair(here, into);
    }
  }
  lengths_[length_bytes_++] = static_cast<unsigned char>(piece.front());
  piece.remove_prefix(1);
  if (length_bytes_ != lengths_size(lengths_, length_bytes_)) return Result::ok;
  return begin_pair(lengths_, into);
}

ParamsDecoder::Result ParamsDecoder::begin_pair(const unsigned char* lengths, Params& into) {
  const std::uint32_t name = read_length(lengths);
  const std::uint32_t value = read_length(lengths + length_size(lengths[0]));
  // Each against what is left, never their sum first: lengths go up to 2^31 - 1.
  const std::size_t used = into.bytes();
  const std::size_t left = limits_.param_bytes > used ? limits_.param_bytes - used : 0;
  if (name > left || value > left - name) return Result::too_many_bytes;
  if (into.size() >= limits_.params) return Result::too_many_pairs;
  length_bytes_ = 0;
  pair_ = {used, name, value};
  missing_ = std::size_t{name} + value;
  if (missing_ == 0) into.enter(pair_);
  return Result::ok;
}

std::size_t encoded_size(std::string_view name, std::string_view value) {
  return (name.size() > 127 ? 4U : 1U) + (value.size() > 127 ? 4U : 1U) + name.size() +
         value.size();
}

namespace {

std::size_t encode_length(std::size_t length, char* out) {
  const auto byte = [](std::size_t value) {
    return static_cast<char>(static_cast<unsigned char>(value & 0xff));
  };
  if (length <= 127) {
    out[0] = byte(length);
    return 1;
  }
  out[0] = byte(length >> 24 | 0x80);
  out[1] = byte(length >> 16);
  out[2] = byte(length >> 8);
  out[3] = byte(length);
  return 4;
}

}  // namespace

std::size_t encode_param_lengths(std::size_t name_length, std::size_t value_length, char* out) {
  assert(name_length <= kMaxParamLength && value_length <= kMaxParamLength);
  const std::size_t name = encode_length(name_length, out);
  return name + encode_length(value_length, out + name);
}

void encode_param(std::string_view name, std::string_view value, std::string& out) {
  char lengths[8];
  out.append(lengths, encode_param_lengths(name.size(), value.size(), lengths));
  out.append(name);
  out.append(value);
}

}  // namespace fcgi
