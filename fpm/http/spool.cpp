#include "fpm/http/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace fpm::http {

namespace {

/// Kept for the next use.
constexpr std::size_t kLittle = 16 * 1024;

}  // namespace

os::Result<os::UniqueFd> open_temporary() {
  constexpr const char* kFolder = "/tmp";
  os::UniqueFd file(::open(kFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file) return file;
  // A file system without O_TMPFILE.
  std::string name = std::string(kFolder) + "/fpm-door-XXXXXX";
  file.reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) return os::last_error("open a temporary file in /tmp");
  ::unlink(name.c_str());
  return file;
}

bool Spool::needs_file(std::size_t bytes) const {
  if (file_) return false;
  return memory_.size() - taken_ + bytes > limit_;
}

os::Result<void> Spool::append(std::string_view bytes) {
  const bool spilled = file_end_ > file_begin_;
  if (!spilled && memory_.size() - taken_ + bytes.size() <= limit_) {
    if (taken_ > 0 && memory_.size() + bytes.size() > memory_.capacity()) {
      memory_.erase(0, taken_);
      taken_ = 0;
    }
    memory_.append(bytes);
    return {};
  }
  if (!file_) {
    auto file = open_temporary();
    if (!file) return file.error();
    file_ = std::move(*file);
  }
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(file_end_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return os::last_error("write a temporary file in /tmp");
    file_end_ += static_cast<std::uint64_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

void Spool::take(std::uint64_t bytes) {
  if (taken_ < memory_.size()) {
    taken_ += static_cast<std::size_t>(bytes);
    if (taken_ == memory_.size()) {
      memory_.clear();
      taken_ = 0;
    }
    return;
  }
  file_begin_ += bytes;
  if (file_begin_ < file_end_) return;
  if (file_end_ > 0) (void)!::ftruncate(file_.get(), 0);
  file_begin_ = file_end_ = 0;
}

void Spool::clear() {
  memory_.clear();
  if (memory_.capacity() > kLittle) memory_ = std::string();
  taken_ = 0;
  file_.reset();
  file_begin_ = file_end_ = 0;
}

}  // namespace fpm::http
