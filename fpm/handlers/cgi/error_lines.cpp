#include "fpm/handlers/cgi/error_lines.hpp"

#include <algorithm>

namespace fpm::handlers::cgi {

void ErrorLines::feed(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t size = std::min({end, text.size(), kLineLimit - line_.size()});
    line_.append(text.substr(0, size));
    text.remove_prefix(size);
    if (size == end) {
      text.remove_prefix(1);
      hand_on();
    } else if (line_.size() == kLineLimit && !text.empty() && text.front() != '\n') {
      hand_on();
    }
  }
}

void ErrorLines::end() {
  hand_on();
  if (count_ > kLines) sink_(std::to_string(count_ - kLines) + " more lines were not logged");
}

void ErrorLines::hand_on() {
  if (line_.ends_with('\r')) line_.pop_back();
  if (line_.empty()) return;
  if (++count_ <= kLines) sink_(line_);
  line_.clear();
}

}  // namespace fpm::handlers::cgi
