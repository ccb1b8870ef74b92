#include "fpm/cli/options.hpp"

#include <catch2/catch.hpp>

using namespace fpm::cli;

TEST_CASE("options in any order, joined or apart") {
  const Options options = parse_options({"-tt", "-FO", "-y", "/etc/x.conf", "-R"});
  CHECK(options.error.empty());
  CHECK(options.test == 2);
  CHECK(options.foreground);
  CHECK(options.force_stderr);
  CHECK(options.allow_root);
  CHECK(options.config_file == "/etc/x.conf");
}

TEST_CASE("a value may follow its option at once or behind an equals sign") {
  CHECK(parse_options({"-y/etc/x.conf"}).config_file == "/etc/x.conf");
  CHECK(parse_options({"-Fy", "/etc/x.conf"}).config_file == "/etc/x.conf");
  CHECK(parse_options({"--fpm-config=/etc/x.conf", "--test", "--test"}).test == 2);
}

TEST_CASE("without -y the default file is used") {
  CHECK(parse_options({}).config_file == default_config_file());
  CHECK(default_config_file().ends_with("/fpm/fpm.conf"));
}

TEST_CASE("unknown options, stray arguments and missing values are told") {
  for (const auto& wrong : std::vector<std::vector<std::string>>{
           {"-x"}, {"--memory-limit=1G"}, {"stray"}, {"-y"}, {"--testing"}}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_options(wrong).error.empty());
  }
}

TEST_CASE("the usage begins as tools expect it") {
  CHECK(usage("fpm").starts_with("Usage: fpm"));
}
