// The page for a person in a browser. Pure.
#pragma once

#include <string_view>

namespace fpm::status {

/// A page of HTML that needs nothing else: it asks for `status?json`-like data of all pools beside itself
/// ("status") every two seconds, and for the workers of a pool ("status/NAME?json&full") when it is opened, and
/// draws it, with small plots of the last minutes. Workers are summed up by what they do, and only the
/// busiest are listed, so that thousands stay readable. What comes from requests is never taken for HTML.
std::string_view dashboard();

/// For the Content-Security-Policy header: nothing from elsewhere, nothing that requests could smuggle in.
inline constexpr std::string_view kDashboardPolicy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace fpm::status
