// Strings that may be anything, as parts of a well-formed page.
#pragma once

#include <string>
#include <string_view>

namespace fpm::status {

/// Control characters as \xNN, all else as it is.
void append_text(std::string& out, std::string_view value);
/// What stands between the quotes of a JSON string, as PHP writes it: `\/`, \uXXXX for all beyond
/// ASCII; bytes that are no UTF-8 are left out. Source: RFC 8259 §7.
void append_json(std::string& out, std::string_view value);
/// For text between tags of HTML and XML: & < > " as entities; characters that XML 1.0 §2.2 does
/// not allow as U+FFFD; bytes that are no UTF-8 are left out.
void append_markup(std::string& out, std::string_view value);
/// What stands between the quotes of a label of OpenMetrics: `\\`, `\"` and `\n`; other control
/// characters and bytes that are no UTF-8 are left out.
void append_label(std::string& out, std::string_view value);

}  // namespace fpm::status
