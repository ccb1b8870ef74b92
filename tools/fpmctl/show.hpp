// What fpmctl prints of an answer. Pure.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <vector>

namespace fpmctl {

/// A table of all pools, one line each, and their sum. `pools`: the array of the answer; what is missing in it
/// shows as "-".
std::string pool_table(const boost::json::value& pools);

/// A table of the connections of a door, the oldest first, and a line of how many are in each state. `door`: the
/// answer.
std::string connection_table(const boost::json::value& door);

/// Where a worker waits, by its pid: "do_sys_poll"; "-" if that may not be read.
using Whereabouts = std::function<std::string(long pid)>;

/// What `top` shows: a line of the whole, the pools, and the workers of all pools, the busiest first, at most
/// `rows` lines (0: all), each at most `columns` characters (0: as long as it is). Control characters
/// come out as `?`.
std::vector<std::string> top_lines(const boost::json::value& pools, std::size_t rows,
                                   std::size_t columns, const Whereabouts& waits_in);

}  // namespace fpmctl
