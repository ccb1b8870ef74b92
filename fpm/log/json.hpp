// Pieces of JSON lines. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

namespace fpm::log {

/// Bytes at the beginning of `text` that stand in a JSON string as they are: UTF-8 without control
/// characters, `"` and `\`. Source: RFC 8259 §7.
std::size_t json_plain_prefix(std::string_view text);

/// A few characters without an allocation.
struct ShortText {
  char bytes[40] = {};
  std::size_t size = 0;
  std::string_view view() const { return {bytes, size}; }
};

/// What stands in a JSON string for a byte that may not stand there itself: \" \\ \n \u001b, and
/// \ufffd for a byte that is no UTF-8.
ShortText json_escape(char c);

/// Length of the longest prefix of `text` with at most `limit` bytes that does not end within a
/// UTF-8 character. Where the text is no UTF-8, `limit` itself.
std::size_t whole_characters(std::string_view text, std::size_t limit);

/// Local time as RFC 3339 has it: 2026-11-22T05:10:12.123456+01:00
ShortText rfc3339(std::chrono::system_clock::time_point at);

/// `text` as a JSON string with its quotes; `out` is a fmt buffer or std::string.
template <class Out>
void append_json_string(Out& out, std::string_view text) {
  const auto add = [&out](std::string_view part) {
    out.append(part.data(), part.data() + part.size());
  };
  add("\"");
  while (!text.empty()) {
    const std::size_t plain = json_plain_prefix(text);
    add(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    add(json_escape(text.front()).view());
    text.remove_prefix(1);
  }
  add("\"");
}

}  // namespace fpm::log
