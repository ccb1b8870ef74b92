// CPU time, as the scheduler counts it.
#pragma once

#include <sys/types.h>

#include <vector>

namespace fcgi_bench {

/// CPU seconds of the processes and all their descendants, to the nanosecond while they live; those
/// that were waited for to 10 ms or so in all.
double tree_cpu_s(const std::vector<pid_t>& trees);

/// Of this process.
double own_cpu_s();

}  // namespace fcgi_bench
