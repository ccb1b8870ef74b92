#include "fpm/os/identity.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>

#include "fpm/os/process.hpp"

namespace fpm::os {

namespace {

std::optional<unsigned> as_number(const std::string& text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, value);
  if (text.empty() || failure != std::errc() || stop != end) return std::nullopt;
  // (uid_t)-1 means "leave as it is" to chown(2) and is refused by setuid(2).
  if (value == ~0U) return std::nullopt;
  return value;
}

std::vector<gid_t> groups_of(const std::string& name, gid_t gid) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(name.c_str(), gid, groups.data(), &count) < 0) {
    groups.resize(static_cast<std::size_t>(count));
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

}  // namespace

Result<gid_t> resolve_group(const std::string& group) {
  if (const auto number = as_number(group)) return static_cast<gid_t>(*number);
  errno = 0;
  if (const struct group* entry = ::getgrnam(group.c_str())) return entry->gr_gid;
  return Error{errno != 0 ? errno : ENOENT, fmt::format("cannot get gid for group '{}'", group)};
}

Result<uid_t> resolve_user(const std::string& user) {
  if (const auto number = as_number(user)) return static_cast<uid_t>(*number);
  errno = 0;
  if (const struct passwd* entry = ::getpwnam(user.c_str())) return entry->pw_uid;
  return Error{errno != 0 ? errno : ENOENT, fmt::format("cannot get uid for user '{}'", user)};
}

Result<Identity> resolve_identity(const std::string& user, const std::string& group) {
  const auto uid = resolve_user(user);
  if (!uid) return uid.error();
  Identity identity;
  identity.uid = *uid;
  identity.gid = static_cast<gid_t>(*uid);
  if (const struct passwd* entry = ::getpwuid(*uid)) {
    identity.gid = entry->pw_gid;
    identity.name = entry->pw_name;
    identity.home = entry->pw_dir;
  }
  if (!group.empty()) {
    const auto gid = resolve_group(group);
    if (!gid) return gid.error();
    identity.gid = *gid;
  }
  identity.groups = identity.name.empty() ? std::vector<gid_t>{identity.gid}
                                          : groups_of(identity.name, identity.gid);
  return identity;
}

Result<Identity> Identities::resolve(const std::string& user, const std::string& group) {
  const auto key = std::pair(user, group);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  auto identity = resolve_identity(user, group);
  if (identity) known_.emplace(key, *identity);
  return identity;
}

Identity current_identity() {
  Identity identity;
  identity.uid = ::geteuid();
  identity.gid = ::getegid();
  if (const struct passwd* entry = ::getpwuid(identity.uid)) {
    identity.name = entry->pw_name;
    identity.home = entry->pw_dir;
  }
  return identity;
}

Result<void> become(const Identity& identity) {
  if (::setgroups(identity.groups.size(), identity.groups.data()) < 0) {
    return last_error("setgroups");
  }
  if (::setgid(identity.gid) < 0) return last_error(fmt::format("setgid {}", identity.gid));
  if (::setuid(identity.uid) < 0) return last_error(fmt::format("setuid {}", identity.uid));
  return {};
}

Result<void> may_enter(const std::optional<Identity>& identity, const std::string& folder) {
  const std::string what = "enter " + folder;
  if (!identity) {
    if (::faccessat(AT_FDCWD, folder.c_str(), X_OK, AT_EACCESS) < 0) return last_error(what);
    return {};
  }
  const auto child = fork_process();
  if (!child) return child.error();
  if (*child == 0) {
    if (auto done = become(*identity); !done) exit_now(done.error().code);
    exit_now(::chdir(folder.c_str()) == 0 ? 0 : errno);
  }
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
  if (code != 0) return Error(code, fmt::format("as user {}: {}", identity->name, what));
  return {};
}

}  // namespace fpm::os
