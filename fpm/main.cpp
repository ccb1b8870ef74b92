#include <exception>

#include "fpm/cli/cli.hpp"
#include "fpm/log/log.hpp"

int main(int argc, char** argv) {
  try {
    return fpm::cli::main(argc, argv);
  } catch (const std::exception& failure) {
    fpm::log::alert("internal error: {}", failure.what());
    return fpm::cli::kExitInternal;
  }
}
