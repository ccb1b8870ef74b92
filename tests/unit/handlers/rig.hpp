// A pool with the cgi handler and a folder of scripts, for the tests that run programs.
#pragma once

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "fake_exchange.hpp"
#include "fpm/handlers/cgi/cgi_handler.hpp"

namespace fpm::handlers {

struct Rig {
  config::Pool pool;
  std::string folder;
  std::unique_ptr<Handler> handler;
  std::chrono::steady_clock::time_point answered{};  // when the last request had its answer

  Rig() {
    char name[] = "/tmp/test-handlers-XXXXXX";
    folder = ::mkdtemp(name);
    pool.handler = config::HandlerKind::cgi;
    pool.request_terminate_grace = std::chrono::milliseconds(50);
  }
  ~Rig() {
    std::filesystem::remove_all(folder);
    CHECK_FALSE(has_children());
  }

  std::string path(const std::string& name) const { return folder + "/" + name; }
  /// A shell script of that text; its first line is written here.
  std::string script(const std::string& text, const std::string& name = "a.cgi") {
    return file("#!/bin/sh\n" + text + "\n", name);
  }
  std::string file(const std::string& text, const std::string& name, mode_t mode = 0755) {
    std::ofstream(path(name)) << text;
    ::chmod(path(name).c_str(), mode);
    return path(name);
  }
  std::string fifo(const std::string& name) {
    REQUIRE(::mkfifo(path(name).c_str(), 0600) == 0);
    return path(name);
  }
  std::string content(const std::string& name) const {
    std::ifstream stream(path(name));
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  /// Handles a request for the script at `filename`.
  Outcome run(FakeExchange& exchange, const std::string& filename) {
    if (!handler) {
      handler = make_handler(pool, {0, 0, {}, "web", "/home/web"});
      REQUIRE(handler->start().has_value());
    }
    exchange.parameters.add("SCRIPT_FILENAME", filename);
    const Outcome outcome = handler->handle(exchange);
    CHECK(exchange.misuses == 0);
    if (outcome.end != End::abort) CHECK(exchange.begun());
    answered = std::chrono::steady_clock::now();
    if (outcome.unfinished) handler->finish(exchange);
    return outcome;
  }

  /// Whether this process has a child, running or waiting to be reaped.
  static bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
  }
  static bool group_is_gone(pid_t group) {
    return group > 1 && ::kill(-group, 0) < 0 && errno == ESRCH;
  }
};

}  // namespace fpm::handlers
