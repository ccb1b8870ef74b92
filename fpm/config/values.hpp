// The kinds of values: text to value and back. Every parse_ function gives an error as what was
// expected ("a whole number, 1 or more"), empty for none, and leaves `out` alone then. Every
// print_ function gives text that the same kind's parse_ takes. Pure; nothing blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/config.hpp"

namespace fpm::config {

/// php-fpm's words: on, yes, true, 1; off, no, false, none, 0; any case.
std::string parse_flag(std::string_view text, bool& out);
std::string print_flag(bool value);

/// Decimal digits, a `-` allowed in front, between `least` and `most`.
std::string parse_number(std::string_view text, int least, int most, int& out);

/// The longest time a directive takes: ten years.
constexpr Milliseconds kMaxTime = std::chrono::hours(24 * 3650);
/// A whole number with s, m, h, d or ms behind it; s when there is none. 0 to kMaxTime.
std::string parse_time(std::string_view text, Milliseconds& out);
/// "30s", or "1500ms" where seconds would lose something.
std::string print_time(Milliseconds value);

/// A whole number of bytes with K, M or G (times 1024) behind it, any case.
std::string parse_size(std::string_view text, std::uint64_t& out);
std::string print_size(std::uint64_t value);

/// Digits (with `bytes` as parse_size takes them), or unlimited; 0 is php-fpm's word for unset.
std::string parse_limit(std::string_view text, bool bytes, Limit& out);
std::string print_limit(const Limit& value);

/// Numbers and ranges separated by commas, each below kMostCpus; ascending and each once in `out`.
inline constexpr int kMostCpus = 1024;  ///< CPU_SETSIZE, sched_setaffinity(2)
std::string parse_cpus(std::string_view text, std::vector<int>& out);
std::string print_cpus(const std::vector<int>& value);

/// One to four octal digits, at most 0777.
std::string parse_mode(std::string_view text, std::string& out);

/// `path` made absolute: below `prefix` unless it begins with `/`. Empty stays empty.
std::string absolute_path(std::string_view path, std::string_view prefix);

/// A word of the configuration and what it stands for.
template <class Enum>
struct Word {
  std::string_view text;
  Enum value;
};

/// The words of each enumeration; of several for one value the first is printed.
std::span<const Word<log::Level>> words(log::Level);
std::span<const Word<LogFormat>> words(LogFormat);
std::span<const Word<TemplateMode>> words(TemplateMode);
std::span<const Word<SyslogFacility>> words(SyslogFacility);
std::span<const Word<HandlerKind>> words(HandlerKind);
std::span<const Word<ProcessManager>> words(ProcessManager);
std::span<const Word<OnAbort>> words(OnAbort);
std::span<const Word<Background>> words(Background);
std::span<const Word<Family>> words(Family);
std::span<const Word<Scripts>> words(Scripts);

/// One of the words, any case.
template <class Enum>
std::string parse_word(std::string_view text, Enum& out);
template <class Enum>
std::string print_word(Enum value);

/// What is no part of names and values where it stands round them.
inline constexpr std::string_view kBlanks = " \t\r\n\v\f";

/// ASCII letters compared without case.
bool same_word(std::string_view a, std::string_view b);
std::string_view trim(std::string_view text);
/// The parts of `text` between any of `separators`, trimmed; empty ones too.
std::vector<std::string_view> split(std::string_view text, std::string_view separators);

}  // namespace fpm::config
