// Bytes on their way through the door, first in, first out: in memory up to a limit, then in a
// temporary file without a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fpm/os/fd.hpp"

namespace fpm::http {

/// Disk space is given back whenever all of it was taken out.
class Spool {
 public:
  explicit Spool(std::size_t memory_limit = 64 * 1024) : limit_(memory_limit) {}

  /// The limit from now on.
  void limit_memory(std::size_t bytes) { limit_ = bytes; }
  /// Whether append() of so many bytes would open the temporary file: one descriptor more.
  bool needs_file(std::size_t bytes) const;
  bool has_file() const { return static_cast<bool>(file_); }
  /// Errors: those of open(2) and pwrite(2) in the temporary folder, ENOSPC above all.
  os::Result<void> append(std::string_view bytes);

  std::uint64_t size() const { return (memory_.size() - taken_) + (file_end_ - file_begin_); }
  bool empty() const { return size() == 0; }
  /// The first bytes, if they are in memory; empty: they are in the file, or there are none.
  std::string_view in_memory() const { return std::string_view(memory_).substr(taken_); }
  /// Where the first bytes are if they are not in memory: for pread(2) and sendfile(2).
  int file() const { return file_.get(); }
  std::uint64_t file_offset() const { return file_begin_; }
  std::uint64_t file_size() const { return file_end_ - file_begin_; }
  /// The first bytes are done with. Not more than are in memory, if any are there.
  void take(std::uint64_t bytes);
  /// Forgets everything and closes the file. Keeps a little memory.
  void clear();

 private:
  std::size_t limit_;
  std::string memory_;
  std::size_t taken_ = 0;  // of memory_
  os::UniqueFd file_;
  std::uint64_t file_begin_ = 0;
  std::uint64_t file_end_ = 0;
};

/// Opens a file without a name in /tmp.
os::Result<os::UniqueFd> open_temporary();

}  // namespace fpm::http
