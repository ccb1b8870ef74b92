// The folder that a script runs in: its own, and after its end the worker's again, as in php-fpm.
#pragma once

#include <string_view>

namespace fpm::handlers::php {

/// In each worker: the folder it is in is the worker's.
void start_in_folder();
/// Goes to the folder of the script at `path`, unless it is there already.
void enter_folder_of(std::string_view path);
/// Goes back to the worker's folder where that can be noticed: where something of the script's runs
/// after its end (functions at shutdown, destructors, output handlers).
void leave_folder();
/// Goes back to the worker's folder in any case.
void go_home();

}  // namespace fpm::handlers::php
