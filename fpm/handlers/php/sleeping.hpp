#pragma once

namespace fpm::handlers::php {

/// Has sleep(), usleep() and time_nanosleep() of scripts take their whole time, whatever signal the
/// worker gets: that which asks for the slow log's stack ends a sleep in the kernel. To be called
/// once, when PHP's functions are there.
void make_sleeps_whole();

}  // namespace fpm::handlers::php
