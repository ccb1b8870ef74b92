#include <exception>

#include "fpm/cli/cli.hpp"
#include "fpm/http/process.hpp"
#include "fpm/log/log.hpp"
#include "fpm/reporter/process.hpp"

int main(int argc, char** argv) {
  try {
    if (const auto status = fpm::reporter::run_if_asked(argc, argv)) return *status;
    if (const auto status = fpm::http::run_if_asked(argc, argv)) return *status;
    return fpm::cli::main(argc, argv);
  } catch (const std::exception& failure) {
    fpm::log::alert("internal error: {}", failure.what());
    return fpm::cli::kExitInternal;
  }
}
