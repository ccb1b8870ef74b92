// The files of pools.d, and the manual page, against the table of directives. After a change of the
// table, write pools.d/www.conf and tools/deploy/man/fpm.conf.5 anew with FPM_WRITE_SAMPLES=1 in the
// environment of this test.
#include <catch2/catch.hpp>
#include <set>
#include <sstream>

#include "files.hpp"
#include "fpm/config/describe.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/manual.hpp"

using namespace fpm::config;
using test::Files;
using test::Lines;
using test::Variable;

namespace {

const std::string kFolder = SAMPLES;

std::string content(const std::string& file) {
  std::ostringstream out;
  out << std::ifstream(file, std::ios::binary).rdbuf();
  return out.str();
}

/// What the command that shows the samples sets.
struct Environment {
  explicit Environment(const std::string& folder)
      : run("FPM_RUN", folder.c_str()),
        log("FPM_LOG", folder.c_str()),
        cgi("FPM_CGI_ROOT", folder.c_str()),
        git("FPM_GIT_ROOT", folder.c_str()) {}
  Variable run, log, cgi, git;
  Variable user{"FPM_USER", "nobody"};
  Variable group{"FPM_GROUP", "nogroup"};
};

}  // namespace

TEST_CASE("pools.d/www.conf is what the table of directives says") {
  const std::string file = kFolder + "/www.conf";
  if (std::getenv("FPM_WRITE_SAMPLES") != nullptr) std::ofstream(file) << sample_pool();
  CHECK(content(file) == sample_pool());
}

TEST_CASE("fpm.conf(5) is what the table of directives says") {
  const std::string file = std::string(MANUALS) + "/fpm.conf.5";
  if (std::getenv("FPM_WRITE_SAMPLES") != nullptr) std::ofstream(file) << manual();
  CHECK(content(file) == manual());
}

TEST_CASE("the manual page has every directive, and nothing that roff takes for its own") {
  const std::string page = manual();
  for (const auto& row : global_directives()) {
    CHECK(page.find("\n\\fB" + std::string(row.name) + "\\fR = ") != std::string::npos);
  }
  for (const auto& row : pool_directives()) {
    const std::string end = row.takes_key() ? "[NAME]" : row.takes_index() ? "[]" : "";
    CHECK(page.find("\n\\fB" + std::string(row.name) + end + "\\fR = ") != std::string::npos);
  }
  std::istringstream in(page);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) continue;
    CAPTURE(line);
    const std::string macro = line.substr(0, line.find(' '));
    const bool known = std::set<std::string>{".\\\"", ".TH", ".SH", ".SS", ".TP", ".PP", ".BR",
                                             ".I",    ".EX", ".EE"}
                           .count(macro) == 1;
    CHECK(known);
  }
}

TEST_CASE("the samples load") {
  Files files;
  const Environment environment(files.path());
  for (const bool root : {false, true}) {
    files.options.running_as_root = root;
    const Loaded loaded = files.load("include = " + kFolder + "/*.conf\n");
    for (const Problem& problem : loaded.problems) {
      CHECK(problem.level == fpm::log::Level::notice);
    }
    CHECK(loaded.ok());
    REQUIRE(loaded.config.pools.size() == 2);
    CHECK(loaded.config.pools[0].name == "git");
    CHECK(loaded.config.pools[0].cgi_program == "/usr/lib/git-core/git-http-backend");
    CHECK(loaded.config.pools[1].name == "www");
    CHECK(loaded.config.pools[1].cgi_root == files.path());
  }
}

TEST_CASE("the sample names every directive, and its comments are the defaults") {
  const Files files;
  const Environment environment(files.path());
  const std::string sample = sample_pool();
  std::string all;
  std::istringstream in(sample);
  for (std::string line; std::getline(in, line);) {
    // A default is ";name = value", a comment "; text". Of some an empty value is refused, and an
    // array without a key or value would be an item.
    const bool is_default = line.size() > 1 && line[0] == ';' && line[1] != ' ';
    const bool is_unset = !line.empty() && line.back() == '=';
    all += (is_default && !is_unset ? line.substr(1) : line) + "\n";
    CHECK(line.size() <= 90);
  }
  for (const auto& row : pool_directives()) {
    CAPTURE(row.name);
    const std::string name = "\n" + std::string(row.name);
    const bool set = sample.find(name + " = ") != std::string::npos;
    const std::string end = row.takes_index() ? "[" : " =";
    const bool unset = sample.find("\n;" + std::string(row.name) + end) != std::string::npos;
    CHECK(set != unset);
  }
  const Loaded with_defaults = files.load(all);
  const Loaded plain = files.load(sample);
  CHECK(with_defaults.ok());
  CHECK(plain.ok());
  REQUIRE(with_defaults.config.pools.size() == 1);
  REQUIRE(plain.config.pools.size() == 1);
  for (const auto& row : pool_directives()) {
    CAPTURE(row.name);
    CHECK(print(row, with_defaults.config.pools[0]) == print(row, plain.config.pools[0]));
  }
}
