#include "fpm/handlers/php/env.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "fpm/handlers/php/ini.hpp"

namespace fpm::handlers::php {
namespace {

std::string listed(const Env& env) {
  std::string text;
  env.each([&](std::string_view name, std::string_view value) {
    ((text += name) += '=') += value;
    text += ' ';
  });
  return text;
}

TEST_CASE("php: the newest parameter comes first, a repeated one keeps its place and its last value") {
  fcgi::Params params;
  params.add("A", "1");
  params.add("B", "2");
  params.add("A", "3");
  params.add("HTTP_PROXY", "http://evil");
  Env env;
  env.start(params, "RESPONDER");
  CHECK(listed(env) == "B=2 A=3 FCGI_ROLE=RESPONDER ");
  CHECK_FALSE(env.get("HTTP_PROXY"));
  CHECK(env.text("A") == "3");
  CHECK(std::string(env.c_string("A")) == "3");
  CHECK(env.c_string("C") == nullptr);
}

TEST_CASE("php: variables are set, unset and set again") {
  fcgi::Params params;
  params.add("A", "1");
  Env env;
  env.start(params, "FILTER");
  env.set("NEW", "x");
  env.set("A", "2");
  env.unset("FCGI_ROLE");
  env.unset("NEVER_THERE");
  CHECK(listed(env) == "NEW=x A=2 ");
  env.set("FCGI_ROLE", "y");
  CHECK(listed(env) == "NEW=x A=2 FCGI_ROLE=y ");
}

TEST_CASE("php: thousands of parameters are all found, and forgotten with the next request") {
  fcgi::Params params;
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("NAME_" + std::to_string(i) + "_OF_A_PARAMETER");
  for (const std::string& name : names) params.add(name, name.substr(5));
  Env env;
  env.start(params, "RESPONDER");
  for (int i = 0; i < 300; ++i) env.set("ADDED_" + std::to_string(i), std::to_string(i));
  for (const std::string& name : names) REQUIRE(env.text(name) == name.substr(5));
  for (int i = 0; i < 300; ++i) REQUIRE(env.text("ADDED_" + std::to_string(i)) == std::to_string(i));
  params.clear();
  params.add("ONE", "1");
  env.start(params, "RESPONDER");
  CHECK(listed(env) == "ONE=1 FCGI_ROLE=RESPONDER ");
  CHECK_FALSE(env.get(names.front()));
}

TEST_CASE("php: a short name beside the end of memory, and an empty one") {
  fcgi::Params params;
  params.add("", "empty");
  params.add("X", "");
  Env env;
  env.start(params, "RESPONDER");
  CHECK(env.get("") == std::string_view("empty"));
  CHECK(env.get("X") == std::string_view(""));
}

TEST_CASE("php.ini text holds any value") {
  CHECK(ini_line("a", "b") == "a='b'\n");
  CHECK(ini_line("a", "") == "a=''\n");
  CHECK(ini_line("a", "x;y = \"${z}\"") == "a='x;y = \"${z}\"'\n");
  CHECK(ini_line("a", "it's \"$5\" \\") == "a=\"it's \\\"\\$5\\\" \\\\\"\n");
}

TEST_CASE("option -d quotes what php.ini would not take as it is") {
  CHECK(ini_define("memory_limit", "1G") == "memory_limit=1G\n");
  CHECK(ini_define("a", "/x y") == "a=\"/x y\"\n");
  CHECK(ini_define("a", "\"q\"") == "a=\"q\"\n");
  CHECK(ini_define("a", "") == "a=\n");
}

TEST_CASE("the pool's settings follow the command line's, but for those that are added later") {
  const config::PhpStart start{.ini = {}, .no_ini = false, .extended_info = false,
                               .defines = {{"a", "1"}}, .rc = {}, .scan_dir = {}};
  const std::string text = ini_entries(start, {{"b", "2"}, {"[x]", "bad name"}},
                                       {{"disable_functions", "exec"}, {"extension", "curl"}});
  CHECK(text == "a=1\nb='2'\nextension='curl'\n");
}

}  // namespace
}  // namespace fpm::handlers::php
