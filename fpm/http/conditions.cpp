#include "fpm/http/conditions.hpp"

#include <fmt/format.h>

#include <charconv>

#include "fpm/http/dates.hpp"

namespace fpm::http {

namespace {

constexpr ByteRange kUnsatisfiable{1, 0};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (stop != end || text.empty()) return std::nullopt;
  if (failure == std::errc::result_out_of_range) return ~std::uint64_t{0};
  if (failure != std::errc()) return std::nullopt;
  return value;
}

/// `list` names the tag, or is "*". `weak`: W/ in front does not matter (RFC 9110 §8.8.3.2).
bool names_tag(std::string_view list, std::string_view tag, bool weak) {
  if (list == "*") return true;
  while (!list.empty()) {
    const std::size_t begin = list.find_first_not_of(" \t,");
    if (begin == list.npos) return false;
    list.remove_prefix(begin);
    const bool is_weak = list.starts_with("W/");
    if (is_weak) list.remove_prefix(2);
    if (!list.starts_with('"')) return false;
    const std::size_t end = list.find('"', 1);
    if (end == list.npos) return false;
    if (list.substr(0, end + 1) == tag && (weak || !is_weak)) return true;
    list.remove_prefix(end + 1);
  }
  return false;
}

/// The same of all fields of that name, which are one list. Nothing: there is none, or nothing in it.
std::optional<bool> any_names_tag(const Head& head, std::string_view name, std::string_view tag,
                                  bool weak) {
  std::optional<bool> names;
  for (const Field& field : head.fields) {
    if (field.value.empty() || !same_text(field.name, name)) continue;
    names = names.value_or(false) || names_tag(field.value, tag, weak);
  }
  return names;
}

/// The conditions in the order of RFC 9110 §13.2.2. @return 0: they let it pass.
int check_conditions(const Head& head, const FileFacts& file, const std::string& tag) {
  if (const auto match = any_names_tag(head, "if-match", tag, false)) {
    if (!*match) return 412;
  } else if (const auto since = parse_http_date(head.field("if-unmodified-since"))) {
    if (file.modified > *since) return 412;
  }
  if (const auto none = any_names_tag(head, "if-none-match", tag, true)) return *none ? 304 : 0;
  const auto since = parse_http_date(head.field("if-modified-since"));
  return since && file.modified <= *since ? 304 : 0;
}

/// If-Range: the range is meant for this very file.
bool range_applies(const Head& head, const FileFacts& file, const std::string& tag) {
  const std::string_view condition = head.field("if-range");
  if (condition.empty()) return true;
  if (condition.starts_with('"')) return condition == tag;
  return parse_http_date(condition) == file.modified;
}

}  // namespace

std::string entity_tag(const FileFacts& file) {
  const auto time = static_cast<std::uint64_t>(file.modified) * 1'000'000'000U + file.nanoseconds;
  return fmt::format("\"{:x}-{:x}\"", time, file.size);
}

std::optional<ByteRange> parse_range(std::string_view text, std::uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!same_text(text.substr(0, kUnit.size()), kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  if (dash == text.npos || text.find(',') != text.npos) return std::nullopt;
  const auto last = number(text.substr(dash + 1));
  if (dash == 0) {  // the last so many bytes
    if (!last) return std::nullopt;
    if (*last == 0 || size == 0) return kUnsatisfiable;
    return ByteRange{*last >= size ? 0 : size - *last, size - 1};
  }
  const auto first = number(text.substr(0, dash));
  const bool open = dash + 1 == text.size();
  if (!first || (!open && !last) || (last && *last < *first)) return std::nullopt;
  if (*first >= size) return kUnsatisfiable;
  return ByteRange{*first, last && *last < size ? *last : size - 1};
}

Selection select(const Head& head, const FileFacts& file, const std::string& tag) {
  if (const int status = check_conditions(head, file, tag)) return {.status = status, .range = {}};
  const std::string_view text = head.method == "GET" ? head.field("range") : std::string_view();
  if (text.empty() || !range_applies(head, file, tag)) return {};
  const auto range = parse_range(text, file.size);
  if (!range) return {};
  if (range->first > range->last) return {.status = 416, .range = {}};
  return {.status = 206, .range = *range};
}

}  // namespace fpm::http
