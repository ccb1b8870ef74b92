// Where this thread is, asked in a signal handler.
#pragma once

#include <cstddef>
#include <span>

namespace fpm::handlers::module {

/// Once, before backtrace(): what the first use of an unwinder takes a lock and memory for.
void prepare_backtrace();

/// The frames of the code that a signal has interrupted, from within the handler of that signal, the
/// innermost first: "[0x00007f6a516131a0] function() /path/of/object.so+0x11a0\n". Functions that their
/// object does not export are "??()". Takes the dynamic loader's lock, which the same thread may take
/// again, and allocates nothing. @return bytes written.
std::size_t backtrace(std::span<char> out, int depth) noexcept;

}  // namespace fpm::handlers::module
