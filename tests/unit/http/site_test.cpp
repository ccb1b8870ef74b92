// What a path in the root stands for.
#include "fpm/http/site.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

using namespace fpm::http;
namespace fs = std::filesystem;
using Kind = Found::Kind;

namespace {

struct Root {
  fs::path top;
  Settings settings;

  Root() {
    std::string name = "/tmp/fpm-site-XXXXXX";
    top = ::mkdtemp(name.data());
    fs::create_directories(top / "www/sub/.git");
    fs::create_directories(top / "www/empty");
    write("www/index.html", "index");
    write("www/a.txt", "a");
    write("www/run.cgi", "#!/bin/sh", 0755);
    write("www/.hidden", "h");
    write("www/sub/.git/config", "secret");
    write("www/sub/index.php", "php");
    write("outside.txt", "outside");
    fs::create_symlink("a.txt", top / "www/inside");
    fs::create_symlink("../outside.txt", top / "www/out");
    fs::create_symlink("/etc", top / "www/etc");
    ::mkfifo((top / "www/fifo").c_str(), 0644);
    settings.root = top / "www";
    settings.index = {"index.html", "index.php"};
    settings.extensions = {".php", ".cgi"};
  }
  ~Root() { fs::remove_all(top); }

  void write(const char* name, const char* text, mode_t mode = 0644) const {
    std::ofstream(top / name) << text;
    ::chmod((top / name).c_str(), mode);
  }
  Found find(const std::string& path) const {
    Site site(settings);
    return site.find(path);
  }
  int status(const std::string& path) const {
    const Found found = find(path);
    return found.kind == Kind::refused ? found.status : 200;
  }
};

}  // namespace

TEST_CASE("files, folders and their index") {
  const Root root;
  CHECK(root.find("/a.txt").kind == Kind::file);
  CHECK(root.find("/a.txt").facts.size == 1);
  CHECK(root.find("/").path == "/index.html");
  CHECK(root.find("/sub").kind == Kind::folder);
  CHECK(root.find("/sub/").path == "/sub/index.php");
  CHECK(root.status("/empty/") == 403);
  CHECK(root.status("/none") == 404);
  CHECK(root.status("/none/") == 404);
  CHECK(root.status("/a.txt/") == 404);
  CHECK(root.status("/a.txt/b") == 404);
  CHECK(root.status("/fifo") == 403);
  CHECK(root.status("/" + std::string(300, 'a')) == 404);
}

TEST_CASE("links lead no further than the root, and dot files are not there") {
  Root root;
  CHECK(root.find("/inside").kind == Kind::file);
  CHECK(root.status("/out") == 403);
  CHECK(root.status("/etc/passwd") == 403);
  CHECK(root.status("/.hidden") == 404);
  CHECK(root.status("/sub/.git/config") == 404);
  root.settings.follow_links = 1;
  CHECK(root.find("/out").kind == Kind::file);
  CHECK(root.find("/etc/passwd").kind == Kind::file);
  root.settings.hidden = 1;
  CHECK(root.find("/.hidden").kind == Kind::file);
}

TEST_CASE("scripts by their suffix, with what follows them") {
  Root root;
  CHECK(root.find("/run.cgi").kind == Kind::file);  // http.scripts = none
  root.settings.scripts = ScriptRule::extension;
  CHECK(root.find("/run.cgi").kind == Kind::script);
  CHECK(root.find("/a.txt").kind == Kind::file);
  const Found found = root.find("/run.cgi/more/and/more");
  CHECK(found.kind == Kind::script);
  CHECK(found.path == "/run.cgi");
  CHECK(found.path_info == "/more/and/more");
  CHECK(root.find("/sub/").kind == Kind::script);
  CHECK(root.status("/a.txt/more") == 404);
  CHECK(root.status("/none.cgi") == 404);
}

TEST_CASE("scripts by their execute bit, whatever their name") {
  Root root;
  root.settings.scripts = ScriptRule::executable;
  CHECK(root.find("/run.cgi").kind == Kind::script);
  CHECK(root.find("/sub/index.php").kind == Kind::file);
}

TEST_CASE("a fallback takes what is not there") {
  Root root;
  root.settings.scripts = ScriptRule::extension;
  root.settings.fallback = "/sub/index.php";
  CHECK(root.find("/no/such/page").path == "/sub/index.php");
  CHECK(root.find("/empty/").path == "/sub/index.php");
  CHECK(root.find("/a.txt").path == "/a.txt");
  CHECK(root.status("/out") == 403);
  root.settings.fallback = "/none";
  CHECK(root.status("/no/such/page") == 404);
}

TEST_CASE("a root that is replaced is found again, and one that is gone is told") {
  Root root;
  Site site(root.settings, std::chrono::milliseconds(0));
  CHECK(site.find("/a.txt").kind == Kind::file);
  fs::rename(root.top / "www", root.top / "old");
  fs::create_directory(root.top / "www");
  root.write("www/b.txt", "new");
  CHECK(site.find("/b.txt").kind == Kind::file);
  CHECK(site.find("/a.txt").status == 404);
  fs::remove_all(root.top / "www");
  const Found gone = site.find("/b.txt");
  CHECK(gone.kind == Kind::refused);
  CHECK(gone.status == 500);
  CHECK(!gone.problem.empty());
}

TEST_CASE("a script may send what is in the root, and nothing else") {
  Root root;
  root.settings.scripts = ScriptRule::extension;
  Site site(root.settings);
  const std::string top = root.settings.root;
  CHECK(site.find_for_script(top + "/a.txt").kind == Kind::file);
  CHECK(site.find_for_script("a.txt").kind == Kind::file);
  CHECK(site.find_for_script(".hidden").kind == Kind::file);
  CHECK(site.find_for_script("run.cgi").kind == Kind::file);  // its text: the script has chosen it
  CHECK(site.find_for_script("/etc/passwd").kind == Kind::refused);
  CHECK(site.find_for_script("out").kind == Kind::refused);
  CHECK(site.find_for_script("../outside.txt").kind == Kind::refused);
  CHECK(site.find_for_script(top + "/../outside.txt").kind == Kind::refused);
  CHECK(site.find_for_script("sub/").kind == Kind::refused);
}

TEST_CASE("the pool sees the root without its chroot") {
  Root root;
  root.settings.chroot = root.top;
  CHECK(Site(root.settings).pool_path("/a") == "/www/a");
  root.settings.chroot = "/elsewhere";
  CHECK(Site(root.settings).pool_path("/a") == root.settings.root + "/a");
}
