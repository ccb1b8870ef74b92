// What php-fpm 8.2 makes of the same parameters; each row was seen there.
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fpm/handlers/php/script_path.hpp"

namespace fpm::handlers::php {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// /www with a file, and a folder that has one.
class FakeFiles final : public PathFiles {
 public:
  bool exists(const std::string& path) override {
    return files_.count(path) > 0 || path == "/www" || path == "/www/sub";
  }
  bool is_regular(const std::string& path) override { return files_.count(path) > 0; }

 private:
  std::set<std::string> files_ = {"/www/info.php", "/www/sub/b.php"};
};

struct Row {
  std::string what;
  Pairs given;
  std::string path;  // empty: not found
  Pairs then;        // those that differ or are new; "-" as the value: not there
  std::string uri;
};

const char* const kNames[] = {"SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO", "PATH_TRANSLATED",
                              "ORIG_SCRIPT_FILENAME", "ORIG_SCRIPT_NAME", "ORIG_PATH_INFO",
                              "ORIG_PATH_TRANSLATED", "DOCUMENT_ROOT"};

void check(const Row& row, const PathRules& rules = {}) {
  CAPTURE(row.what);
  fcgi::Params params;
  for (const auto& [name, value] : row.given) params.add(name, value);
  Env env;
  env.start(params, "RESPONDER");
  std::vector<std::pair<std::string, std::string>> wanted;
  for (const char* name : kNames) {
    std::string value(env.get(name) ? env.text(name) : "-");
    for (const auto& [changed, now] : row.then) {
      if (changed == name) value = now;
    }
    wanted.emplace_back(name, value);
  }
  FakeFiles files;
  const ScriptPath script = choose_script_path(env, rules, files);
  CHECK(script.found == !row.path.empty());
  CHECK(script.path == row.path);
  CHECK(script.uri == row.uri);
  for (const auto& [name, value] : wanted) {
    CAPTURE(name);
    CHECK((env.get(name) ? std::string(env.text(name)) : "-") == value);
  }
}

const Pairs kRoot = {{"DOCUMENT_ROOT", "/www"}};

Pairs with(Pairs more) {
  more.insert(more.end(), kRoot.begin(), kRoot.end());
  return more;
}

TEST_CASE("php: the script's path as fronts send it, cgi.fix_pathinfo on") {
  const Row rows[] = {
      {"a file", with({{"SCRIPT_FILENAME", "/www/info.php"}, {"SCRIPT_NAME", "/info.php"}}),
       "/www/info.php", {}, "/info.php"},
      {"a file and its PATH_INFO, split by the front",
       with({{"SCRIPT_FILENAME", "/www/info.php"}, {"SCRIPT_NAME", "/info.php"}, {"PATH_INFO", "/p"}}),
       "/www/info.php", {}, "/info.php"},
      {"not split by the front",
       with({{"SCRIPT_FILENAME", "/www/info.php/p"}, {"SCRIPT_NAME", "/info.php/p"}}),
       "/www/info.php",
       {{"SCRIPT_FILENAME", "/www/info.php"}, {"ORIG_SCRIPT_FILENAME", "/www/info.php/p"},
        {"PATH_TRANSLATED", "/www"}},
       "/info.php/p"},
      {"not split, and the whole again as PATH_INFO",
       with({{"SCRIPT_FILENAME", "/www/info.php/p"}, {"SCRIPT_NAME", "/other"},
             {"PATH_INFO", "/info.php/p"}}),
       "/www/info.php",
       {{"SCRIPT_FILENAME", "/www/info.php"}, {"ORIG_SCRIPT_FILENAME", "/www/info.php/p"},
        {"SCRIPT_NAME", "/info.php"}, {"ORIG_SCRIPT_NAME", "/other"}, {"PATH_INFO", "/p"},
        {"ORIG_PATH_INFO", "/info.php/p"}, {"PATH_TRANSLATED", "/www/p"}},
       "/info.php"},
      {"Apache's ProxyPass, with a query",
       with({{"SCRIPT_FILENAME", "proxy:fcgi://localhost:9000/www/info.php/p?x=1"},
             {"SCRIPT_NAME", "/info.php/p"}}),
       "/www/info.php",
       {{"SCRIPT_FILENAME", "/www/info.php"}, {"ORIG_SCRIPT_FILENAME", "/www/info.php/p"},
        {"SCRIPT_NAME", "/info.php"}, {"ORIG_SCRIPT_NAME", "/info.php/p"}, {"PATH_INFO", "/p"},
        {"PATH_TRANSLATED", "/www/p"}},
       "/info.php"},
      {"Apache's balancer, without host",
       with({{"SCRIPT_FILENAME", "proxy:balancer://x/www/info.php"}, {"SCRIPT_NAME", "/info.php"}}),
       "/www/info.php", {{"SCRIPT_FILENAME", "/www/info.php"}}, "/info.php"},
      {"PATH_TRANSLATED alone", with({{"PATH_TRANSLATED", "/www/info.php"}}), "/www/info.php",
       {{"SCRIPT_FILENAME", "/www/info.php"}}, ""},
      {"Apache's Action",
       with({{"SCRIPT_FILENAME", "/cgi/php"}, {"SCRIPT_NAME", "/cgi/php"},
             {"PATH_TRANSLATED", "/www/info.php"}, {"PATH_INFO", "/info.php"},
             {"REDIRECT_URL", "/info.php"}}),
       "/www/info.php",
       {{"SCRIPT_FILENAME", "/www/info.php"}, {"ORIG_SCRIPT_FILENAME", "/cgi/php"},
        {"SCRIPT_NAME", "/info.php"}, {"ORIG_SCRIPT_NAME", "/cgi/php"}, {"PATH_INFO", "-"},
        {"ORIG_PATH_INFO", "/info.php"}, {"PATH_TRANSLATED", "-"},
        {"ORIG_PATH_TRANSLATED", "/www/info.php"}},
       "/info.php"},
      {"IIS repeats the name in PATH_INFO",
       with({{"SCRIPT_FILENAME", "/www/info.php"}, {"SCRIPT_NAME", "/info.php"},
             {"PATH_INFO", "/info.php/x"}, {"SERVER_SOFTWARE", "Microsoft-IIS/7"}}),
       "/www/info.php", {{"PATH_INFO", "/x"}, {"ORIG_PATH_INFO", "/info.php/x"}}, "/info.php"},
      {"nothing is there",
       with({{"SCRIPT_FILENAME", "/www/none.php"}, {"SCRIPT_NAME", "/none.php"}}), "",
       {{"SCRIPT_FILENAME", "-"}, {"ORIG_SCRIPT_FILENAME", "/www/none.php"}}, "/none.php"},
      {"a folder with a slash",
       with({{"SCRIPT_FILENAME", "/www/sub/"}, {"SCRIPT_NAME", "/sub/"}}), "",
       {{"SCRIPT_FILENAME", "-"}, {"ORIG_SCRIPT_FILENAME", "/www/sub/"}}, "/sub/"},
      {"no script is named", with({{"SCRIPT_NAME", "/x"}}), "", {}, ""},
  };
  for (const Row& row : rows) check(row);
}

TEST_CASE("php: no path with a parent element is found, whatever stands there") {
  for (const char* const path : {"/www/../www/info.php", "../info.php", "/www/sub/..", ".."}) {
    check({path, {{"PATH_TRANSLATED", path}}, "", {}, ""}, {.fix_pathinfo = false});
  }
  check({"dots in a name", {{"SCRIPT_FILENAME", "/www/a..b.php"}}, "/www/a..b.php", {}, ""},
        {.fix_pathinfo = false});
}

TEST_CASE("php: cgi.fix_pathinfo off takes what the front says") {
  const PathRules off{.fix_pathinfo = false};
  check({"PATH_INFO is the URI",
         {{"SCRIPT_FILENAME", "/www/info.php"}, {"SCRIPT_NAME", "/info.php"}, {"PATH_INFO", "/p"}},
         "/www/info.php", {}, "/p"}, off);
  check({"PATH_TRANSLATED wins",
         {{"SCRIPT_FILENAME", "/www/info.php"}, {"PATH_TRANSLATED", "/www/sub/b.php"}},
         "/www/sub/b.php", {}, ""}, off);
  check({"unless cgi.discard_path",
         {{"SCRIPT_FILENAME", "/www/info.php"}, {"PATH_TRANSLATED", "/www/sub/b.php"}},
         "/www/info.php", {}, ""}, {.fix_pathinfo = false, .discard_path = true});
}

TEST_CASE("php: doc_root stands in for a front without DOCUMENT_ROOT") {
  check({"doc_root",
         {{"SCRIPT_FILENAME", "/www/info.php/p"}, {"SCRIPT_NAME", "/info.php/p"}},
         "/www/info.php",
         {{"SCRIPT_FILENAME", "/www/info.php"}, {"ORIG_SCRIPT_FILENAME", "/www/info.php/p"},
          {"PATH_TRANSLATED", "/root"}, {"DOCUMENT_ROOT", "/root/"}},
         "/info.php/p"},
        {.doc_root = "/root/"});
}

}  // namespace
}  // namespace fpm::handlers::php
