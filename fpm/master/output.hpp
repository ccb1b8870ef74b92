// What workers print, read by the master and written to its log.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>

#include "fpm/master/pool.hpp"

namespace fpm::master {

/// Reads both pipes until their ends and logs what comes, line by line. What is left in them when
/// the watch is destroyed (the worker has ended) is read first.
std::unique_ptr<OutputWatch> watch_output(boost::asio::io_context& io, const config::Pool& pool,
                                          pid_t pid, os::UniqueFd out, os::UniqueFd err);

}  // namespace fpm::master
