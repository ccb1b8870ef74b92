// How many files the master has open.
#pragma once

#include <cstdint>

#include "fpm/config/config.hpp"

namespace fpm::master {

/// Descriptors that a configuration asks for, at most. Those of one process that need most: the
/// master's.
struct DescriptorNeed {
  std::uint64_t serving = 0;    ///< with all the workers that the pools may have
  std::uint64_t reloading = 0;  ///< while old workers finish beside as many new ones
};

/// Pure.
DescriptorNeed descriptors_needed(const config::Config& config);

}  // namespace fpm::master
