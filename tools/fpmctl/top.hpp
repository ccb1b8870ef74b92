// fpmctl top: a screen that is drawn anew every second.
#pragma once

#include "tools/fpmctl/client.hpp"
#include "tools/fpmctl/options.hpp"

namespace fpmctl {

/// Runs until q, ^C or the last look. The terminal is as before afterwards. @return the exit status.
int top(Client& client, const Options& options);

}  // namespace fpmctl
