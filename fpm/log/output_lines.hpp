// From what a worker prints to lines of the log. Pure: no descriptor, no clock, no log.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace fpm::log {

/// Written by a worker to its stderr at the end of a request: output without a newline at its end
/// does not wait for the next request's. php-fpm's bytes: NUL f s c f NUL.
inline constexpr std::string_view kEndOfRequest{"\0fscf\0", 6};

/// What a decorated text begins with: `child 123 said into stderr: "`
std::string decoration(pid_t pid, std::string_view stream);

/// How long a text of output may be.
struct OutputRoom {
  std::size_t bytes = 0;
  bool whole_characters = false;  ///< where a longer one is cut: not within a UTF-8 character
};

/// What of a line a text is. Both are true unless show() is called.
struct OutputPart {
  bool begins = true;
  bool ends = true;
};

/// One stream of one worker, stdout or stderr, cut into the texts of log lines as php-fpm 8.2.36
/// does it:
///   child 123 said into stderr: "..."
/// or, undecorated, the bytes alone. One text a line that was printed, none for an empty one. What
/// has no newline yet is held until one comes, or a kEndOfRequest, or the close, or as much as a
/// line takes; a longer one goes on in a text of its own. The bytes themselves are not changed.
class OutputLines {
 public:
  /// Takes one text without its newline; the view ends with the call.
  using Emit = std::function<void(std::string_view text, OutputPart part)>;

  /// `stream` is "stdout" or "stderr".
  OutputLines(pid_t pid, std::string_view stream, bool decorated = true);

  /// `chunk` has been read from the stream. `room` is output_room(). Holds no more than that
  /// afterwards.
  void feed(std::string_view chunk, OutputRoom room, const Emit& emit);
  /// What is held becomes a text now.
  void flush(OutputRoom room, const Emit& emit);
  /// What is held and was not yet shown is emitted, but stays a line that goes on: for
  /// log_buffering = no.
  void show(const Emit& emit);
  /// The stream is at its end: as flush(), and `, pipe is closed` follows what had no newline.
  void close(OutputRoom room, const Emit& emit);

 private:
  /// The limit may have been lowered since the held bytes came.
  void refit(OutputRoom room, const Emit& emit);
  void add(std::string_view bytes, OutputRoom room, const Emit& emit);
  void end_full(OutputRoom room, const Emit& emit);
  void end_text(std::string_view after, const Emit& emit);
  void add_broken_marker(OutputRoom room, const Emit& emit);
  std::size_t held() const { return text_.size() - head_; }
  std::size_t capacity(std::size_t room) const;

  bool decorated_;
  std::string text_;        // the head, and the data behind it
  std::size_t head_ = 0;    // length of `child 123 said into stderr: "`
  std::size_t shown_ = 0;   // bytes of text_ that have been emitted
  std::size_t marker_ = 0;  // bytes of kEndOfRequest that have come
};

}  // namespace fpm::log
