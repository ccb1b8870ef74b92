#include "fpm/os/acl.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "fpm/os/fd.hpp"
#include "fpm/os/identity.hpp"
#include "fpm/os/process.hpp"

using namespace fpm::os;

namespace {

/// A file of nobody else's that is gone with the object.
class File {
 public:
  File() { fd_.reset(::open(path().c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600)); }
  ~File() { ::unlink(path().c_str()); }
  std::string path() const { return "/tmp/fpm-acl-" + std::to_string(::getpid()); }

 private:
  UniqueFd fd_;
};

bool may_open(const Identity& who, const std::string& path, int flags) {
  const auto pid = fork_process();
  REQUIRE(pid.has_value());
  if (*pid == 0) {
    if (!become(who)) exit_now(2);
    exit_now(::open(path.c_str(), flags) >= 0 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(*pid, &status, 0) == *pid);
  REQUIRE(WEXITSTATUS(status) != 2);
  return WEXITSTATUS(status) == 0;
}

Identity who(uid_t uid, gid_t gid) {
  Identity identity;
  identity.uid = uid;
  identity.gid = gid;
  identity.groups = {gid};
  return identity;
}

}  // namespace

TEST_CASE("users and groups of a list may read and write, others may not") {
  const File file;
  const auto done = set_acl(file.path(), 0660, {4004, 4001, 4004}, {5002, 5001});
  if (!done && done.error().code == ENOTSUP) {
    WARN("this file system has no access control lists");
    return;
  }
  REQUIRE(done.has_value());
  struct stat status {};
  ::stat(file.path().c_str(), &status);
  CHECK((status.st_mode & 0777) == 0660);
  if (::geteuid() != 0) return;
  CHECK(may_open(who(4001, 9), file.path(), O_RDWR));
  CHECK(may_open(who(4004, 9), file.path(), O_RDWR));
  CHECK(may_open(who(9, 5001), file.path(), O_RDWR));
  CHECK(may_open(who(9, 5002), file.path(), O_RDWR));
  CHECK_FALSE(may_open(who(4002, 5003), file.path(), O_RDONLY));
}

TEST_CASE("a list on a file that is not there is an error") {
  const auto done = set_acl("/nonexistent/file", 0660, {1}, {});
  REQUIRE(done.has_error());
  CHECK(done.error().text().find("failed to write the ACL of the socket '/nonexistent/file'") == 0);
}
