// The status page: a snapshot of a pool as text. Pure.
//
// Every byte is php-fpm's (8.2.36), because exporters and scripts read it, with these exceptions:
// a listen queue that cannot be known is `-` (json null, OpenMetrics NaN) instead of 0; control
// characters in the plain text come out as \xNN, since a newline in a URI could forge rows; of a
// string that is no UTF-8, html and xml drop the wrong bytes instead of the whole string.
#pragma once

#include <string>
#include <string_view>

#include "fpm/scoreboard/snapshot.hpp"

namespace fpm::status {

enum class Format { text, json, html, xml, openmetrics };

/// The format that a query string asks for by the presence of a key, tested in the order html,
/// xml, json, openmetrics, whatever its value; else text.
Format choose_format(std::string_view query);
/// The query has the key `full`: the processes too.
bool wants_full(std::string_view query);
/// The query has the key `extended`: what php-fpm does not know, after what it knows.
bool wants_extended(std::string_view query);

/// The value of the Content-Type header: "text/plain;charset=UTF-8", ...
std::string_view content_type(Format format);

/// "Content-type", as php-fpm writes that header's name, or "Content-Type", as it does in two formats.
std::string_view content_type_header(Format format);

/// Appends the page to `out`, whose room is reused: a warm string costs no allocation. `full` adds
/// the processes (not in OpenMetrics, as with php-fpm). Strings of the snapshot may be anything;
/// json, html and xml stay well-formed.
///
/// `extended` adds: max children; timed out, killed, rejected and aborted requests; duration and
/// queue wait p50, p90, p99, p99.9 (microseconds) and their counts; memory (bytes); generation; last
/// reload (0 or - for none); state; of a pool with a door its connections by state ("door reading", ...) and its
/// counters. In OpenMetrics as gauges phpfpm_max_children and so on.
void render(std::string& out, const scoreboard::PoolSnapshot& pool, Format format, bool full,
            bool extended = false);

}  // namespace fpm::status
