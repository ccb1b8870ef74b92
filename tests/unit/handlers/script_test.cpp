#include "fpm/handlers/cgi/script.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <set>

using namespace fpm::handlers::cgi;

namespace {

// Files by path; folders are what lies above them. A link's true place is in `real`.
class FakeFiles final : public Files {
 public:
  std::map<std::string, FileKind> known;
  std::set<std::string> executables;
  std::map<std::string, std::string> real;

  void add(const std::string& path, bool may_run = true) {
    known[path] = FileKind::regular;
    if (may_run) executables.insert(path);
    for (auto slash = path.rfind('/'); slash != 0; slash = path.rfind('/', slash - 1)) {
      known.try_emplace(path.substr(0, slash), FileKind::folder);
    }
    known["/"] = FileKind::folder;
  }
  FileKind kind(const std::string& path) override {
    const auto place = known.find(path);
    return place == known.end() ? FileKind::missing : place->second;
  }
  bool executable(const std::string& path) override { return executables.contains(path); }
  bool beneath(const std::string& root, const std::string& path) override {
    const auto place = real.find(path);
    const std::string where = place == real.end() ? path : place->second;
    return where == root || where.starts_with(root + "/");
  }
};

struct Rules {
  std::string root;
  std::vector<std::string> allow;
  std::string program;
};

FakeFiles disk() {
  FakeFiles files;
  files.add("/srv/cgi/a.cgi");
  files.add("/srv/cgi/sub/b.cgi");
  files.add("/srv/cgi/plain.txt", false);
  files.add("/srv/cgi-other/c.cgi");
  files.add("/srv/cgi/link.cgi");
  files.real["/srv/cgi/link.cgi"] = "/etc/secret.cgi";
  files.add("/srv/cgi/out/secret.cgi");  // below a folder that is a link
  files.real["/srv/cgi/out"] = "/etc";
  files.real["/srv/cgi/out/secret.cgi"] = "/etc/secret.cgi";
  files.add("/etc/secret.cgi");
  files.add("/usr/bin/tool");
  files.known["/srv/cgi/closed"] = FileKind::refused;
  files.known["/srv/cgi/fifo"] = FileKind::other;
  return files;
}

// "path PATH_INFO" or the status of the refusal.
std::string choose(const Rules& rules, std::string_view script_filename) {
  FakeFiles files = disk();
  fcgi::Params params;
  params.add("SCRIPT_FILENAME", script_filename);
  const auto choice = choose_script({rules.root, rules.allow, rules.program}, params, files);
  if (const auto* refusal = std::get_if<Refusal>(&choice)) {
    CHECK_FALSE(refusal->reason.empty());
    return std::to_string(refusal->status);
  }
  const auto& script = std::get<Script>(choice);
  return script.path_info.empty() ? script.path : script.path + " " + script.path_info;
}

}  // namespace

TEST_CASE("without confinement SCRIPT_FILENAME chooses and the rest is PATH_INFO") {
  const Rules none;
  CHECK(choose(none, "/srv/cgi/a.cgi") == "/srv/cgi/a.cgi");
  CHECK(choose(none, "/srv/cgi/a.cgi/x/y") == "/srv/cgi/a.cgi /x/y");
  CHECK(choose(none, "/srv/cgi/a.cgi/") == "/srv/cgi/a.cgi /");
  CHECK(choose(none, "/srv/cgi/a.cgi//x") == "/srv/cgi/a.cgi //x");
  CHECK(choose(none, "/srv/cgi//a.cgi") == "404");  // the fake disk knows no double slash
  CHECK(choose(none, "/srv/cgi/missing.cgi") == "404");
  CHECK(choose(none, "/srv/cgi/missing/deep/er") == "404");
  CHECK(choose(none, "/missing") == "404");
  CHECK(choose(none, "") == "404");
  CHECK(choose(none, "srv/cgi/a.cgi") == "404");
  CHECK(choose(none, "/srv/cgi") == "403");
  CHECK(choose(none, "/") == "403");
  CHECK(choose(none, "/srv/cgi/plain.txt") == "403");
  CHECK(choose(none, "/srv/cgi/closed") == "403");
  CHECK(choose(none, "/srv/cgi/fifo") == "403");
  CHECK(choose(none, "/srv/cgi/../cgi/a.cgi") == "403");
  CHECK(choose(none, "/srv/cgi/a.cgi/..") == "403");
  CHECK(choose(none, "/srv/cgi/..a.cgi") == "404");  // no `..` element
  CHECK(choose(none, std::string_view("/srv/cgi/a.cgi\0x", 16)) == "403");
}

TEST_CASE("cgi.root confines, and what lies outside is 403 whether or not it exists") {
  const Rules root{"/srv/cgi", {}, ""};
  CHECK(choose(root, "/srv/cgi/a.cgi/x") == "/srv/cgi/a.cgi /x");
  CHECK(choose(root, "/srv/cgi/sub/b.cgi") == "/srv/cgi/sub/b.cgi");
  CHECK(choose(root, "/srv/cgi/missing") == "404");
  CHECK(choose(root, "/srv/cgi-other/c.cgi") == "403");
  CHECK(choose(root, "/srv/cgi-other/missing") == "403");
  CHECK(choose(root, "/etc/secret.cgi") == "403");
  CHECK(choose(root, "/etc/missing") == "403");
  CHECK(choose(root, "/missing") == "403");
  CHECK(choose(root, "/srv/cgi/link.cgi") == "403");
  CHECK(choose(root, "/srv/cgi/out/secret.cgi") == "403");
  CHECK(choose(root, "/srv/cgi/out/missing") == "403");
}

TEST_CASE("cgi.allow[] names exact programs") {
  const Rules allow{"", {"/usr/bin/tool", "/usr/bin/gone"}, ""};
  CHECK(choose(allow, "/usr/bin/tool") == "/usr/bin/tool");
  CHECK(choose(allow, "/usr/bin/tool/info") == "/usr/bin/tool /info");
  CHECK(choose(allow, "/usr/bin/gone") == "404");
  CHECK(choose(allow, "/usr/bin/gone/info") == "404");
  CHECK(choose(allow, "/usr/bin/other") == "403");
  CHECK(choose(allow, "/srv/cgi/a.cgi") == "403");
  CHECK(choose(allow, "/usr/bin") == "403");
}

TEST_CASE("of cgi.root and cgi.allow[] either suffices") {
  const Rules both{"/srv/cgi", {"/usr/bin/tool"}, ""};
  CHECK(choose(both, "/usr/bin/tool") == "/usr/bin/tool");
  CHECK(choose(both, "/srv/cgi/a.cgi") == "/srv/cgi/a.cgi");
  CHECK(choose(both, "/etc/secret.cgi") == "403");
}

TEST_CASE("cgi.program is run whatever SCRIPT_FILENAME says") {
  CHECK(choose({"", {}, "/usr/bin/tool"}, "/etc/missing/../x") == "/usr/bin/tool");
  CHECK(choose({"", {}, "/usr/bin/tool"}, "") == "/usr/bin/tool");
  CHECK(choose({"", {}, "/usr/bin/gone"}, "/srv/cgi/a.cgi") == "404");
  CHECK(choose({"", {}, "/srv/cgi"}, "/srv/cgi/a.cgi") == "403");
  CHECK(choose({"", {}, "/srv/cgi/plain.txt"}, "/srv/cgi/a.cgi") == "403");
}

TEST_CASE("what Apache's ProxyPass puts round a path is taken off") {
  const Rules none;
  CHECK(choose(none, "proxy:fcgi://localhost:9000/srv/cgi/a.cgi/x?q=1") == "/srv/cgi/a.cgi /x");
  CHECK(choose(none, "proxy:balancer://pool/srv/cgi/a.cgi") == "/srv/cgi/a.cgi");
  CHECK(choose(none, "proxy:fcgi://localhost") == "404");
}
