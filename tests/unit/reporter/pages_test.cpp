#include "fpm/reporter/pages.hpp"

#include <fmt/format.h>

#include "fpm/status/metrics.hpp"
#include "rig.hpp"

using namespace test;
using namespace std::chrono_literals;
using reporter::Page;
using fpm::scoreboard::PoolState;
using fpm::scoreboard::Stage;

namespace {

struct TwoPools {
  Memory www{2};
  Memory other{2};
  Rig rig;
  reporter::View::Time now{1h};

  TwoPools() {
    for (Memory* memory : {&www, &other}) {
      memory->board.occupy(0);
      memory->board.pen(0).enter(Stage::accepting);
    }
    rig.add("www", www);
    rig.add("a/b c", other);
    rig.commit();
  }
  /// Changes what is known of a pool.
  void tell(std::size_t index, const std::function<void(reporter::PoolNews&)>& change) {
    reporter::PoolNews news = rig.view.pool(index);
    change(news);
    REQUIRE(rig.send(news).empty());
    rig.commit();
  }

  Page get(std::string_view path, std::string_view query = {}, std::string_view method = "GET") {
    return reporter::general_page(rig.view, {method, path, query}, now);
  }
  Page own(std::string_view path, std::string_view query = {}, std::string_view method = "GET") {
    return reporter::pool_page(rig.view, "www", {method, path, query});
  }
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("each address has its page") {
  TwoPools pools;
  CHECK(pools.get("/").type == "text/html;charset=UTF-8");
  CHECK(contains(pools.get("/").head(), "Content-Security-Policy: default-src 'none'"));
  CHECK(pools.get("/status").body.rfind("{\"pools\":[{\"pool\":\"www\"", 0) == 0);
  CHECK(pools.get("/status/").body.size() > 100);
  CHECK(pools.get("/status/www").body.rfind("{\"pool\":\"www\"", 0) == 0);
  CHECK(pools.get("/metrics").type == fpm::status::kMetricsType);
  CHECK(contains(pools.get("/metrics").body, "# EOF"));
  CHECK(pools.get("/ping").body == "pong");
  CHECK(pools.get("/ready").body == "www: ready\na/b c: ready\n");
  for (const char* none : {"", "/x", "/statusx", "/status/none", "/Metrics", "*", "//", "/ready/"}) {
    CAPTURE(none);
    CHECK(pools.get(none).status == 404);
  }
}

TEST_CASE("one pool's page has the format that is asked for") {
  TwoPools pools;
  CHECK(pools.get("/status/www").type == "application/json");
  CHECK(pools.get("/status/www", "text").body.rfind("pool:                 www\n", 0) == 0);
  CHECK(pools.get("/status/www", "html&full").type == "text/html;charset=UTF-8");
  CHECK(pools.get("/status/www", "xml").type == "text/xml;charset=UTF-8");
  CHECK(contains(pools.get("/status/www", "openmetrics").body, "# EOF"));
  CHECK(contains(pools.get("/status/www", "full").body, "\"processes\":["));
  CHECK_FALSE(contains(pools.get("/status/www").body, "\"processes\""));
  CHECK(contains(pools.get("/status/www", "extended").body, "\"max children\":4"));
}

TEST_CASE("a name is decoded, and one that is none is 404") {
  TwoPools pools;
  CHECK(contains(pools.get("/status/a%2Fb%20c").body, "\"pool\":\"a\\/b c\""));
  CHECK(pools.get("/status/a/b c").status == 200);
  CHECK(pools.get("/ready", "pool=a%2fb+c").body == "a/b c: ready\n");
  for (const char* none : {"/status/%", "/status/%2", "/status/%zz", "/status/www%00"}) {
    CHECK(pools.get(none).status == 404);
  }
}

TEST_CASE("a query limits the pages to one pool") {
  TwoPools pools;
  CHECK(pools.get("/ready", "x&pool=www").body == "www: ready\n");
  CHECK_FALSE(contains(pools.get("/metrics", "pool=www").body, "a/b c"));
  CHECK_FALSE(contains(pools.get("/status", "pool=www&full").body, "b c"));
  for (const char* path : {"/ready", "/metrics", "/status"}) {
    CHECK(pools.get(path, "pool=none").status == 404);
    CHECK(pools.get(path, "pool").status == 404);
    CHECK(pools.get(path, "poo=l").status == 200);
  }
}

TEST_CASE("only GET and HEAD are answered") {
  TwoPools pools;
  CHECK(pools.get("/status", "", "HEAD").status == 200);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", ""}) {
    const Page page = pools.get("/status", "", method);
    CHECK(page.status == 405);
    CHECK(contains(page.head(), "Allow: GET, HEAD\r\n"));
  }
}

TEST_CASE("one pool that is not ready makes 503, and its line says why") {
  TwoPools pools;
  pools.other.set_state(PoolState::drained);
  const Page page = pools.get("/ready");
  CHECK(page.status == 503);
  CHECK(page.body == "www: ready\na/b c: not ready, draining\n");
  CHECK(pools.get("/ready", "pool=www").status == 200);
  pools.other.set_state(PoolState::stopping);
  CHECK(contains(pools.get("/ready").body, "a/b c: not ready, stopping\n"));
}

TEST_CASE("a pool is not ready while its requests of the last seconds waited too long") {
  TwoPools pools;
  pools.tell(0, [](reporter::PoolNews& news) { news.ready_wait_ms = 200; });
  pools.rig.view.sample(pools.now);
  for (int i = 0; i < 100; ++i) {
    pools.www.totals().accepted.fetch_add(1);
    pools.www.totals().queue_wait.record(i < 95 ? 1ms : 900ms);
  }
  CHECK(pools.get("/ready").status == 503);
  CHECK(contains(pools.get("/ready").body, "(p99 of the last 10 s), longer than 200 ms"));
  for (int second = 0; second < 12; ++second) {
    pools.now += 1s;
    pools.rig.view.sample(pools.now);
  }
  CHECK(pools.get("/ready").status == 200);
}

TEST_CASE("a pool's second address has its status page and ping, and nothing else") {
  TwoPools pools;
  pools.tell(0, [](reporter::PoolNews& news) {
    news.status_path = "/fpm-status";
    news.ping_path = "/fpm-ping";
    news.ping_response = "here";
  });
  CHECK(pools.own("/fpm-status").body.rfind("pool:                 www\n", 0) == 0);
  CHECK(pools.own("/fpm-status", "json").type == "application/json");
  CHECK(pools.own("/fpm-status", "", "POST").status == 200);  // as the pool's own page
  CHECK(pools.own("/fpm-ping").body == "here");
  for (const char* none : {"/", "", "/status", "/metrics", "/ready", "/index.php"}) {
    CAPTURE(none);
    CHECK(pools.own(none).status == 404);
  }
  CHECK(reporter::pool_page(pools.rig.view, "gone", {"GET", "/fpm-status", ""}).status == 404);
}

TEST_CASE("without pm.status_path a pool's second address answers at /") {
  TwoPools pools;
  CHECK(pools.own("/").body.rfind("pool:                 www\n", 0) == 0);
  CHECK(pools.own("").status == 404);
}

TEST_CASE("1,000 pools are rendered in a moment", "[.measure]") {
  Rig rig;
  std::vector<Memory> memories;
  for (int i = 0; i < 1000; ++i) memories.emplace_back(4);
  for (int i = 0; i < 1000; ++i) rig.add(fmt::format("pool-{}", i), memories[std::size_t(i)]);
  rig.commit();
  for (const char* path : {"/metrics", "/status", "/ready"}) {
    const auto begin = std::chrono::steady_clock::now();
    std::size_t size = 0;
    for (int i = 0; i < 10; ++i) {
      size = reporter::general_page(rig.view, {"GET", path, ""}, begin).body.size();
    }
    const std::chrono::duration<double, std::milli> took =
        (std::chrono::steady_clock::now() - begin) / 10;
    WARN(fmt::format("{}: {:.1f} ms, {} bytes", path, took.count(), size));
  }
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) rig.view.sample(begin + std::chrono::seconds(i));
  const std::chrono::duration<double, std::micro> took =
      (std::chrono::steady_clock::now() - begin) / 100;
  WARN(fmt::format("sample: {:.0f} us", took.count()));
}
