#include "fpm/cli/options.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

using namespace fpm::cli;

TEST_CASE("options in any order, joined or apart") {
  const Options options = parse_options({"-tt", "-FO", "-y", "/etc/x.conf", "-R"});
  CHECK(options.error.empty());
  CHECK(options.test == 2);
  CHECK(options.foreground);
  CHECK(options.daemonize == false);
  CHECK(options.force_stderr);
  CHECK(options.allow_root);
  CHECK(options.config_file == "/etc/x.conf");
}

TEST_CASE("every order of options means the same") {
  std::vector<std::vector<std::string>> groups = {
      {"-n"}, {"-y", "/etc/x.conf"}, {"-O"}, {"-F"}, {"-dextension=a.so"}, {"--prefix", "/srv"}};
  std::sort(groups.begin(), groups.end());
  do {
    std::vector<std::string> arguments;
    for (const auto& group : groups) {
      arguments.insert(arguments.end(), group.begin(), group.end());
    }
    const Options options = parse_options(arguments);
    REQUIRE(options.error.empty());
    REQUIRE(options.config_file == "/etc/x.conf");
    REQUIRE(options.prefix == "/srv");
    REQUIRE(options.no_php_ini);
    REQUIRE(options.force_stderr);
    REQUIRE(options.foreground);
    REQUIRE(options.defines.size() == 1);
  } while (std::next_permutation(groups.begin(), groups.end()));
}

TEST_CASE("a value may follow its option at once or behind an equals sign") {
  CHECK(parse_options({"-y/etc/x.conf"}).config_file == "/etc/x.conf");
  CHECK(parse_options({"-Fy", "/etc/x.conf"}).config_file == "/etc/x.conf");
  CHECK(parse_options({"--fpm-config=/etc/x.conf", "--test", "--test"}).test == 2);
  CHECK(parse_options({"-p/srv", "-g/run/x.pid"}).pid_file == "/run/x.pid");
  CHECK(parse_options({"-Rtp", "/srv"}).prefix == "/srv");
}

TEST_CASE("each short option has its long name") {
  const Options given = parse_options({"--php-ini", "/etc/php", "--define", "a=b=c", "--pid", "x",
                                       "--daemonize", "--allow-to-run-as-root", "--force-stderr",
                                       "--test", "--prefix", "/srv", "--single", "www"});
  CHECK(given.error.empty());
  CHECK(given.php_ini == "/etc/php");
  CHECK(given.defines == std::vector<std::pair<std::string, std::string>>{{"a", "b=c"}});
  CHECK(given.pid_file == "x");
  CHECK(given.daemonize == true);
  CHECK_FALSE(given.foreground);
  CHECK(given.allow_root);
  CHECK(given.force_stderr);
  CHECK(given.test == 1);
  CHECK(given.prefix == "/srv");
  CHECK(given.single == "www");
  CHECK(parse_options({"--help"}).help);
  CHECK(parse_options({"--version"}).version);
  CHECK(parse_options({"--nodaemonize"}).foreground);
  const Options letters = parse_options({"-n", "-e", "-i", "-m", "-c", "/etc/php"});
  CHECK(letters.error.empty());
  CHECK(letters.no_php_ini);
  CHECK(letters.extended_info);
  CHECK(letters.php_info);
  CHECK(letters.php_modules);
  CHECK(letters.php_ini == "/etc/php");
}

TEST_CASE("of -D and -F the last one counts") {
  CHECK(parse_options({"-D", "-F"}).foreground);
  CHECK_FALSE(parse_options({"-F", "-D"}).foreground);
  CHECK(parse_options({"-F", "-D"}).daemonize == true);
  CHECK_FALSE(parse_options({}).daemonize.has_value());
}

TEST_CASE("settings of PHP may stand alone, joined, and often") {
  const Options options =
      parse_options({"-dmemory-limit=1G", "-d", "opcache.enable", "-d", "x=", "-v"});
  CHECK(options.error.empty());
  CHECK(options.version);
  CHECK(options.defines == std::vector<std::pair<std::string, std::string>>{
                               {"memory-limit", "1G"}, {"opcache.enable", "1"}, {"x", ""}});
}

TEST_CASE("the configuration file is -y, fpm.config, below the prefix, or the default") {
  CHECK(parse_options({}).config_file == default_config_file());
  CHECK(default_config_file().ends_with("/fpm/fpm.conf"));
  CHECK(parse_options({"-p", "/srv"}).config_file == "/srv/etc/fpm/fpm.conf");
  CHECK(parse_options({"-p", "/srv", "-d", "fpm.config=/a"}).config_file == "/a");
  CHECK(parse_options({"-d", "fpm.config=/a", "-y", "/b"}).config_file == "/b");
}

TEST_CASE("unknown options, stray arguments and missing values are told") {
  for (const auto& wrong : std::vector<std::vector<std::string>>{
           {"-x"}, {"--memory-limit=1G"}, {"stray"}, {"-y"}, {"--testing"}, {"-p"}, {"-g"},
           {"-d"}, {"-c"}, {"--single"}, {"-tx"}, {"-F", "stray", "-O"}, {"--help=x"}}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_options(wrong).error.empty());
  }
}

TEST_CASE("the usage begins as tools expect it and names every option") {
  const std::string text = usage("fpm");
  CHECK(text.starts_with("Usage: fpm"));
  for (const char* name : {"-c", "-d", "-e", "-h", "-i", "-m", "-n", "-v", "-y", "-t", "-p", "-g",
                           "-R", "-D", "-F", "-O", "--single"}) {
    CAPTURE(name);
    CHECK(text.find(std::string("\n  ") + name) != std::string::npos);
  }
  CHECK(no_php_answer("why not").ends_with(": why not\n"));
}

TEST_CASE("fpm(8) has every option of the usage") {
  std::ostringstream page;
  page << std::ifstream(std::string(MANUALS) + "/fpm.8").rdbuf();
  std::string text = page.str();
  text.erase(std::remove(text.begin(), text.end(), '\\'), text.end());
  REQUIRE(text.find(".TH FPM 8") != std::string::npos);
  std::istringstream words(usage("fpm"));
  int options = 0;
  for (std::string word; words >> word;) {
    if (word.substr(0, 2) != "--" || word == "--help).") continue;  // of serve
    CAPTURE(word);
    ++options;
    CHECK(text.find("fB" + word + "fR") != std::string::npos);
  }
  CHECK(options == 17);
}

TEST_CASE("the name php-fpm is known by its beginning, a version may follow it") {
  CHECK(read_program("/usr/sbin/php-fpm").php_fpm);
  CHECK(read_program("php-fpm8.2").php_version == "8.2");
  CHECK(read_program("./php-fpm-debug").php_fpm);
  CHECK(read_program("./php-fpm-debug").php_version.empty());
  CHECK_FALSE(read_program("fpm").php_fpm);
  CHECK_FALSE(read_program("/srv/php-fpm/fpm").php_fpm);
  CHECK_FALSE(read_program("").php_fpm);
}

TEST_CASE("under php-fpm's name the configuration is php-fpm's") {
  const Program program{.php_fpm = true, .php_version = {}};
  CHECK(parse_options({}, program).config_file.ends_with("/php-fpm.conf"));
  CHECK(parse_options({"-p", "/srv"}, program).config_file == "/srv/etc/php-fpm.conf");
  CHECK(parse_options({"-d", "fpm.config=/a"}, program).config_file == "/a");
  CHECK(usage("php-fpm", program).starts_with("Usage: php-fpm"));
  const std::string file = default_config_file({}, program);
  if (file.starts_with("/etc/php/")) {
    CHECK(default_config_file({}, {true, "9.9"}) == "/etc/php/9.9/fpm/php-fpm.conf");
  }
}

TEST_CASE("an equals sign may stand behind a short option") {
  CHECK(parse_options({"-y=/etc/x.conf"}).config_file == "/etc/x.conf");
  CHECK(parse_options({"-d=a=b"}).defines ==
        std::vector<std::pair<std::string, std::string>>{{"a", "b"}});
}
