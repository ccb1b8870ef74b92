#include "fpm/http/site.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fpm/http/target.hpp"

namespace fpm::http {

namespace {

constexpr int kReading = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

/// Whether the kernel has openat2, and no filter of a container forbids it.
bool has_openat2() {
  static const bool has = [] {
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    const os::UniqueFd root(
        static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how)));
    return static_cast<bool>(root);
  }();
  return has;
}

/// The same without openat2, and so without any link: step by step.
os::UniqueFd open_stepwise(int root, std::string_view name, int flags) {
  os::UniqueFd folder;
  while (true) {
    const std::size_t end = std::min(name.find('/'), name.size());
    const std::string step(name.substr(0, end));
    name.remove_prefix(std::min(name.find_first_not_of('/', end), name.size()));
    const bool last = name.empty();
    const int how = last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC;
    os::UniqueFd next(::openat(folder ? folder.get() : root, step.c_str(), how | O_NOFOLLOW));
    if (!next || last) return next;
    folder = std::move(next);
  }
}

bool no_such_file(int code) { return code == ENOENT || code == ENOTDIR || code == ENAMETOOLONG; }

}  // namespace

Found Site::find(std::string_view path) {
  if (!settings_.hidden && is_hidden(path)) return {};
  Found found = look(path, false);
  const bool missing = found.kind == Found::Kind::refused && found.status == 404;
  if (missing && settings_.scripts != ScriptRule::none) {
    Found above = find_script_above(path);
    if (above.kind == Found::Kind::script) return above;
  }
  const bool nothing = missing || (found.kind == Found::Kind::refused && path.ends_with('/'));
  if (!nothing || settings_.fallback.empty() || found.status == 500) return found;
  Found fallback = look(settings_.fallback, false);
  return fallback.kind == Found::Kind::folder ? Found() : std::move(fallback);
}

Found Site::find_for_script(std::string_view name) {
  for (const std::string& root : {settings_.root, pool_path("")}) {
    if (name.starts_with(root) && name.substr(root.size()).starts_with('/')) {
      return look(name.substr(root.size()), true);
    }
  }
  if (name.starts_with('/')) return {};
  return look(fmt::format("/{}", name), true);
}

std::string Site::pool_path(std::string_view path) const {
  std::string_view root = settings_.root;
  const std::string& chroot = settings_.chroot;
  if (!chroot.empty() && root.starts_with(chroot) &&
      (root.size() == chroot.size() || root[chroot.size()] == '/')) {
    root.remove_prefix(chroot.size());
  }
  return fmt::format("{}{}", root, path);
}

Found Site::look(std::string_view path, bool for_script) {
  if (!open_root()) {
    const int code = errno;
    if (code == EMFILE || code == ENFILE) return from_errno(code, path);
    Found found;
    found.status = 500;
    found.problem = fmt::format("http.root: {}", os::Error(code, "open " + settings_.root).text());
    return found;
  }
  if (path.ends_with('/')) return look_in_folder(path, for_script);
  os::UniqueFd file = open(path, kReading);
  if (file) return classify(path, std::move(file), true, for_script);
  const int code = errno;
  // A program may be executable and not readable. A socket cannot be opened at all.
  if (code != EACCES && code != ENXIO) return from_errno(code, path);
  os::UniqueFd place = open(path, O_PATH | O_CLOEXEC);
  if (!place) return from_errno(code, path);
  return classify(path, std::move(place), false, for_script);
}

/// The first index file that is there. Without one the folder is not shown.
Found Site::look_in_folder(std::string_view path, bool for_script) {
  if (!for_script) {
    for (const std::string& index : settings_.index) {
      Found found = look(fmt::format("{}{}", path, index), false);
      const bool missing = found.kind == Found::Kind::refused && found.status == 404;
      if (!missing && found.kind != Found::Kind::folder) return found;
    }
  }
  const os::UniqueFd folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (!folder) return from_errno(errno, path);
  Found found;
  found.status = 403;
  return found;
}

/// A script whose path `path` goes on behind: what follows it is PATH_INFO.
Found Site::find_script_above(std::string_view path) {
  std::size_t end = path.size();
  while (end > 1) {
    end = path.rfind('/', end - 1);
    if (end == path.npos || end == 0) break;
    const std::string_view above = path.substr(0, end);
    const os::UniqueFd file = open(above, O_PATH | O_CLOEXEC);
    if (!file && no_such_file(errno)) continue;
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) < 0) break;
    if (!S_ISREG(status.st_mode) || !is_script(above, status.st_mode)) break;
    Found found;
    found.kind = Found::Kind::script;
    found.path = above;
    found.path_info = path.substr(end);
    return found;
  }
  return {};
}

Found Site::classify(std::string_view path, os::UniqueFd file, bool may_read, bool for_script) {
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) return from_errno(errno, path);
  Found found;
  found.path = path;
  found.status = 403;
  if (S_ISDIR(status.st_mode)) {
    if (!for_script) found.kind = Found::Kind::folder;
    return found;
  }
  if (!S_ISREG(status.st_mode)) return found;  // a device, a FIFO, a socket
  if (!for_script && is_script(path, status.st_mode)) {
    found.kind = Found::Kind::script;
    return found;
  }
  if (!may_read) return found;
  found.kind = Found::Kind::file;
  found.file = std::move(file);
  found.facts = {static_cast<std::uint64_t>(status.st_size), status.st_mtim.tv_sec,
                 static_cast<std::uint32_t>(status.st_mtim.tv_nsec)};
  return found;
}

Found Site::from_errno(int code, std::string_view path) const {
  Found found;
  found.path = path;
  if (code == EMFILE || code == ENFILE) {
    found.kind = Found::Kind::no_files;
  } else if (no_such_file(code)) {
    found.status = 404;
  } else if (code == EACCES || code == EPERM || code == EXDEV || code == ELOOP) {
    found.status = 403;  // EXDEV: it leads out of the root
  } else {
    found.status = 500;
    found.problem = os::Error(code, fmt::format("open {}{}", settings_.root, path)).text();
  }
  return found;
}

bool Site::is_script(std::string_view path, std::uint32_t mode) const {
  switch (settings_.scripts) {
    case ScriptRule::none: return false;
    case ScriptRule::executable: return (mode & 0111U) != 0;
    case ScriptRule::extension:
      return std::any_of(settings_.extensions.begin(), settings_.extensions.end(),
                         [&](const std::string& suffix) { return path.ends_with(suffix); });
    case ScriptRule::all: return true;
  }
  return false;
}

/// In the root, whatever links are on the way.
os::UniqueFd Site::open(std::string_view path, int flags) {
  std::string name(path.substr(path.find_first_not_of('/') == path.npos ? path.size() : 1));
  if (name.empty()) name = ".";
  if (settings_.follow_links) {
    return os::UniqueFd(::openat(root_.get(), name.c_str(), flags));
  }
  if (!has_openat2()) return open_stepwise(root_.get(), name, flags);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH;
  return os::UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, root_.get(), name.c_str(), &how, sizeof how)));
}

bool Site::open_root() {
  const auto now = std::chrono::steady_clock::now();
  if (root_ && now - looked_ < look_again_) return true;
  looked_ = now;
  struct stat status {};
  if (root_ && ::stat(settings_.root.c_str(), &status) == 0 &&
      status.st_dev == root_device_ && status.st_ino == root_inode_) {
    return true;
  }
  os::UniqueFd root(::open(settings_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::fstat(root.get(), &status) < 0) {
    const int code = errno;
    root_.reset();
    errno = code;
    return false;
  }
  root_ = std::move(root);
  root_device_ = status.st_dev;
  root_inode_ = status.st_ino;
  return true;
}

}  // namespace fpm::http
