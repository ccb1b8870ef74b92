// The connection to a running instance.
#pragma once

#include <chrono>
#include <string>

#include "fpm/os/fd.hpp"

namespace fpmctl {

/// Orders and their answers, one after the other. Blocks.
class Client {
 public:
  /// Errors: nobody listens there, no right to.
  static fpm::os::Result<Client> connect(const std::string& path);

  /// Sends a line and waits for the line that answers it. Errors: ETIMEDOUT after `patience` without a byte,
  /// ECONNRESET when the instance ends or drops us.
  fpm::os::Result<std::string> ask(const std::string& line, std::chrono::milliseconds patience);

 private:
  fpm::os::UniqueFd fd_;
  std::string received_;
};

}  // namespace fpmctl
