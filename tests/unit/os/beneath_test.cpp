#include "fpm/os/beneath.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using fpm::os::lies_beneath;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    char name[] = "/tmp/test-os-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const char* name) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name) << "x";
    return path / name;
  }
  std::string link(const char* name, const fs::path& target) const {
    fs::create_symlink(target, path / name);
    return path / name;
  }
};

// "inside", "outside", or the errno.
std::string ask(const std::string& root, const std::string& path) {
  const auto answer = lies_beneath(root, path);
  if (answer.has_error()) return std::to_string(answer.error().code);
  return *answer ? "inside" : "outside";
}

}  // namespace

TEST_CASE("a file lies beneath a folder by where its links lead, not by its name") {
  const Folder folder;
  const std::string root = folder.path / "root";
  const std::string inside = folder.file("root/sub/a");
  const std::string outside = folder.file("other/b");
  folder.file("root-beside/c");
  CHECK(ask(root, inside) == "inside");
  CHECK(ask(root + "/", inside) == "inside");
  CHECK(ask(root, root) == "inside");
  CHECK(ask(root, outside) == "outside");
  CHECK(ask(root, folder.path / "root-beside/c") == "outside");
  CHECK(ask(root, folder.link("root/relative-in", "sub/a")) == "inside");
  CHECK(ask(root, folder.link("root/absolute-in", inside)) == "inside");
  CHECK(ask(root, folder.link("root/relative-out", "../other/b")) == "outside");
  CHECK(ask(root, folder.link("root/absolute-out", outside)) == "outside");
  folder.link("root/folder-out", "../other");
  CHECK(ask(root, root + "/folder-out/b") == "outside");
  CHECK(ask(root, root + "/sub/../../other/b") == "outside");
  CHECK(ask(root, folder.link("from-outside", "root/sub/a")) == "inside");
  CHECK(ask("/", outside) == "inside");
}

TEST_CASE("a folder that is itself a link is followed anew each time") {
  const Folder folder;
  folder.file("one/a");
  folder.file("two/b");
  const std::string current = folder.link("current", "one");
  CHECK(ask(current, current + "/a") == "inside");
  CHECK(ask(current, folder.path / "two/b") == "outside");
  fs::remove(current);
  folder.link("current", "two");
  CHECK(ask(current, current + "/b") == "inside");
  CHECK(ask(current, folder.path / "two/b") == "inside");
}

TEST_CASE("what cannot be resolved is an error") {
  const Folder folder;
  const std::string file = folder.file("root/a");
  const std::string root = folder.path / "root";
  CHECK(ask(root, root + "/missing") == std::to_string(ENOENT));
  CHECK(ask(root, file + "/below") == std::to_string(ENOTDIR));
  CHECK(ask(folder.path / "gone", file) == std::to_string(ENOENT));
  CHECK(ask(root, folder.link("root/loop", "loop")) == std::to_string(ELOOP));
}
