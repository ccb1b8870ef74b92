// A worker: one process that takes one request at a time through the six stages.
#pragma once

#include "fpm/master/worker_entry.hpp"

namespace fpm::worker {

/// A worker's whole life, from the moment after fork to _exit: set-up, requests, end.
/// A master::WorkerEntry.
[[noreturn]] void run_worker(const master::WorkerStart& start);

/// A template's whole life: loads the application, forks workers on order (master/template_entry.hpp).
/// A master::WorkerEntry.
[[noreturn]] void run_template(const master::WorkerStart& start);

/// The life of the process that templates of pools are copies of, with template = shared. A
/// master::WorkerEntry.
[[noreturn]] void run_shared_template(const master::WorkerStart& start);

}  // namespace fpm::worker
