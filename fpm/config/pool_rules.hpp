// The rules about one pool; rules.cpp has those about several pools and about [global].
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fpm/config/rules.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::config {

/// Checks one pool, see check_rules(). All optional parts of `options` about this machine are
/// either set or unknown for good; running_as_root is set.
void check_pool(const Section& section, const LoadOptions& options, os::Identities& identities,
                Pool& pool, std::vector<Problem>& problems);

bool is_folder(const std::string& path);
/// Why a log could not be opened for appending, as an errno; 0: it may be possible. Makes nothing.
int why_not_writable(const std::string& file);
/// php-fpm's words for a socket's path that no sockaddr_un holds; empty: it fits.
std::string path_too_long(const std::string& path);
/// php-fpm's words for a directive that needs root.
std::string ignored(std::string_view name);

}  // namespace fpm::config
