// Makes the load.
#pragma once

#include "tools/fcgi_bench/options.hpp"
#include "tools/fcgi_bench/report.hpp"

namespace fcgi_bench {

/// Sends the requests that the options ask for and waits for their answers. One thread and its own epoll
/// loop, not Asio: what the tool itself costs is missing to the server on the same machine. Blocks.
/// @throws std::runtime_error if the address cannot be used.
Report run(const Options& options);

}  // namespace fcgi_bench
