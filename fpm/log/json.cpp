#include "fpm/log/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "fpm/log/text.hpp"

namespace fpm::log {

std::size_t json_plain_prefix(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size()) {
    const auto byte = static_cast<unsigned char>(text[end]);
    const std::size_t length = byte < 0x80 ? 1 : utf8_length(text.substr(end));
    if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\' || length == 0) break;
    end += length;
  }
  return end;
}

ShortText json_escape(char c) {
  const auto byte = static_cast<unsigned char>(c);
  constexpr std::string_view kShort = "\"\"\\\\\bb\ff\nn\rr\tt";
  ShortText out;
  for (std::size_t i = 0; i < kShort.size(); i += 2) {
    if (kShort[i] != c) continue;
    out.bytes[0] = '\\';
    out.bytes[1] = kShort[i + 1];
    out.size = 2;
    return out;
  }
  const unsigned code = byte < 0x80 ? byte : 0xfffdU;
  out.size = fmt::format_to_n(out.bytes, sizeof out.bytes, "\\u{:04x}", code).size;
  return out;
}

std::size_t whole_characters(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  // Back to the first byte of the character that the limit falls into, three bytes at most.
  std::size_t begin = limit;
  for (int i = 0; i < 3 && begin > 0 && (text[begin] & 0xc0) == 0x80; ++i) --begin;
  const std::size_t length = utf8_length(text.substr(begin));
  return begin > 0 && length > limit - begin ? begin : limit;
}

ShortText rfc3339(std::chrono::system_clock::time_point at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  const auto micros = std::chrono::floor<std::chrono::microseconds>(at.time_since_epoch());
  const long minutes = parts.tm_gmtoff / 60;
  const long distance = minutes < 0 ? -minutes : minutes;
  ShortText out;
  const auto end = fmt::format_to_n(
      out.bytes, sizeof out.bytes, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}{}{:02}:{:02}",
      parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
      parts.tm_sec, micros.count() % 1'000'000, minutes < 0 ? '-' : '+', distance / 60,
      distance % 60);
  out.size = std::min(end.size, sizeof out.bytes);
  return out;
}

}  // namespace fpm::log
