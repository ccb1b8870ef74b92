#include "fpm/status/escape.hpp"

#include <fmt/format.h>

#include <iterator>

namespace fpm::status {
namespace {

unsigned byte_at(std::string_view text, std::size_t index) {
  return static_cast<unsigned char>(text[index]);
}

/// One character, taken from the front of a string. `bytes` is empty if they were no UTF-8.
struct Character {
  char32_t code = 0;
  std::string_view bytes;
};

/// Removes one character from `text`, or one byte if there is none (RFC 3629 §4).
Character take_character(std::string_view& text) {
  const unsigned first = byte_at(text, 0);
  std::size_t length = 1;
  char32_t code = first;
  if (first >= 0xf0) {
    length = 4;
    code = first & 0x07;
  } else if (first >= 0xe0) {
    length = 3;
    code = first & 0x0f;
  } else if (first >= 0x80) {
    length = 2;
    code = first & 0x1f;
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // below it is overlong
  bool good = (first < 0x80 || first >= 0xc2) && first <= 0xf4 && length <= text.size();
  for (std::size_t i = 1; good && i < length; ++i) {
    good = (byte_at(text, i) & 0xc0) == 0x80;
    code = (code << 6) | (byte_at(text, i) & 0x3f);
  }
  good = good && code >= kLeast[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  const Character found{code, good ? text.substr(0, length) : std::string_view{}};
  text.remove_prefix(good ? length : 1);
  return found;
}

void append_unit(std::string& out, unsigned unit) {
  fmt::format_to(std::back_inserter(out), "\\u{:04x}", unit);
}

void append_json_character(std::string& out, const Character& character) {
  const char32_t code = character.code;
  switch (code) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '/':
      out += "\\/";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (code >= 0x20 && code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x10000) {
    append_unit(out, static_cast<unsigned>(code));
  } else {
    append_unit(out, 0xd800 + static_cast<unsigned>((code - 0x10000) >> 10));
    append_unit(out, 0xdc00 + static_cast<unsigned>((code - 0x10000) & 0x3ff));
  }
}

bool allowed_in_xml(char32_t code) {
  if (code < 0x20) return code == '\t' || code == '\n' || code == '\r';
  return code != 0xfffe && code != 0xffff;
}

}  // namespace

void append_text(std::string& out, std::string_view value) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02X}", byte);
    } else {
      out += c;
    }
  }
}

void append_json(std::string& out, std::string_view value) {
  while (!value.empty()) {
    const Character character = take_character(value);
    if (!character.bytes.empty()) append_json_character(out, character);
  }
}

void append_markup(std::string& out, std::string_view value) {
  while (!value.empty()) {
    const Character character = take_character(value);
    if (character.bytes.empty()) continue;
    switch (character.code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += allowed_in_xml(character.code) ? character.bytes : "\xef\xbf\xbd";
    }
  }
}

void append_label(std::string& out, std::string_view value) {
  while (!value.empty()) {
    const Character character = take_character(value);
    if (character.bytes.empty()) continue;
    switch (character.code) {
      case '\\':
        out += "\\\\";
        break;
      case '"':
        out += "\\\"";
        break;
      case '\n':
        out += "\\n";
        break;
      default:
        if (character.code >= 0x20 && character.code != 0x7f) out.append(character.bytes);
    }
  }
}

}  // namespace fpm::status
