#include "fpm/handlers/cgi/say.hpp"

#include "fpm/log/text.hpp"

namespace fpm::handlers::cgi {

std::string visible(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  while (!text.empty()) {
    std::size_t plain = log::harmless_prefix(text);
    if (plain == 0 && (text.front() == '"' || text.front() == '\\')) plain = 1;
    if (plain == 0) {
      const auto byte = static_cast<unsigned char>(text.front());
      out.append("\\x").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
    out.append(text.substr(0, plain));
    text.remove_prefix(plain > 0 ? plain : 1);
  }
  return out;
}

void say(Exchange& exchange, log::Level level, std::string_view text) {
  exchange.log(level, visible(text));
}

}  // namespace fpm::handlers::cgi
