#include "fpm/log/text.hpp"

namespace fpm::log {
namespace {

unsigned byte_at(std::string_view text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

/// Bytes that stand for themselves; the length is 0 for those that do not.
std::size_t harmless_length(std::string_view text) {
  const unsigned first = byte_at(text, 0);
  if (first < 0x20 || first == 0x7f || first == '"' || first == '\\') return 0;
  const std::size_t length = utf8_length(text);
  // C1 controls: U+009B begins an escape sequence on some terminals.
  if (length == 2 && first == 0xc2 && byte_at(text, 1) < 0xa0) return 0;
  return length;
}

}  // namespace

std::size_t utf8_length(std::string_view text) {
  const unsigned first = byte_at(text, 0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte_at(text, 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool too_large = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

std::size_t harmless_prefix(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size()) {
    const std::size_t length = harmless_length(text.substr(end));
    if (length == 0) break;
    end += length;
  }
  return end;
}

std::string printable(std::string_view text, std::size_t limit) {
  constexpr std::string_view kDots = "...";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  std::size_t cut = 0;  // the longest prefix of `out` that leaves room for the dots
  while (!text.empty()) {
    const std::size_t length = harmless_length(text);
    const std::size_t needed = length > 0 ? length : 4;
    if (out.size() + needed > limit) {
      out.resize(cut);
      return out.append(kDots.substr(0, limit - cut));
    }
    if (length > 0) {
      out.append(text.substr(0, length));
    } else {
      const unsigned byte = byte_at(text, 0);
      out.append("\\x").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
    text.remove_prefix(length > 0 ? length : 1);
    if (out.size() + kDots.size() <= limit) cut = out.size();
  }
  return out;
}

}  // namespace fpm::log
