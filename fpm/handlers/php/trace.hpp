// Where a script is, found out in the middle of it.
#pragma once

#include <cstddef>
#include <span>

namespace fpm::handlers::php {

/// The stack of the running script, as Handler::where() gives it. Async-signal-safe; reads PHP's memory
/// by process_vm_readv(2) of this very process, which fails where a plain read would crash.
std::size_t write_stack(std::span<char> out, int depth) noexcept;

}  // namespace fpm::handlers::php
