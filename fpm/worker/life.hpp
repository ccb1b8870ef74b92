// The steps of a worker's life that are shared by one that the master forked and one that a template did.
#pragma once

#include <memory>

#include "fpm/handlers/handler.hpp"
#include "fpm/master/worker_entry.hpp"

namespace fpm::worker {

/// The pool's handler; where this build has none the process ends, and its channel says so.
std::unique_ptr<handlers::Handler> make_handler(const master::WorkerStart& start);

/// From the handler's start() to the end of the process, which is set up and whose handler has loaded.
/// Both have to live as long as the process.
[[noreturn]] void serve(const master::WorkerStart& start, handlers::Handler& handler);

}  // namespace fpm::worker
