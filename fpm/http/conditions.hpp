// Which part of a file answers a request, or whether none does: ranges and conditions (RFC 9110 §13,
// §14). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fpm/http/head.hpp"

namespace fpm::http {

/// What a file is known by.
struct FileFacts {
  std::uint64_t size = 0;
  std::int64_t modified = 0;       ///< seconds since 1970
  std::uint32_t nanoseconds = 0;   ///< of `modified`
};

/// A strong entity tag, with its quotes: of time and size.
std::string entity_tag(const FileFacts& file);

/// Bytes `first` to `last`, both included.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// How a GET or HEAD of a file is answered.
struct Selection {
  int status = 200;  ///< 200, 206 with `range`, 304, 412, 416
  ByteRange range;
};
Selection select(const Head& head, const FileFacts& file, const std::string& tag);

/// `text`: the value of Range. @return nothing if it is to be ignored: another unit, several ranges, or
/// no range at all; a range whose first is beyond its last is one that cannot be satisfied.
std::optional<ByteRange> parse_range(std::string_view text, std::uint64_t size);

}  // namespace fpm::http
