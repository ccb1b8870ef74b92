#include "fpm/os/allowed_clients.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>

using fpm::os::AllowedClients;

namespace {

sockaddr_storage peer(const char* text) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
  } else {
    REQUIRE(::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    v6.sin6_family = AF_INET6;
  }
  return storage;
}

}  // namespace

TEST_CASE("an empty list allows everybody") {
  CHECK(AllowedClients({}).allows(peer("192.0.2.1")));
}

TEST_CASE("addresses and networks of both families") {
  const AllowedClients clients({"192.0.2.0/25", "10.1.2.3", "2001:db8::/33", "::1"});
  for (const char* yes : {"192.0.2.1", "192.0.2.127", "10.1.2.3", "::ffff:10.1.2.3",
                          "2001:db8:7fff::1", "::1"}) {
    CAPTURE(yes);
    CHECK(clients.allows(peer(yes)));
  }
  // php-fpm looks at 12 of the 16 bytes only; here the last bit counts.
  for (const char* no : {"192.0.2.128", "10.1.2.4", "2001:db8:8000::1", "::2", "192.0.3.1"}) {
    CAPTURE(no);
    CHECK_FALSE(clients.allows(peer(no)));
  }
}

TEST_CASE("UNIX peers are let to the socket's mode") {
  sockaddr_storage peer{};
  peer.ss_family = AF_UNIX;
  CHECK(AllowedClients({"10.0.0.1"}).allows(peer));
}
