// Configuration files as a sequence of entries, each with the place where it was written.
//
// The format is php-fpm's (one line, one entry; ; comments; quotes as in php.ini), read by inih,
// which this file hides. What php-fpm's reader and inih get wrong is put right here: line numbers
// stay right after an include, and no line is cut or joined with another.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fpm/config/config.hpp"
#include "fpm/config/problem.hpp"

namespace fpm::config {

/// The longest line that is taken, in bytes without its line feed.
constexpr std::size_t kMaxLine = 16 * 1024;
/// Files that may be open at once through `include`, the main file among them (as php-fpm).
constexpr int kMaxIncludeDepth = 5;

/// One `name = value` line, or the opening of a section.
struct Entry {
  Place place;
  std::string section;  ///< as written; "global" before the first one
  std::string name;     ///< without its brackets; empty: this line opens `section`
  /// What stood in the brackets of `name[index]`; empty text for `name[]`.
  std::optional<std::string> index;
  std::string value;  ///< without quotes and comment, ${NAME} replaced
  bool quoted = false;
  /// The value could not be read and a problem says so; the entry only tells that it was there.
  bool broken = false;

  /// The name as it was written: "user", "env[PATH]", "cgi.allow[]".
  std::string written_name() const;
};

using EntryTaker = std::function<void(const Entry&)>;

/// Hands over all entries of `file` and of the files it includes, in the order of reading. Patterns
/// of `include` are relative to `prefix`. What cannot be read becomes an error in `problems`, which
/// `take` may fill as well, and reading goes on. @return whether `file` itself could be read.
/// Blocks on the disk.
bool read_ini(const std::string& file, const std::string& prefix, std::vector<Problem>& problems,
              const EntryTaker& take);

}  // namespace fpm::config
