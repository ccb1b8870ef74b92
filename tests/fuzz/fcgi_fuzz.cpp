// libFuzzer target for both parsers: whatever arrives, the events are those of the same bytes in
// one-byte pieces, views lie inside the input, and the limits hold.
//
//   fuzz-fcgi -max_len=4096 -max_total_time=60 tests/unit/fcgi/corpus
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fcgi/parser.hpp"
#include "fcgi/response_parser.hpp"

namespace {

constexpr fcgi::Limits kLimits{512, 16};

void require(bool holds) {
  if (!holds) std::abort();
}

std::string requests(std::string_view input, std::size_t piece) {
  using Kind = fcgi::Event::Kind;
  std::string seen;
  Kind last = Kind::need_more;
  fcgi::RequestParser parser(kLimits);
  while (!input.empty()) {
    const std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    for (std::string_view rest = part;;) {
      const fcgi::Event event = parser.next(rest);
      if (event.kind == Kind::need_more) break;
      const bool bytes = event.kind == Kind::stdin_bytes || event.kind == Kind::data_bytes;
      if (bytes) {
        require(!event.bytes.empty() && event.bytes.data() >= part.data());
        require(event.bytes.data() + event.bytes.size() == rest.data());
      }
      if (!bytes || event.kind != last)
        seen += static_cast<char>('A' + static_cast<int>(event.kind));
      seen += event.bytes;
      last = event.kind;
      require(parser.params().size() <= kLimits.params);
      require(parser.params().bytes() <= kLimits.param_bytes);
      for (const fcgi::Param param : parser.asked()) seen += param.name;
      if (event.kind == Kind::params_end) {
        for (const fcgi::Param param : parser.params()) seen.append(param.name).append(param.value);
      }
      if (event.kind == Kind::stdin_end) parser.request_done();
      if (event.kind == Kind::bad) return seen + std::string(text(event.reason));
    }
  }
  return seen;
}

std::string answers(std::string_view input, std::size_t piece) {
  using Kind = fcgi::ResponseEvent::Kind;
  std::string seen;
  Kind last = Kind::need_more;
  fcgi::ResponseParser parser(1);
  while (!input.empty()) {
    std::string_view part = input.substr(0, piece);
    input.remove_prefix(part.size());
    for (;;) {
      const fcgi::ResponseEvent event = parser.next(part);
      if (event.kind == Kind::need_more) break;
      const bool bytes = event.kind == Kind::out_bytes || event.kind == Kind::err_bytes;
      if (!bytes || event.kind != last)
        seen += static_cast<char>('A' + static_cast<int>(event.kind));
      seen += event.bytes;
      last = event.kind;
      if (event.kind == Kind::bad) return seen + std::string(event.reason);
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  require(requests(input, std::string_view::npos) == requests(input, 1));
  require(answers(input, std::string_view::npos) == answers(input, 1));
  return 0;
}
