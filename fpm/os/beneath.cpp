#include "fpm/os/beneath.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "fpm/os/fd.hpp"

namespace fpm::os {
namespace {

bool is_below(std::string_view root, std::string_view path) {
  while (root.size() > 1 && root.back() == '/') root.remove_suffix(1);
  if (root == "/" || path == root) return true;
  return path.size() > root.size() && path.starts_with(root) && path[root.size()] == '/';
}

// What follows root and its slashes; "." for root itself.
std::string relative(std::string_view root, std::string_view path) {
  while (root.size() > 1 && root.back() == '/') root.remove_suffix(1);
  std::string_view rest = path.substr(root == "/" ? 0 : root.size());
  rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
  return rest.empty() ? "." : std::string(rest);
}

// The common case in two system calls: a path written below root whose links stay below it.
// Says nothing where openat2 is missing (ENOSYS, in containers EPERM) and where it is stricter
// than we are: RESOLVE_BENEATH refuses (EXDEV) every absolute link, also one that leads back in.
std::optional<Result<bool>> ask_openat2(const std::string& root, const std::string& path) {
  if (!is_below(root, path)) return {};
  const UniqueFd folder(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return Result<bool>(last_error("open " + root));
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const std::string name = relative(root, path);
  const UniqueFd file(static_cast<int>(
      ::syscall(SYS_openat2, folder.get(), name.c_str(), &how, sizeof how)));
  if (file) return Result<bool>(true);
  if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ENAMETOOLONG) {
    return Result<bool>(last_error("open " + path));
  }
  return {};
}

Result<std::string> real_path(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(path.c_str(), buffer) == nullptr) return last_error("realpath " + path);
  return std::string(buffer);
}

}  // namespace

Result<bool> lies_beneath(const std::string& root, const std::string& path) {
  if (const auto answer = ask_openat2(root, path)) return *answer;
  const auto real_root = real_path(root);
  if (!real_root) return real_root.error();
  const auto real = real_path(path);
  if (!real) return real.error();
  return is_below(*real_root, *real);
}

}  // namespace fpm::os
