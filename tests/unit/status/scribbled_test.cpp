// A worker may write anything over its shared memory: the pages stay well-formed.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "fpm/scoreboard/board.hpp"
#include "fpm/scoreboard/ledger.hpp"
#include "fpm/status/all_pools.hpp"
#include "fpm/status/metrics.hpp"
#include "fpm/status/ready.hpp"
#include "fpm/status/render.hpp"

using namespace fpm;
using scoreboard::Board;
using scoreboard::Ledger;

namespace {

void scribble(const os::SharedMemory& memory, std::mt19937_64& random) {
  auto* bytes = static_cast<unsigned char*>(memory.data());
  for (std::size_t i = 0; i < memory.size(); ++i) bytes[i] = static_cast<unsigned char>(random());
}

/// Strings are closed and brackets match: all that can go wrong with what is put into this text.
bool balanced_json(std::string_view text) {
  std::string open;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) < 0x20) return false;
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      open += c;
    } else if (c == '}' || c == ']') {
      if (open.empty() || open.back() != (c == '}' ? '{' : '[')) return false;
      open.pop_back();
    }
  }
  return open.empty() && !quoted;
}

bool balanced_xml(std::string_view text) {
  std::vector<std::string> open;
  text.remove_prefix(text.find("<status>"));
  while (!text.empty()) {
    const std::size_t begin = text.find('<');
    if (begin == text.npos) break;
    const std::size_t end = text.find('>', begin);
    if (end == text.npos) return false;
    const std::string tag(text.substr(begin + 1, end - begin - 1));
    if (tag.starts_with("/")) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else {
      open.push_back(tag);
    }
    text.remove_prefix(end + 1);
  }
  return open.empty();
}

}  // namespace

TEST_CASE("pages of a pool whose memory is random bytes are well-formed") {
  auto board = Board::create(20);
  auto ledger = Ledger::create();
  REQUIRE(board.has_value());
  REQUIRE(ledger.has_value());
  std::mt19937_64 random(Catch::rngSeed());
  for (int round = 0; round < 50; ++round) {
    scribble(board->memory(), random);
    scribble(ledger->memory(), random);
    scoreboard::PoolSnapshot pool = board->snapshot(true);
    scoreboard::read_totals(ledger->totals(), pool);
    pool.name = "www";
    pool.process_manager = "static";
    scoreboard::merge(pool, board->snapshot(true));
    const std::array pools{pool};
    std::string json, xml, text;
    status::render(json, pool, status::Format::json, true, true);
    status::render(xml, pool, status::Format::xml, true, true);
    CHECK(balanced_json(json));
    CHECK(balanced_xml(xml));
    json.clear();
    status::render_all_pools(json, pools, true);
    CHECK(balanced_json(json));
    status::render(text, pool, status::Format::html, true, true);
    status::render(text, pool, status::Format::text, true, true);
    status::render(text, pool, status::Format::openmetrics, true, true);
    status::render_metrics(text, pools, true, "1");
    CHECK(text.ends_with("# EOF\n"));
    CHECK(text.find("nan") == std::string::npos);
    (void)status::unready_reason(pool, {.queue = 1, .wait = std::chrono::milliseconds(1)},
                                 pool.queue_wait);
  }
}
