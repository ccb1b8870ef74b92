#include "fpm/handlers/module/backtrace.hpp"

#include <dlfcn.h>
#include <unwind.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace fpm::handlers::module {

namespace {

constexpr std::string_view kUnknown = "??";

/// Text into a buffer, cut at its end. No printf here: it may allocate.
class Text {
 public:
  explicit Text(std::span<char> out) : out_(out) {}
  std::size_t size() const { return size_; }
  void cut(std::size_t size) { size_ = size; }
  bool full() const { return size_ == out_.size(); }

  void add(std::string_view text) {
    const std::size_t length = std::min(text.size(), out_.size() - size_);
    std::copy_n(text.data(), length, out_.data() + size_);
    size_ += length;
  }
  /// At least `digits` digits.
  void add_hex(std::uintptr_t value, int digits) {
    char buffer[16];
    int at = 16;
    do {
      buffer[--at] = "0123456789abcdef"[value & 15U];
      value >>= 4U;
    } while (value != 0 || 16 - at < digits);
    add({buffer + at, static_cast<std::size_t>(16 - at)});
  }

 private:
  std::span<char> out_;
  std::size_t size_ = 0;
};

struct Walk {
  Text text;
  int left;
  bool interrupted = false;    // past the frames of the signal handler itself
  std::size_t of_others = 0;   // text up to the last frame that is not this program's
};

/// Where this program lies; its name there is what ps(1) shows.
const void* own_base = nullptr;

/// @return the frame is this program's.
bool add_frame(Text& text, std::uintptr_t address, bool exact) {
  text.add("[0x");
  text.add_hex(address, 16);
  text.add("] ");
  Dl_info info{};
  // A return address may be the first of the next function: one less is in the call.
  if (::dladdr(reinterpret_cast<void*>(exact ? address : address - 1), &info) == 0 ||
      info.dli_fname == nullptr) {
    text.add(kUnknown);
    text.add("()\n");
    return false;
  }
  const bool own = info.dli_fbase == own_base;
  text.add(info.dli_sname != nullptr ? std::string_view(info.dli_sname) : kUnknown);
  text.add("() ");
  text.add(own ? "fpm" : info.dli_fname);
  text.add("+0x");
  text.add_hex(address - reinterpret_cast<std::uintptr_t>(info.dli_fbase), 1);
  text.add("\n");
  return own;
}

_Unwind_Reason_Code see_frame(_Unwind_Context* context, void* data) {
  Walk& walk = *static_cast<Walk*>(data);
  int exact = 0;
  const std::uintptr_t address = _Unwind_GetIPInfo(context, &exact);
  // The address of a frame that was interrupted is the next instruction's; any other is behind a call.
  walk.interrupted = walk.interrupted || exact != 0;
  if (!walk.interrupted) return _URC_NO_REASON;
  if (walk.left-- <= 0 || address == 0) return _URC_END_OF_STACK;
  const std::size_t before = walk.text.size();
  const bool own = add_frame(walk.text, address, exact != 0);
  if (walk.text.full()) {
    walk.text.cut(before);  // no half lines
    return _URC_END_OF_STACK;
  }
  if (!own) walk.of_others = walk.text.size();
  return _URC_NO_REASON;
}

_Unwind_Reason_Code see_nothing(_Unwind_Context*, void*) { return _URC_NO_REASON; }

}  // namespace

void prepare_backtrace() {
  _Unwind_Backtrace(see_nothing, nullptr);
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&prepare_backtrace), &info) != 0) own_base = info.dli_fbase;
}

std::size_t backtrace(std::span<char> out, int depth) noexcept {
  Walk walk{Text(out), depth};
  _Unwind_Backtrace(see_frame, &walk);
  // What called the module is always the same.
  return walk.of_others > 0 ? walk.of_others : walk.text.size();
}

}  // namespace fpm::handlers::module
