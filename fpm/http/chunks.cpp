#include "fpm/http/chunks.hpp"

#include <algorithm>

#include "fpm/http/head.hpp"

namespace fpm::http {

namespace {

/// The value of a hexadecimal digit, -1 if it is none.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

}  // namespace

ChunkReader::Step ChunkReader::next(std::string_view& input, std::string_view& data) {
  while (!input.empty()) {
    if (state_ == State::data) return take_data(input, data);
    if (state_ == State::end) return Step::end;
    const char c = input.front();
    if (state_ == State::bad || !take(c)) {
      state_ = State::bad;
      return Step::bad;
    }
    input.remove_prefix(1);
    if (state_ == State::end) return Step::end;
  }
  return state_ == State::bad ? Step::bad : Step::need_more;
}

ChunkReader::Step ChunkReader::take_data(std::string_view& input, std::string_view& data) {
  data = input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size())));
  input.remove_prefix(data.size());
  left_ -= data.size();
  if (left_ == 0) state_ = State::data_cr;
  return Step::data;
}

bool ChunkReader::take(char c) {
  switch (state_) {
    case State::size:
      return take_size(c);
    case State::extension:
      if (c == '\r') {
        state_ = State::size_lf;
        return true;
      }
      return !is_control(c) && ++line_ <= kLongestLine;
    case State::size_lf:
      if (c != '\n') return false;
      line_ = 0;
      digits_ = 0;
      name_ = true;
      last_ = 0;
      state_ = left_ > 0 ? State::data : State::trailer;
      return true;
    case State::data_cr:
      state_ = State::data_lf;
      return c == '\r';
    case State::data_lf:
      state_ = State::size;
      return c == '\n';
    case State::trailer:
      return take_trailer(c);
    default:
      return false;
  }
}

bool ChunkReader::take_size(char c) {
  constexpr std::size_t kMostDigits = 15;  // below 2^60
  const int value = hex_value(c);
  if (value >= 0) {
    left_ = (digits_ == 0 ? 0 : left_ << 4) + static_cast<std::uint64_t>(value);
    return ++digits_ <= kMostDigits;
  }
  if (digits_ == 0) return false;
  if (c == ';') {
    state_ = State::extension;
    return true;
  }
  state_ = State::size_lf;
  return c == '\r';
}

bool ChunkReader::take_trailer(char c) {
  if (++trailers_ > kMostTrailers) return false;
  if (last_ == '\r') {
    if (c != '\n') return false;
    if (line_ == 0) {
      state_ = State::end;
      return true;
    }
    line_ = 0;
    last_ = 0;
    const bool whole = !name_;
    name_ = true;
    return whole;
  }
  last_ = c;
  if (c == '\r') return true;
  ++line_;
  if (!name_) return !is_control(c);
  if (c != ':') return is_token_char(c);
  name_ = false;
  return line_ > 1;
}

}  // namespace fpm::http
