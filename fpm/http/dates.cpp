#include "fpm/http/dates.hpp"

#include <fmt/format.h>
#include <time.h>

#include <array>

namespace fpm::http {

namespace {

constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/// Takes pieces from the front of a date; `good` turns false at the first that is not there.
class Pieces {
 public:
  explicit Pieces(std::string_view text) : text_(text) {}

  int number(std::size_t digits) {
    int value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char c = i < text_.size() ? text_[i] : 'x';
      if (c < '0' || c > '9') good = false;
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(good ? digits : 0);
    return value;
  }
  /// A day of one digit has a blank in front in asctime's form.
  int padded_day() {
    if (!text_.starts_with(' ')) return number(2);
    text_.remove_prefix(1);
    return number(1);
  }
  void literal(std::string_view expected) {
    if (!text_.starts_with(expected)) good = false;
    text_.remove_prefix(good ? expected.size() : 0);
  }
  int month() {
    for (std::size_t i = 0; i < kMonths.size(); ++i) {
      if (!text_.starts_with(kMonths[i])) continue;
      text_.remove_prefix(3);
      return static_cast<int>(i);
    }
    good = false;
    return 0;
  }
  void clock(tm& time) {
    time.tm_hour = number(2);
    literal(":");
    time.tm_min = number(2);
    literal(":");
    time.tm_sec = number(2);
  }
  bool at_end() const { return good && text_.empty(); }

  bool good = true;

 private:
  std::string_view text_;
};

bool in_range(const tm& time) {
  return time.tm_mday >= 1 && time.tm_mday <= 31 && time.tm_hour < 24 && time.tm_min < 60 &&
         time.tm_sec <= 60;
}

}  // namespace

std::string http_date(std::int64_t seconds) {
  const time_t when = seconds;
  tm time{};
  ::gmtime_r(&when, &time);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays[static_cast<std::size_t>(time.tm_wday)], time.tm_mday,
                     kMonths[static_cast<std::size_t>(time.tm_mon)], time.tm_year + 1900,
                     time.tm_hour, time.tm_min, time.tm_sec);
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  const std::size_t comma = text.find(',');
  tm time{};
  bool whole = false;
  if (comma == 3) {  // Sun, 06 Nov 1994 08:49:37 GMT
    Pieces pieces(text.substr(comma + 1));
    pieces.literal(" ");
    time.tm_mday = pieces.number(2);
    pieces.literal(" ");
    time.tm_mon = pieces.month();
    pieces.literal(" ");
    time.tm_year = pieces.number(4) - 1900;
    pieces.literal(" ");
    pieces.clock(time);
    pieces.literal(" GMT");
    whole = pieces.at_end();
  } else if (comma != text.npos) {  // Sunday, 06-Nov-94 08:49:37 GMT
    Pieces pieces(text.substr(comma + 1));
    pieces.literal(" ");
    time.tm_mday = pieces.number(2);
    pieces.literal("-");
    time.tm_mon = pieces.month();
    pieces.literal("-");
    const int year = pieces.number(2);
    time.tm_year = year < 70 ? year + 100 : year;
    pieces.literal(" ");
    pieces.clock(time);
    pieces.literal(" GMT");
    whole = pieces.at_end();
  } else if (text.size() > 4) {  // Sun Nov  6 08:49:37 1994
    Pieces pieces(text.substr(3));
    pieces.literal(" ");
    time.tm_mon = pieces.month();
    pieces.literal(" ");
    time.tm_mday = pieces.padded_day();
    pieces.literal(" ");
    pieces.clock(time);
    pieces.literal(" ");
    time.tm_year = pieces.number(4) - 1900;
    whole = pieces.at_end();
  }
  if (!whole || !in_range(time)) return std::nullopt;
  return ::timegm(&time);
}

}  // namespace fpm::http
