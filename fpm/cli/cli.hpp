// From the command line to a running master.
#pragma once

namespace fpm::cli {

// Exit statuses, those of php-fpm (sysexits.h).
inline constexpr int kExitOk = 0;
inline constexpr int kExitUsage = 64;     ///< a bad option or a stray argument
inline constexpr int kExitInternal = 70;  ///< something failed that is nobody's configuration
inline constexpr int kExitConfig = 78;    ///< every refusal at start

/// The whole program; blocks until it is over. @return the exit status.
int main(int argc, char** argv);

}  // namespace fpm::cli
