#include "fpm/config/users.hpp"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <charconv>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "fpm/os/error.hpp"

namespace fpm::config {
namespace {

constexpr std::size_t kMostEntry = 1 << 20;  ///< bytes; groups with thousands of members are long

/// Calls a getpw*_r or getgr*_r with a buffer that grows. @return 0 or an errno.
template <class Entry, class Call>
int look_up(Entry& entry, Entry*& found, std::vector<char>& buffer, Call call) {
  buffer.resize(4096);
  int error = call(&entry, buffer.data(), buffer.size(), &found);
  while (error == ERANGE && buffer.size() < kMostEntry) {
    buffer.resize(buffer.size() * 2);
    error = call(&entry, buffer.data(), buffer.size(), &found);
  }
  return error;
}

/// The highest number is (uid_t)-1, which system calls take for "unchanged".
std::optional<unsigned> parse_id(const std::string& text) {
  unsigned id = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, id);
  if (error != std::errc() || stop != end || id == std::numeric_limits<unsigned>::max()) {
    return std::nullopt;
  }
  return id;
}

std::string not_found(const char* what, const char* kind, const std::string& name, int error) {
  std::string text = fmt::format("cannot get {} for {} '{}'", what, kind, name);
  if (error != 0) text += ": " + os::errno_text(error);
  return text;
}

}  // namespace

User find_user(const std::string& name) {
  const std::optional<unsigned> id = parse_id(name);
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer;
  const int error = look_up(entry, found, buffer, [&](auto... rest) {
    return id ? getpwuid_r(*id, rest...) : getpwnam_r(name.c_str(), rest...);
  });
  if (found != nullptr) return {found->pw_uid, found->pw_gid, {}};
  if (id) return {*id, std::nullopt, {}};
  return {0, std::nullopt, not_found("uid", "user", name, error)};
}

Group find_group(const std::string& name) {
  if (const std::optional<unsigned> id = parse_id(name)) return {*id, {}};
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer;
  const int error = look_up(entry, found, buffer, [&](auto... rest) {
    return getgrnam_r(name.c_str(), rest...);
  });
  if (found != nullptr) return {found->gr_gid, {}};
  return {0, not_found("gid", "group", name, error)};
}

}  // namespace fpm::config
