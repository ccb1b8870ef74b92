#include "fpm/master/secrets.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <string>

using fpm::config::Pool;
using fpm::master::Secrets;

namespace {

const std::string kPassword = "correct horse battery staple";

/// With the password in each place where there may be one.
Pool pool_with_secrets() {
  Pool pool;
  for (auto* const place : {&pool.env, &pool.env_written, &pool.module_options,
                            &pool.module_options_written, &pool.php_values, &pool.php_admin_values}) {
    place->emplace_back("NAME", kPassword);
  }
  return pool;
}

/// How many of those places show it.
int shown(const Pool& pool) {
  int count = 0;
  for (const auto* const place : {&pool.env, &pool.env_written, &pool.module_options,
                                  &pool.module_options_written, &pool.php_values, &pool.php_admin_values}) {
    for (const auto& [name, value] : *place) count += value.find(kPassword) != std::string::npos ? 1 : 0;
  }
  return count;
}

}  // namespace

TEST_CASE("a worker's process forgets the secrets of all pools but its own") {
  Secrets secrets;
  Pool own = pool_with_secrets();
  Pool other = pool_with_secrets();
  const Secrets::Kept kept_own(secrets, own);
  const Secrets::Kept kept_other(secrets, other);
  REQUIRE(shown(other) == 6);
  secrets.wipe_others(own);
  CHECK(shown(own) == 6);
  CHECK(shown(other) == 0);
  CHECK(other.env.front().first == "NAME");
}

TEST_CASE("each kind of secret alone is found in another pool") {
  for (const auto place : {&Pool::env, &Pool::env_written, &Pool::module_options,
                           &Pool::module_options_written, &Pool::php_values, &Pool::php_admin_values}) {
    Secrets secrets;
    Pool own;
    Pool other;
    (other.*place).emplace_back("NAME", kPassword);
    const Secrets::Kept kept_own(secrets, own);
    const Secrets::Kept kept(secrets, other);
    secrets.wipe_others(own);
    CHECK(shown(other) == 0);
  }
}

TEST_CASE("a configuration that goes leaves no secret in freed memory and is not looked at again") {
  Secrets secrets;
  Pool own;
  auto gone = std::make_optional(pool_with_secrets());
  {
    const Secrets::Kept kept(secrets, *gone);
  }
  CHECK(shown(*gone) == 0);
  gone.reset();
  secrets.wipe_others(own);  // with AddressSanitizer: nothing of it is read
}
