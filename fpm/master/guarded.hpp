// What every handler of the master's loop runs in.
#pragma once

#include <exception>
#include <utility>

#include "fpm/log/log.hpp"

namespace fpm::master {

/// Calls `work`; what is thrown in it (memory, a bug of ours) is logged, and the program goes on
/// serving.
template <class Work>
void guarded(Work&& work) {
  try {
    std::forward<Work>(work)();
  } catch (const std::exception& failure) {
    log::error("internal error: {}", failure.what());
  }
}

}  // namespace fpm::master
