// The reporter as a process of its own.
#pragma once

#include <optional>

namespace fpm::reporter {

/// If the program was started as the reporter (message.hpp, kOption), is it until the master ends.
/// @return the exit status; nothing: it was started as something else.
std::optional<int> run_if_asked(int argc, char** argv);

}  // namespace fpm::reporter
