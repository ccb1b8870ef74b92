#include <catch2/catch.hpp>

#include "files.hpp"
#include "fpm/config/ini_source.hpp"
#include "fpm/config/ini_value.hpp"

using namespace fpm::config;
using test::Files;
using test::Lines;
using test::Variable;

namespace {

/// "LINE [section] name = value" of each entry, with the file's name in front unless it is
/// fpm.conf.
Lines read(const Files& files, std::vector<Problem>& problems) {
  Lines out;
  const auto take = [&](const Entry& entry) {
    std::string where = std::filesystem::path(entry.place.file).filename().string() + ":";
    if (where == "fpm.conf:") where.clear();
    std::string line = where + std::to_string(entry.place.line) + " [" + entry.section + "]";
    if (!entry.name.empty()) line += " " + entry.written_name() + " = " + entry.value;
    out.push_back(entry.broken ? line + " BROKEN" : line);
  };
  REQUIRE(read_ini(files("fpm.conf"), files.path(), problems, take));
  return out;
}

Lines texts(const std::vector<Problem>& problems) {
  Lines out;
  for (const Problem& problem : problems) {
    out.push_back(std::to_string(problem.line) + ": " + problem.text);
  }
  return out;
}

}  // namespace

TEST_CASE("an indented line is a line of its own") {
  const Files files;
  files.write("fpm.conf", "[www]\nuser = a\n  group = b\n\tpm = static\n   ; comment\n  [x]\n");
  std::vector<Problem> problems;
  CHECK(read(files, problems) ==
        Lines{"1 [www]", "2 [www] user = a", "3 [www] group = b", "4 [www] pm = static", "6 [x]"});
  CHECK(problems.empty());
}

TEST_CASE("long lines are whole, and refused by number beyond the limit") {
  const Files files;
  const std::string fits(kMaxLine - 4, 'x');
  const std::string section(300, 's');
  files.write("fpm.conf", "[" + section + "]\na = " + fits + "\nb = y" + fits + "\nc = 1\n");
  std::vector<Problem> problems;
  const Lines lines = read(files, problems);
  CHECK(lines == Lines{"1 [" + section + "]", "2 [" + section + "] a = " + fits,
                       "4 [" + section + "] c = 1"});
  CHECK(texts(problems) == Lines{"3: a line of 16385 bytes: expected at most 16384"});
}

TEST_CASE("quotes, comments and blanks are php.ini's") {
  const Variable name("FPM_TEST_NAME", "from here");
  struct Row {
    const char* raw;
    const char* value;
    bool quoted;
  };
  const Row rows[] = {
      {"plain", "plain", false},
      {"  two words  ", "two words", false},
      {"text ; comment", "text", false},
      {"text;comment", "text", false},
      {"\"a ; b\" ; comment", "a ; b", true},
      {"'a ; \"b' ; comment", "a ; \"b", true},
      {"\"  kept  \"", "  kept  ", true},
      {"\"say \\\"hi\\\" \\\\ \\' \\n\"", "say \"hi\" \\ ' \\n", true},
      {"it's up", "it's up", false},
      {"a\"b c\"d", "ab cd", true},
      {"\"\"", "", true},
      {"", "", false},
      {"; all comment", "", false},
      {"a = b: c", "a = b: c", false},
      {"${FPM_TEST_NAME}", "from here", false},
      {"<${FPM_TEST_NAME}>", "<from here>", false},
      {"\"<${FPM_TEST_NAME}>\"", "<from here>", true},
      {"'${FPM_TEST_NAME}'", "${FPM_TEST_NAME}", true},
      {"\"\\${FPM_TEST_NAME}\"", "\\${FPM_TEST_NAME}", true},
      {"${FPM_TEST_NONE:-x}", "x", false},
      {"${FPM_TEST_NONE:-}", "", false},
      {"${FPM_TEST_NAME:-x}", "from here", false},
      {"${FPM_TEST_NONE:-a;b}", "a;b", false},
      {"$HOME", "$HOME", false},
      {"a$", "a$", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.raw);
    const IniValue value = read_value(row.raw);
    CHECK(value.error.empty());
    CHECK(value.text == row.value);
    CHECK(value.quoted == row.quoted);
  }
  const Variable empty("FPM_TEST_EMPTY", "");
  CHECK(read_value("${FPM_TEST_EMPTY}").text.empty());
  CHECK(read_value("${FPM_TEST_EMPTY}").error.empty());
  CHECK(read_value("${FPM_TEST_EMPTY:-x}").text == "x");
}

TEST_CASE("what cannot be read is told by line, and reading goes on") {
  const Files files;
  files.write("fpm.conf",
              "[www]\n"
              "pm static\n"
              "pm: static\n"
              "= static\n"
              "two words = 1\n"
              "env[A = 1\n"
              "a = \"open\n"
              "b = 'open\n"
              "c = ${FPM_TEST_NONE}\n"
              "d = ${FPM_TEST_NONE\n"
              "x ; y = 1\n"
              "[broken\n"
              "skipped = 1\n"
              "[www] trailing\n"
              "skipped\n"
              "[ ]\n"
              "[www]\n"
              "ok = 1 \n");
  std::vector<Problem> problems;
  CHECK(read(files, problems) == Lines{"1 [www]", "7 [www] a = open BROKEN", "8 [www] b =  BROKEN",
                                       "9 [www] c =  BROKEN", "10 [www] d =  BROKEN", "17 [www]",
                                       "18 [www] ok = 1"});
  CHECK(texts(problems) ==
        Lines{"2: \"pm static\": expected name = value", "3: \"pm: static\": expected name = value",
              "4: \"= static\": expected name = value",
              "5: \"two words = 1\": expected name = value, name[] = value or name[key] = value",
              "6: \"env[A = 1\": expected name = value, name[] = value or name[key] = value",
              "7: a = \"open: the \" is not closed on this line",
              "8: b = 'open: the ' is not closed on this line",
              "9: c = ${FPM_TEST_NONE}: the environment variable FPM_TEST_NONE is not set; set it, "
              "or write ${FPM_TEST_NONE:-DEFAULT}",
              "10: d = ${FPM_TEST_NONE: the ${ is not closed by } on this line",
              "11: \"x ; y = 1\": expected name = value",
              "12: \"[broken\": expected [global] or [name of a pool]",
              "14: \"[www] trailing\": expected [global] or [name of a pool]",
              "16: \"[ ]\": expected [global] or [name of a pool]"});
  for (const Problem& problem : problems) {
    CHECK(problem.file == files("fpm.conf"));
    CHECK(problem.pool == "www");
  }
}

TEST_CASE("a NUL byte, a byte order mark and foreign line ends are dealt with") {
  const Files files;
  using namespace std::string_literals;
  files.write("fpm.conf", "\xEF\xBB\xBF[www]\r\nuser = a\r\ngroup = b\0c\r\n# comment\r\npm = x"s);
  std::vector<Problem> problems;
  CHECK(read(files, problems) == Lines{"1 [www]", "2 [www] user = a", "5 [www] pm = x"});
  CHECK(texts(problems) == Lines{"3: the line has a NUL byte: expected text"});
}

TEST_CASE("an include is read in place, sorted, without folders, and lines keep their numbers") {
  const Files files;
  files.write("fpm.conf", "[global]\npid = a\ninclude = pools.d/*.conf\nlog_level = debug\n[z]\n");
  files.write("pools.d/b.conf", "\n[b]\nuser = x\n");
  files.write("pools.d/a.conf", "error_log = e\n[a]\n");
  files.write("pools.d/folder.conf/inside", "[never]\n");
  files.write("pools.d/other.txt", "[never]\n");
  std::vector<Problem> problems;
  CHECK(read(files, problems) ==
        Lines{"1 [global]", "2 [global] pid = a", "a.conf:1 [global] error_log = e", "a.conf:2 [a]",
              "b.conf:2 [b]", "b.conf:3 [b] user = x", "4 [global] log_level = debug", "5 [z]"});
  CHECK(problems.empty());
}

TEST_CASE("an include may be absolute and take its path from the environment") {
  const Files files;
  const Files other;
  const Variable name("FPM_TEST_DIR", other.path().c_str());
  files.write("fpm.conf", "Include = ${FPM_TEST_DIR}/*.conf\n");
  other.write("a.conf", "[a]\n");
  std::vector<Problem> problems;
  CHECK(read(files, problems) == Lines{"a.conf:1 [a]"});
  CHECK(problems.empty());
}

TEST_CASE("an include that matches nothing is a warning in php-fpm's words") {
  const Files files;
  files.write("fpm.conf", "[global]\n\ninclude = none/*.conf\n");
  std::vector<Problem> problems;
  read(files, problems);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].level == fpm::log::Level::warning);
  CHECK(problems[0].message() == "Nothing matches the include pattern 'none/*.conf' from " +
                                     files("fpm.conf") + " at line 3.");
}

TEST_CASE("five files deep is enough") {
  const Files files;
  files.write("fpm.conf", "include = 2\n");
  files.write("2", "include = 3\n");
  files.write("3", "include = 4\n");
  files.write("4", "include = 5\n");
  files.write("5", "[deep]\ninclude = 6\n");
  files.write("6", "[never]\n");
  std::vector<Problem> problems;
  CHECK(read(files, problems) == Lines{"5:1 [deep]"});
  CHECK(texts(problems) ==
        Lines{"2: include = \"6\": failed to include more than 5 files recursively"});
}

TEST_CASE("a file that is not there is one line") {
  const Files files;
  std::vector<Problem> problems;
  const auto never = [](const Entry&) { FAIL("there is nothing to read"); };
  CHECK_FALSE(read_ini(files("none.conf"), files.path(), problems, never));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].message() == "failed to open configuration file '" + files("none.conf") +
                                     "': No such file or directory (2)");
  problems.clear();
  CHECK_FALSE(read_ini(files.path(), files.path(), problems, never));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].message() ==
        "failed to open configuration file '" + files.path() + "': Is a directory (21)");
}
