// The client behind proxies.
#include "fpm/http/client_address.hpp"

#include <catch2/catch.hpp>

using namespace fpm::http;

namespace {

Head with(std::vector<Field> fields) {
  Head head;
  head.fields = std::move(fields);
  return head;
}

}  // namespace

TEST_CASE("only what a trusted proxy says is believed") {
  const TrustedProxies proxies({"10.0.0.0/8", "::1"}, "X-Forwarded-For");
  const auto ask = [&](const char* peer, std::string_view value) {
    return proxies.client(peer, with({{"x-forwarded-for", value}}));
  };
  CHECK(ask("10.0.0.1", "192.0.2.7") == "192.0.2.7");
  CHECK(ask("::1", "2001:db8::1") == "2001:db8::1");
  CHECK(ask("192.0.2.1", "192.0.2.7") == "192.0.2.1");
  CHECK(ask("unix:", "192.0.2.7") == "192.0.2.7");
  // The last one that is no proxy of ours; what the client itself has put in front counts nothing.
  CHECK(ask("10.0.0.1", "1.2.3.4, 192.0.2.7, 10.1.1.1") == "192.0.2.7");
  CHECK(ask("10.0.0.1", "10.2.2.2, 10.1.1.1") == "10.2.2.2");
  CHECK(ask("10.0.0.1", "1.2.3.4, nonsense, 10.1.1.1") == "10.1.1.1");
  CHECK(ask("10.0.0.1", "192.0.2.7:4711") == "192.0.2.7");
  CHECK(ask("10.0.0.1", "[2001:db8::1]:80") == "2001:db8::1");
  CHECK(ask("10.0.0.1", "") == "10.0.0.1");
  CHECK(proxies.client("10.0.0.1", with({{"X-Forwarded-For", "1.2.3.4"},
                                         {"X-Forwarded-For", "192.0.2.7"}})) == "192.0.2.7");
}

TEST_CASE("without proxies nobody is believed") {
  const TrustedProxies none({}, "X-Forwarded-For");
  CHECK(none.client("127.0.0.1", with({{"X-Forwarded-For", "1.2.3.4"}})) == "127.0.0.1");
  CHECK(!none.trusts("unix:"));
  CHECK(!none.trusts("127.0.0.1"));
}

TEST_CASE("who is this machine, and who has come through a proxy") {
  CHECK(is_this_machine("127.0.0.1"));
  CHECK(is_this_machine("::1"));
  CHECK(!is_this_machine("128.0.0.1"));
  CHECK(is_forwarded(with({{"X-Forwarded-For", "a"}})));
  CHECK(is_forwarded(with({{"Via", "1.1 a"}})));
  CHECK(!is_forwarded(with({{"Accept", "a"}})));
}
