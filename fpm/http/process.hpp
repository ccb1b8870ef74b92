// A door as a process of its own.
#pragma once

#include <optional>

namespace fpm::http {

/// If the program was started as a door (message.hpp, kOption), is it until it has finished or the
/// master ends. @return the exit status; nothing: it was started as something else.
std::optional<int> run_if_asked(int argc, char** argv);

}  // namespace fpm::http
