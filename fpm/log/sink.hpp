// A place that takes log lines and is never waited for.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "fpm/os/fd.hpp"

namespace fpm::log {

/// A descriptor and the lines that it did not take yet.
class Sink {
 public:
  /// Bytes of lines that are kept. A longer line that the descriptor took in part is kept besides.
  static constexpr std::size_t kCapacity = 64 * 1024;

  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  ~Sink() { close(); }

  /// Uses `fd` from now on and forgets everything of the one before.
  void use(os::UniqueFd fd);
  /// The same log under a new descriptor: what is kept goes there.
  void replace(os::UniqueFd fd);
  /// Uses somebody else's descriptor, which may lead elsewhere at every write.
  void borrow(int fd);
  /// Closes the descriptor.
  void close() { use({}); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }

  /// Writes `line`, newline included, or keeps or drops it. Does not block. Also for parts of a
  /// line, the first with `begins`: if the one before it has no end (its end was dropped), it gets
  /// one.
  void write(std::string_view line, bool begins = true);
  /// Writes of what is kept as much as the descriptor takes. @return nothing is kept.
  bool flush();
  /// Waits until the reader has made room, at most `wait`. @return it has; false at once if it is
  /// not a reader that is missing.
  bool wait(std::chrono::milliseconds wait) const;
  /// Forgets the lines that were kept and those that were dropped.
  void forget();

  /// Lines have been dropped, and the sink takes bytes again.
  bool recovered() const {
    return dropped_ > 0 && begin_ == end_ && rest_.empty() && problem_ == 0;
  }
  /// How many, from now on 0.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }
  /// Why the last one was dropped: an errno.
  int drop_reason() const { return drop_reason_; }
  /// errno of the last write, 0 if it went well; EAGAIN: the reader has to make room.
  int problem() const { return problem_; }

 private:
  enum class Kind {
    file,    ///< takes bytes without a reader
    own,     ///< non-blocking, and no other process shares the flag
    shared,  ///< blocking and shared with others: poll first, write little
    socket,
  };

  void release();
  void identify();
  /// Bytes written, less than all if the descriptor takes no more now.
  std::size_t put(std::string_view bytes);
  ssize_t put_once(std::string_view bytes) const;
  bool accept(std::string_view bytes);
  bool keep(std::string_view bytes);
  void count_dropped(std::uint64_t lines);

  os::UniqueFd fd_;
  Kind kind_ = Kind::file;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t dropped_ = 0;
  int drop_reason_ = 0;
  int problem_ = 0;
  bool at_line_begin_ = true;
  bool borrowed_ = false;
  std::array<char, kCapacity> kept_;
  std::string rest_;  // of a line longer than kept_; goes before what is in that
  std::size_t rest_begin_ = 0;
};

/// One try to write `line` to `fd`, borrowed, without waiting for its reader and without O_NONBLOCK
/// on an open file that others share. @return all of it was written.
bool write_once(int fd, std::string_view line);

/// Opens a file, FIFO or device to append to, or a second descriptor if `path` is one of the names
/// of a descriptor. Never waits for a reader.
os::Result<os::UniqueFd> open_for_log(const std::string& path);
/// The descriptor number that `path` names (/dev/stderr: 2, /proc/self/fd/7: 7), else -1.
int named_descriptor(std::string_view path);
/// A second descriptor for the open file of `fd`; for a pipe or terminal a non-blocking one whose
/// flag nobody shares, if the system allows it.
os::Result<os::UniqueFd> second_descriptor(int fd);
/// Both descriptors lead to the same file, pipe or terminal.
bool same_file(int a, int b);

}  // namespace fpm::log
