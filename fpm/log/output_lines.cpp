#include "fpm/log/output_lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace fpm::log {
namespace {

constexpr std::string_view kQuote = "\"";
constexpr std::string_view kClosed = "\", pipe is closed";
// A name of a pool may leave no room in a line. The log cuts then, and this keeps going on.
constexpr std::size_t kLeastData = 64;
constexpr std::size_t kLargeText = 64 * 1024;

}  // namespace

std::string decoration(pid_t pid, std::string_view stream) {
  return fmt::format("child {} said into {}: \"", pid, stream);
}

OutputLines::OutputLines(pid_t pid, std::string_view stream, bool decorated)
    : decorated_(decorated) {
  if (decorated) text_ = decoration(pid, stream);
  head_ = text_.size();
}

std::size_t OutputLines::capacity(std::size_t room) const {
  const std::size_t around = head_ + (decorated_ ? kQuote.size() : 0);
  return std::max(kLeastData, room - std::min(room, around));
}

void OutputLines::feed(std::string_view chunk, OutputRoom room, const Emit& emit) {
  refit(room, emit);
  while (!chunk.empty()) {
    const char c = chunk.front();
    if (c == kEndOfRequest[marker_]) {
      chunk.remove_prefix(1);
      if (++marker_ == kEndOfRequest.size()) {
        marker_ = 0;
        end_text(kQuote, emit);
      }
    } else if (marker_ > 0) {
      add_broken_marker(room, emit);  // and this byte once more: it may begin another one
    } else if (c == '\n') {
      chunk.remove_prefix(1);
      end_text(kQuote, emit);
    } else {
      constexpr std::string_view kSpecial{"\0\n", 2};
      const std::size_t plain = std::min(chunk.find_first_of(kSpecial), chunk.size());
      add(chunk.substr(0, plain), room, emit);
      chunk.remove_prefix(plain);
    }
  }
}

void OutputLines::refit(OutputRoom room, const Emit& emit) {
  if (held() <= capacity(room.bytes) || shown_ > 0) return;
  const std::string again = text_.substr(head_);
  text_.resize(head_);
  add(again, room, emit);
}

void OutputLines::add_broken_marker(OutputRoom room, const Emit& emit) {
  const std::size_t came = std::exchange(marker_, 0);
  add(kEndOfRequest.substr(0, came), room, emit);
}

void OutputLines::add(std::string_view bytes, OutputRoom room, const Emit& emit) {
  const std::size_t most = capacity(room.bytes);
  while (!bytes.empty()) {
    // Only when more comes: a line that fits exactly has no empty one after it.
    if (held() >= most) end_full(room, emit);
    const std::size_t fits = std::min(bytes.size(), most - std::min(most, held()));
    text_.append(bytes.substr(0, fits));
    bytes.remove_prefix(fits);
  }
}

/// The line goes on in the next text, with the character that has no room in this one.
void OutputLines::end_full(OutputRoom room, const Emit& emit) {
  std::size_t size = text_.size();
  if (room.whole_characters) {
    // The bytes of a character that is not complete yet, at most three.
    for (std::size_t back = 1; back <= 3 && back < held(); ++back) {
      const auto byte = static_cast<unsigned char>(text_[text_.size() - back]);
      if ((byte & 0xc0) == 0x80) continue;
      const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
      if (length > back) size -= back;
      break;
    }
  }
  const std::string rest = text_.substr(std::max(size, shown_));
  text_.resize(std::max(size, shown_));
  end_text(kQuote, emit);
  text_.append(rest);
}

void OutputLines::end_text(std::string_view after, const Emit& emit) {
  if (held() == 0) return;
  if (decorated_) text_.append(after);
  emit(std::string_view(text_).substr(shown_), {.begins = shown_ == 0, .ends = true});
  text_.resize(head_);
  shown_ = 0;
  // One long line must not cost its memory for ever.
  if (text_.capacity() > kLargeText) text_.shrink_to_fit();
}

void OutputLines::show(const Emit& emit) {
  if (held() == 0 || text_.size() == shown_) return;
  emit(std::string_view(text_).substr(shown_), {.begins = shown_ == 0, .ends = false});
  shown_ = text_.size();
}

void OutputLines::flush(OutputRoom room, const Emit& emit) {
  refit(room, emit);
  add_broken_marker(room, emit);
  end_text(kQuote, emit);
}

void OutputLines::close(OutputRoom room, const Emit& emit) {
  refit(room, emit);
  add_broken_marker(room, emit);
  const std::size_t last = capacity(room.bytes) - (kClosed.size() - kQuote.size());
  if (decorated_ && held() > last && shown_ <= head_ + last) {
    const std::string rest = text_.substr(head_ + last);
    text_.resize(head_ + last);
    end_text(kQuote, emit);
    text_.append(rest);
  }
  end_text(kClosed, emit);
}

}  // namespace fpm::log
