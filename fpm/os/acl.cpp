#include "fpm/os/acl.hpp"

#include <endian.h>
#include <fmt/format.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fpm::os {

namespace {

// The numbers of <linux/posix_acl.h> and <linux/posix_acl_xattr.h>, which no C library declares.
constexpr const char* kAttribute = "system.posix_acl_access";
constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kNobody = ~0U;
constexpr mode_t kReadWrite = 06;
enum Tag : std::uint16_t {
  user_object = 0x01,
  user = 0x02,
  group_object = 0x04,
  group = 0x08,
  mask = 0x10,
  other = 0x20,
};

/// The attribute's bytes; the kernel wants the entries in the order of their tags, then ids.
class Attribute {
 public:
  Attribute() { put(htole32(kVersion)); }

  void entry(Tag tag, mode_t permissions, std::uint32_t id = kNobody) {
    put(htole16(static_cast<std::uint16_t>(tag)));
    put(htole16(static_cast<std::uint16_t>(permissions & 07)));
    put(htole32(id));
  }
  void entries(Tag tag, std::vector<std::uint32_t> ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (const std::uint32_t id : ids) entry(tag, kReadWrite, id);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class Number>
  void put(Number number) {
    char raw[sizeof number];
    std::memcpy(raw, &number, sizeof number);
    bytes_.append(raw, sizeof number);
  }

  std::string bytes_;
};

}  // namespace

Result<void> set_acl(const std::string& path, mode_t mode, std::vector<uid_t> users,
                     std::vector<gid_t> groups) {
  Attribute acl;
  acl.entry(user_object, mode >> 6);
  acl.entries(user, std::move(users));
  acl.entry(group_object, mode >> 3);
  acl.entries(group, std::move(groups));
  acl.entry(mask, (mode >> 3) | kReadWrite);
  acl.entry(other, mode);
  if (::setxattr(path.c_str(), kAttribute, acl.bytes().data(), acl.bytes().size(), 0) < 0) {
    return last_error(fmt::format("failed to write the ACL of the socket '{}'", path));
  }
  return {};
}

}  // namespace fpm::os
