#include "fpm/handlers/cgi/environment.hpp"

#include <catch2/catch.hpp>
#include <map>

using namespace fpm::handlers::cgi;
using fpm::config::Pool;
using fpm::config::Variables;

namespace {

std::map<std::string, std::string> as_map(const Environment& environment) {
  std::map<std::string, std::string> map;
  for (char* const* entry = environment.get(); *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    CHECK(map.emplace(text.substr(0, equals), text.substr(equals + 1)).second);
  }
  return map;
}

std::map<std::string, std::string> of(const fcgi::Params& params, const Script& script = {"/s", {}},
                                      const Variables& base = {}) {
  return as_map(Environment(base, params, script));
}

}  // namespace

TEST_CASE("a script's environment begins with PATH, HOME and USER alone") {
  const char* const inherited[] = {"SECRET=x", nullptr};
  Pool pool;
  pool.clear_env = true;
  CHECK(
      base_environment(pool, "/home/web", "web", inherited) ==
      Variables{{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", "/home/web"}, {"USER", "web"}});
  CHECK(base_environment(pool, "", "", nullptr) ==
        Variables{{"PATH", "/usr/local/bin:/usr/bin:/bin"}});
}

TEST_CASE("clear_env = no hands on what fpm was started with, less what is fpm's own") {
  const char* const inherited[] = {
      "PATH=/opt/bin",  "HOME=/root",   "TZ=UTC",        "=odd",   "none", "NOTIFY_SOCKET=x",
      "WATCHDOG_PID=1", "LISTEN_FDS=1", "FPM_SOCKETS=x", "EMPTY=", nullptr};
  Pool pool;
  pool.clear_env = false;
  CHECK(base_environment(pool, "/home/web", "web", inherited) == Variables{{"PATH", "/opt/bin"},
                                                                           {"HOME", "/home/web"},
                                                                           {"TZ", "UTC"},
                                                                           {"EMPTY", ""},
                                                                           {"USER", "web"}});
}

TEST_CASE("env[] wins over the pool's user and may set what requests may not") {
  Pool pool;
  pool.clear_env = true;
  pool.env = {{"HOME", "/data"}, {"LD_PRELOAD", "/x.so"}, {"PATH", "/bin"}};
  const Variables base = base_environment(pool, "/home/web", "web", nullptr);
  auto map = of({}, {"/s", {}}, base);
  CHECK(map["HOME"] == "/data");
  CHECK(map["PATH"] == "/bin");
  CHECK(map["LD_PRELOAD"] == "/x.so");
}

TEST_CASE("the request's parameters win over the pool's variables") {
  fcgi::Params params;
  params.add("MODE", "request");
  CHECK(of(params, {"/s", {}}, {{"MODE", "pool"}})["MODE"] == "request");
}

TEST_CASE("what is dangerous, misleading or cannot be expressed is dropped") {
  using namespace std::string_literals;
  fcgi::Params params;
  for (const std::string& name :
       {"HTTP_PROXY"s, "HTTP_TRANSFER_ENCODING"s, "LD_PRELOAD"s, "LD_LIBRARY_PATH"s,
        "BASH_FUNC_x%%"s, "BASH_ENV"s, "GCONV_PATH"s, "GLIBC_TUNABLES"s, ""s, "A=B"s, "N\0M"s}) {
    params.add(name, "x");
  }
  params.add("CUT", "a\0b"s);
  params.add("CONTENT_LENGTH", "");
  const auto map = of(params);
  CHECK(map.size() == 7);  // what RFC 3875 asks for, and SCRIPT_FILENAME
  CHECK(map.count("CONTENT_LENGTH") == 0);
}

TEST_CASE("of a repeated name the last non-empty value holds, and it is told") {
  fcgi::Params params;
  for (const char* value : {"tester", "", "second", ""}) params.add("REMOTE_USER", value);
  params.add("CONTENT_LENGTH", "5");
  params.add("CONTENT_LENGTH", "");
  const Environment environment({}, params, {"/s", {}});
  auto map = as_map(environment);
  CHECK(map["REMOTE_USER"] == "second");
  CHECK(map["CONTENT_LENGTH"] == "5");
  CHECK(environment.repeated() == "REMOTE_USER");

  fcgi::Params same;
  same.add("A", "1");
  same.add("A", "1");
  CHECK(Environment({}, same, {"/s", {}}).repeated().empty());
}

TEST_CASE("an empty parameter is set empty") {
  fcgi::Params params;
  params.add("QUERY_STRING", "");
  params.add("X", "");
  const auto map = of(params);
  CHECK(map.at("X").empty());
  CHECK(map.at("QUERY_STRING").empty());
}

TEST_CASE("what the front left out is set as RFC 3875 wants it") {
  auto map = of({}, {"/srv/a.cgi", {}});
  CHECK(map == std::map<std::string, std::string>{{"GATEWAY_INTERFACE", "CGI/1.1"},
                                                  {"QUERY_STRING", ""},
                                                  {"REQUEST_METHOD", "GET"},
                                                  {"SCRIPT_NAME", ""},
                                                  {"SCRIPT_FILENAME", "/srv/a.cgi"},
                                                  {"SERVER_PROTOCOL", "HTTP/1.0"},
                                                  {"SERVER_SOFTWARE", "fpm"}});
  fcgi::Params params;
  params.add("REQUEST_METHOD", "POST");
  params.add("SCRIPT_FILENAME", "/elsewhere");  // for cgi.program, which may be an interpreter
  params.add("PATH_INFO", "/kept");
  map = of(params, {"/srv/a.cgi", {}});
  CHECK(map["REQUEST_METHOD"] == "POST");
  CHECK(map["SCRIPT_FILENAME"] == "/elsewhere");
  CHECK(map["PATH_INFO"] == "/kept");
}

TEST_CASE("PATH_INFO found in SCRIPT_FILENAME corrects what depends on it") {
  fcgi::Params params;
  params.add("SCRIPT_FILENAME", "/srv/a.cgi/x/y");
  params.add("SCRIPT_NAME", "/cgi/a.cgi/x/y");
  params.add("DOCUMENT_ROOT", "/srv");
  params.add("PATH_INFO", "");
  auto map = of(params, {"/srv/a.cgi", "/x/y"});
  CHECK(map["SCRIPT_FILENAME"] == "/srv/a.cgi");
  CHECK(map["SCRIPT_NAME"] == "/cgi/a.cgi");
  CHECK(map["PATH_INFO"] == "/x/y");
  CHECK(map["PATH_TRANSLATED"] == "/srv/x/y");
}
