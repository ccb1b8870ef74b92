// /metrics: all pools in the OpenMetrics text format. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::status {

/// For the Content-Type header.
inline constexpr std::string_view kMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Appends the exposition, ended by "# EOF". Units are seconds and bytes, counters end in _total,
/// histograms have buckets from 1 ms to 60 s. Every sample has the label pool; with `full` there are also
/// those of each worker, labelled with the number of its slot, never with a pid. What cannot be known is
/// left out, and so are the families of doors where no pool has one. Source: OpenMetrics 1.0.
void render_metrics(std::string& out, std::span<const scoreboard::PoolSnapshot> pools, bool full,
                    std::string_view version);

}  // namespace fpm::status
