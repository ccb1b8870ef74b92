#include "fpm/master/pid_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace fpm::master {

os::Result<PidFile> PidFile::write(const std::string& path) {
  PidFile pid_file;
  if (path.empty()) return pid_file;
  ::unlink(path.c_str());
  os::UniqueFd fd(
      ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return os::last_error(fmt::format("Unable to create the PID file ({})", path));
  const std::string text = std::to_string(::getpid());
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return os::last_error(fmt::format("Unable to write the PID file ({})", path));
  }
  pid_file.path_ = path;
  pid_file.fd_ = std::move(fd);
  pid_file.file_ = os::file_id(path);
  return pid_file;
}

PidFile::~PidFile() {
  if (file_) os::unlink_if_same(path_, *file_);
}

}  // namespace fpm::master
