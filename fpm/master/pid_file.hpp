// The file that tells tools which process the master is.
#pragma once

#include <optional>
#include <string>

#include "fpm/os/socket.hpp"

namespace fpm::master {

/// Written at start (0644, decimal digits, no newline, as php-fpm has it) and removed at the end,
/// if it is still the same file: another instance may have written its own meanwhile.
class PidFile {
 public:
  /// An empty path makes no file.
  static os::Result<PidFile> write(const std::string& path);

  PidFile() = default;
  PidFile(PidFile&& other) noexcept
      : path_(std::move(other.path_)),
        fd_(std::move(other.fd_)),
        file_(std::exchange(other.file_, std::nullopt)) {}
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();

 private:
  std::string path_;
  // Open as long as we live: the number of a file that is gone can become another's at once, and
  // then what a successor wrote would look like ours (seen).
  os::UniqueFd fd_;
  std::optional<os::FileId> file_;
};

}  // namespace fpm::master
