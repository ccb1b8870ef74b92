#include "fpm/config/values.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <charconv>
#include <climits>
#include <limits>
#include <set>

namespace fpm::config {
namespace {

/// The digits at the start of `text`. @return whether there were any that fit; `rest` gets what
/// stands behind them.
template <class T>
bool leading_number(std::string_view text, T& out, std::string_view& rest) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  rest = std::string_view(stop, static_cast<std::size_t>(end - stop));
  return error == std::errc();
}

constexpr Word<log::Level> kLevels[] = {
    {"debug", log::Level::debug},  {"notice", log::Level::notice}, {"warning", log::Level::warning},
    {"warn", log::Level::warning}, {"error", log::Level::error},   {"alert", log::Level::alert},
};
constexpr Word<LogFormat> kLogFormats[] = {
    {"text", LogFormat::text},
    {"json", LogFormat::json},
};
constexpr Word<TemplateMode> kTemplateModes[] = {
    {"pool", TemplateMode::pool},
    {"shared", TemplateMode::shared},
};
constexpr Word<SyslogFacility> kFacilities[] = {
    {"auth", SyslogFacility::auth},     {"authpriv", SyslogFacility::authpriv},
    {"cron", SyslogFacility::cron},     {"daemon", SyslogFacility::daemon},
    {"ftp", SyslogFacility::ftp},       {"kern", SyslogFacility::kern},
    {"lpr", SyslogFacility::lpr},       {"mail", SyslogFacility::mail},
    {"news", SyslogFacility::news},     {"syslog", SyslogFacility::syslog},
    {"user", SyslogFacility::user},     {"uucp", SyslogFacility::uucp},
    {"local0", SyslogFacility::local0}, {"local1", SyslogFacility::local1},
    {"local2", SyslogFacility::local2}, {"local3", SyslogFacility::local3},
    {"local4", SyslogFacility::local4}, {"local5", SyslogFacility::local5},
    {"local6", SyslogFacility::local6}, {"local7", SyslogFacility::local7},
};
constexpr Word<HandlerKind> kHandlers[] = {
    {"cgi", HandlerKind::cgi},
    {"fastcgi", HandlerKind::fastcgi},
    {"module", HandlerKind::module},
    {"php", HandlerKind::php},
};
constexpr Word<ProcessManager> kManagers[] = {
    {"static", ProcessManager::static_pm},
    {"dynamic", ProcessManager::dynamic},
    {"ondemand", ProcessManager::ondemand},
};
// Without a word the handler decides, so that "unset" can be printed and read back.
constexpr Word<OnAbort> kOnAbort[] = {
    {"end", OnAbort::end},
    {"continue", OnAbort::go_on},
    {"", OnAbort::by_handler},
};
constexpr Word<Background> kBackground[] = {
    {"leave", Background::leave},
    {"kill", Background::kill},
};
constexpr Word<Family> kFamilies[] = {
    {"libfcgi", Family::libfcgi}, {"perl", Family::perl}, {"php-cgi", Family::php_cgi},
    {"python", Family::python},   {"go", Family::go},     {"generic", Family::generic},
};
constexpr Word<Scripts> kScripts[] = {
    {"none", Scripts::none},
    {"extension", Scripts::extension},
    {"executable", Scripts::executable},
    {"all", Scripts::all},
};

}  // namespace

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find_first_of(separators);
    parts.push_back(trim(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string parse_flag(std::string_view text, bool& out) {
  for (const std::string_view word : {"on", "yes", "true", "1"}) {
    if (same_word(text, word)) return out = true, std::string();
  }
  for (const std::string_view word : {"off", "no", "false", "none", "0"}) {
    if (same_word(text, word)) return out = false, std::string();
  }
  return "yes or no";
}

std::string print_flag(bool value) { return value ? "yes" : "no"; }

std::string parse_number(std::string_view text, int least, int most, int& out) {
  int value = 0;
  std::string_view rest;
  const bool whole = leading_number(text, value, rest) && rest.empty();
  if (whole && value >= least && value <= most) {
    out = value;
    return {};
  }
  // Digits alone that do not fit are too many, so that the upper end is what helps.
  const bool too_much = text.find_first_not_of("0123456789") == std::string_view::npos &&
                        !text.empty() && (!whole || value > most);
  if (most == INT_MAX && !too_much) return fmt::format("a whole number, {} or more", least);
  return fmt::format("a whole number from {} to {}", least, most);
}

std::string parse_time(std::string_view text, Milliseconds& out) {
  constexpr std::string_view kExpected =
      "a whole number with s, m, h, d or ms behind it, at most 3650d";
  std::uint64_t count = 0;
  std::string_view unit;
  if (!leading_number(text, count, unit)) return std::string(kExpected);
  std::uint64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit.empty() || unit == "s") factor = 1000;
  if (unit == "m") factor = 60 * 1000;
  if (unit == "h") factor = 3600 * 1000;
  if (unit == "d") factor = 24 * 3600 * 1000;
  if (factor == 0 || count > static_cast<std::uint64_t>(kMaxTime.count()) / factor) {
    return std::string(kExpected);
  }
  out = Milliseconds(static_cast<Milliseconds::rep>(count * factor));
  return {};
}

std::string print_time(Milliseconds value) {
  const auto count = value.count();
  return count % 1000 == 0 ? fmt::format("{}s", count / 1000) : fmt::format("{}ms", count);
}

std::string parse_size(std::string_view text, std::uint64_t& out) {
  constexpr std::string_view kExpected = "a whole number of bytes, K, M or G may follow";
  std::uint64_t count = 0;
  std::string_view unit;
  if (!leading_number(text, count, unit)) return std::string(kExpected);
  int shift = -1;
  if (unit.empty()) shift = 0;
  if (same_word(unit, "K")) shift = 10;
  if (same_word(unit, "M")) shift = 20;
  if (same_word(unit, "G")) shift = 30;
  // The top bit stays free: whoever adds or subtracts sizes may do so with a sign.
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (shift < 0 || count > (kMost >> shift)) return std::string(kExpected);
  out = count << shift;
  return {};
}

std::string print_size(std::uint64_t value) {
  if (value == 0) return "0";
  if (value % (1U << 30) == 0) return fmt::format("{}G", value >> 30);
  if (value % (1U << 20) == 0) return fmt::format("{}M", value >> 20);
  if (value % (1U << 10) == 0) return fmt::format("{}K", value >> 10);
  return fmt::format("{}", value);
}

std::string parse_limit(std::string_view text, bool bytes, Limit& out) {
  std::uint64_t value = 0;
  std::string_view rest;
  if (same_word(text, "unlimited")) {
    out = kUnlimited;
    return {};
  }
  const bool digits = leading_number(text, value, rest) && rest.empty();
  const bool good = bytes ? parse_size(text, value).empty() : digits && value <= INT_MAX;
  if (!good) {
    // php-fpm's words, then ours.
    return fmt::format("a value that must be greater than zero or 'unlimited': a whole number{}",
                       bytes ? " of bytes, K, M or G may follow" : " up to 2147483647");
  }
  out = value == 0 ? Limit() : Limit(value);
  return {};
}

std::string print_limit(const Limit& value) {
  if (!value) return {};
  return *value == kUnlimited ? "unlimited" : fmt::format("{}", *value);
}

std::string parse_cpus(std::string_view text, std::vector<int>& out) {
  std::set<int> cpus;
  for (const std::string_view item : split(text, ",")) {
    int first = -1;
    int last = -1;
    std::string_view rest;
    bool good = leading_number(item, first, rest);
    last = first;
    if (good && !rest.empty()) {
      good = rest.front() == '-' && leading_number(rest.substr(1), last, rest) && rest.empty();
    }
    if (!good || first < 0 || last < first || last >= kMostCpus) {
      return fmt::format("numbers of CPUs and ranges of them from 0 to {}, as in 0-3,8",
                         kMostCpus - 1);
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
  }
  out.assign(cpus.begin(), cpus.end());
  return {};
}

std::string print_cpus(const std::vector<int>& value) {
  std::string out;
  for (std::size_t i = 0; i < value.size();) {
    std::size_t last = i;
    while (last + 1 < value.size() && value[last + 1] == value[last] + 1) ++last;
    if (!out.empty()) out += ',';
    out += fmt::format("{}", value[i]);
    if (last > i) out += fmt::format("-{}", value[last]);
    i = last + 1;
  }
  return out;
}

std::string parse_mode(std::string_view text, std::string& out) {
  const bool octal = text.find_first_not_of("01234567") == std::string_view::npos;
  if (!octal || text.empty() || text.size() > 4 || (text.size() == 4 && text[0] != '0')) {
    return "octal digits from 0 to 0777, as in 0660";
  }
  out = text;
  return {};
}

std::string absolute_path(std::string_view path, std::string_view prefix) {
  if (path.empty() || path.front() == '/') return std::string(path);
  const bool root = prefix == "/";
  return fmt::format("{}/{}", root ? std::string_view() : prefix, path);
}

std::span<const Word<log::Level>> words(log::Level) { return kLevels; }
std::span<const Word<LogFormat>> words(LogFormat) { return kLogFormats; }
std::span<const Word<TemplateMode>> words(TemplateMode) { return kTemplateModes; }
std::span<const Word<SyslogFacility>> words(SyslogFacility) { return kFacilities; }
std::span<const Word<HandlerKind>> words(HandlerKind) { return kHandlers; }
std::span<const Word<ProcessManager>> words(ProcessManager) { return kManagers; }
std::span<const Word<OnAbort>> words(OnAbort) { return kOnAbort; }
std::span<const Word<Background>> words(Background) { return kBackground; }
std::span<const Word<Family>> words(Family) { return kFamilies; }
std::span<const Word<Scripts>> words(Scripts) { return kScripts; }

template <class Enum>
std::string parse_word(std::string_view text, Enum& out) {
  std::string expected = "one of";
  for (const auto& word : words(Enum{})) {
    if (same_word(text, word.text)) {
      out = word.value;
      return {};
    }
    if (!word.text.empty()) expected += fmt::format(" {},", word.text);
  }
  expected.pop_back();
  return expected;
}

template <class Enum>
std::string print_word(Enum value) {
  for (const auto& word : words(Enum{})) {
    if (word.value == value) return std::string(word.text);
  }
  return {};
}

template std::string parse_word(std::string_view, log::Level&);
template std::string parse_word(std::string_view, LogFormat&);
template std::string parse_word(std::string_view, TemplateMode&);
template std::string parse_word(std::string_view, SyslogFacility&);
template std::string parse_word(std::string_view, HandlerKind&);
template std::string parse_word(std::string_view, ProcessManager&);
template std::string parse_word(std::string_view, OnAbort&);
template std::string parse_word(std::string_view, Background&);
template std::string parse_word(std::string_view, Family&);
template std::string parse_word(std::string_view, Scripts&);
template std::string print_word(log::Level);
template std::string print_word(LogFormat);
template std::string print_word(TemplateMode);
template std::string print_word(SyslogFacility);
template std::string print_word(HandlerKind);
template std::string print_word(ProcessManager);
template std::string print_word(OnAbort);
template std::string print_word(Background);
template std::string print_word(Family);
template std::string print_word(Scripts);

}  // namespace fpm::config
