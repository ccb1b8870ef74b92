#include "fpm/handlers/php/php_handler.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "fpm/handlers/php/engine.hpp"
#include "fpm/handlers/php/trace.hpp"

namespace fpm::handlers::php {
namespace {

// What the service manager or fpm told fpm and no script should take for itself.
bool is_ours(std::string_view name) {
  return name == "NOTIFY_SOCKET" || name.starts_with("WATCHDOG_") || name.starts_with("LISTEN_") ||
         name.starts_with("FPM_");
}

void drop_ours() {
  std::vector<std::string> names;
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (is_ours(name)) names.emplace_back(name);
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

}  // namespace

PhpHandler::PhpHandler(const config::Pool& pool, os::Identity user)
    : pool_(pool), user_(std::move(user)), request_(pool) {}

os::Result<void> PhpHandler::load() {
  return start_engine(pool_.php_start, pool_.php_values, pool_.php_admin_values);
}

os::Result<void> PhpHandler::load_for_all() { return start_engine(pool_.php_start, {}, {}); }

os::Result<void> PhpHandler::start() {
  set_environment();
  use_engine_in_worker();
  return {};
}

// In php-fpm's order, which scripts see in $_SERVER: the pool's variables, the last one first.
void PhpHandler::set_environment() const {
  if (pool_.clear_env) {
    ::clearenv();
  } else {
    drop_ours();
  }
  for (auto at = pool_.env.rbegin(); at != pool_.env.rend(); ++at) {
    // Of a repeated name the last line counts.
    bool repeated = false;
    for (auto later = pool_.env.rbegin(); later != at; ++later) repeated |= later->first == at->first;
    if (!repeated) ::setenv(at->first.c_str(), at->second.c_str(), 1);
  }
  const auto set_default = [&](const char* name, const std::string& value) {
    for (const auto& [known, ignored] : pool_.env) {
      if (known == name) return;
    }
    if (!value.empty()) ::setenv(name, value.c_str(), 1);
  };
  set_default("USER", user_.name);
  set_default("HOME", user_.home);
}

Outcome PhpHandler::handle(Exchange& exchange) {
  request_.start(exchange);
  const Outcome outcome = execute(request_, pool_);
  request_.end();
  return outcome;
}

std::size_t PhpHandler::where(std::span<char> out, int depth) noexcept {
  return write_stack(out, depth);
}

std::string_view PhpHandler::page_header() const { return powered_by(); }

}  // namespace fpm::handlers::php
