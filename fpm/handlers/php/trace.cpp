#include "fpm/handlers/php/trace.hpp"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {
namespace {

/// Copies memory that may not be there. Where a container's filter forbids process_vm_readv, by way of
/// a pipe: write(2) fails with EFAULT, too.
class Memory {
 public:
  ~Memory() {
    for (const int end : pipe_) {
      if (end >= 0) ::close(end);
    }
  }

  bool read(const void* from, void* to, std::size_t size) noexcept {
    if (from == nullptr) return false;
    if (pipe_[0] < 0) {
      const iovec local{to, size};
      const iovec remote{const_cast<void*>(from), size};
      const ssize_t got = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
      if (got == static_cast<ssize_t>(size)) return true;
      const bool forbidden = got < 0 && (errno == EPERM || errno == ENOSYS);
      if (!forbidden || ::pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) return false;
    }
    return ::write(pipe_[1], from, size) == static_cast<ssize_t>(size) &&
           ::read(pipe_[0], to, size) == static_cast<ssize_t>(size);
  }
  template <class T>
  bool read(const T* from, T& to) noexcept {
    return read(from, &to, sizeof(T));
  }

 private:
  int pipe_[2] = {-1, -1};
};

/// Lines, whole ones only.
class Lines {
 public:
  explicit Lines(std::span<char> out) : out_(out) {}

  void add(std::string_view text) {
    const std::size_t size = std::min(text.size(), out_.size() - size_);
    std::memcpy(out_.data() + size_, text.data(), size);
    full_ = full_ || size < text.size();
    size_ += size;
  }
  void add_address(const void* address) {
    char digits[16];
    auto value = reinterpret_cast<std::uintptr_t>(address);
    for (int i = 15; i >= 0; --i, value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
    add("[0x");
    add({digits, 16});
    add("] ");
  }
  void add_number(unsigned number) {
    char digits[12];
    const auto end = std::to_chars(digits, digits + sizeof digits, number);
    add({digits, static_cast<std::size_t>(end.ptr - digits)});
  }
  /// @return there is room for more.
  bool end_line() {
    add("\n");
    if (!full_) whole_ = size_;
    return !full_;
  }
  std::size_t size() const { return whole_; }

 private:
  std::span<char> out_;
  std::size_t size_ = 0, whole_ = 0;
  bool full_ = false;
};

/// What is common to functions of scripts and of PHP, and a little more of the former.
struct Function {
  zend_uchar type = 0;
  zend_string* name = nullptr;
  zend_string* file = nullptr;  // of functions of scripts
};

class Stack {
 public:
  explicit Stack(std::span<char> out) : lines_(out) {}

  std::size_t write(int depth) {
    const zend_execute_data* at = EG(current_execute_data);
    const zend_execute_data* const innermost = at;
    zend_execute_data frame;
    int written = 0;
    // A torn chain may go in circles; its end is what is written, not what is looked at.
    for (int looked = 0; at != nullptr && looked < 10'000 && written < depth; ++looked) {
      if (!memory_.read(at, frame)) break;
      Function function;
      const bool known = read_function(frame.func, function);
      // Nobody called the outermost one, which is the script itself.
      if (known && has_caller(frame)) {
        lines_.add_address(at);
        if (function.name != nullptr) {
          add_string(function.name, 128);
        } else {
          lines_.add(function.file != nullptr ? "[INCLUDE_OR_EVAL]" : "???");
        }
        lines_.add("() ");
        add_place(frame.prev_execute_data);
        ++written;
        if (!lines_.end_line()) break;
      }
      at = frame.prev_execute_data;
    }
    // A script that calls nothing: php-fpm would say nothing.
    if (written == 0 && innermost != nullptr && depth > 0) {
      lines_.add_address(innermost);
      lines_.add("{main}() ");
      add_place(innermost);
      lines_.end_line();
    }
    return lines_.size();
  }

 private:
  bool read_function(const zend_function* from, Function& to) {
    if (from == nullptr) return false;
    decltype(from->common) common;
    if (!memory_.read(&from->common, common)) return false;
    to.type = common.type;
    to.name = common.function_name;
    return !ZEND_USER_CODE(to.type) || memory_.read(&from->op_array.filename, to.file);
  }

  bool has_caller(const zend_execute_data& frame) {
    const zend_execute_data* at = frame.prev_execute_data;
    zend_execute_data caller;
    for (int looked = 0; at != nullptr && looked < 100; ++looked) {
      if (!memory_.read(at, caller)) return false;
      if (caller.func != nullptr) return true;
      at = caller.prev_execute_data;
    }
    return false;
  }

  /// File and line of the next frame that is a script's.
  void add_place(const zend_execute_data* at) {
    zend_execute_data frame;
    for (int looked = 0; at != nullptr && looked < 100; ++looked) {
      Function function;
      if (!memory_.read(at, frame)) break;
      if (read_function(frame.func, function) && ZEND_USER_CODE(function.type)) {
        zend_op op;
        const bool line = frame.opline != nullptr && memory_.read(frame.opline, op);
        add_string(function.file, 512);
        lines_.add(":");
        lines_.add_number(line ? op.lineno : 0);
        return;
      }
      at = frame.prev_execute_data;
    }
    lines_.add("unknown:0");
  }

  void add_string(const zend_string* string, std::size_t most) {
    char text[512];
    std::size_t length = 0;
    const bool known = string != nullptr && memory_.read(&string->len, length);
    length = std::min({length, most, sizeof text});
    if (!known || !memory_.read(string->val, text, length)) return lines_.add("???");
    // A name may hold anything: a line stays a line.
    for (std::size_t i = 0; i < length; ++i) {
      if (static_cast<unsigned char>(text[i]) < 0x20 || text[i] == 0x7f) text[i] = '?';
    }
    lines_.add({text, length});
  }

  Memory memory_;
  Lines lines_;
};

}  // namespace

std::size_t write_stack(std::span<char> out, int depth) noexcept {
  const int saved = errno;
  const std::size_t size = Stack(out).write(depth);
  errno = saved;
  return size;
}

}  // namespace fpm::handlers::php
