#include "fpm/worker/exchange.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>

#include "fpm/log/log.hpp"
#include "fpm/worker/late_requests.hpp"
#include "fpm/worker/signals.hpp"

namespace fpm::worker {

using std::chrono::steady_clock;

std::string_view status_text(int status) {
  switch (status) {
    case 200: return "200 OK";
    case 400: return "400 Bad Request";
    case 403: return "403 Forbidden";
    case 404: return "404 Not Found";
    case 408: return "408 Request Timeout";
    case 500: return "500 Internal Server Error";
    case 502: return "502 Bad Gateway";
    case 503: return "503 Service Unavailable";
    case 504: return "504 Gateway Timeout";
    default: break;
  }
  return "500 Internal Server Error";
}

Page::Page(int status, std::string_view sentence) : status_(status) {
  const std::string_view line = status_text(status);
  const auto body = fmt::format_to_n(
      body_.data(), body_.size(),
      "<!DOCTYPE html>\n<html><head><title>{0}</title></head>\n<body><h1>{0}</h1>\n<p>{1}</p>"
      "</body></html>\n",
      line, sentence);
  body_length_ = std::min(body.size, body_.size());
  const auto header = fmt::format_to_n(
      head_.data(), head_.size(),
      "Status: {}\r\nContent-Type: text/html; charset=UTF-8\r\nCache-Control: no-store\r\n{}"
      "Content-Length: {}\r\n\r\n",
      line, line.starts_with("503") ? "Retry-After: 1\r\n" : "", body_length_);
  head_length_ = std::min(header.size, head_.size());
}

Exchange::Exchange(const config::Pool& pool, Wire& wire, scoreboard::Pen pen, LateRequests* late)
    : pool_(pool), output_(pool), wire_(wire), pen_(pen), late_(late) {}

void Exchange::start(std::uint16_t id, fcgi::Role role, steady_clock::time_point began,
                     bool keep_conn) {
  id_ = id;
  keep_conn_ = keep_conn;
  role_ = role;
  began_ = began;
  body_ = {};
  moving_ = aborted_ = gone_ = begun_ = finished_ = told_slow_ = told_overdue_ = body_is_data_ = false;
  status_ = 0;
  body_bytes_ = 0;
  usage_ = {};
  script_length_ = held_error_length_ = header_length_ = 0;
  executes_ = true;
  head_only_ = params().last_non_empty("REQUEST_METHOD") == "HEAD";
  compose_uri();
  wire_.writer().start(id);
  parse();
}

/// SCRIPT_NAME with PATH_INFO behind it unless the front put it there already (nginx's
/// $fastcgi_script_name has it when the location does not split it off).
void Exchange::compose_uri() {
  const std::string_view name = params().last_non_empty("SCRIPT_NAME");
  std::string_view info = params().last_non_empty("PATH_INFO");
  if (name.ends_with(info)) info = {};
  const std::size_t first = std::min(name.size(), uri_.size());
  const std::size_t second = std::min(info.size(), uri_.size() - first);
  std::copy_n(name.data(), first, uri_.data());
  std::copy_n(info.data(), second, uri_.data() + first);
  uri_length_ = first + second;
}

/// Takes events until nothing more has been received; the body bytes of several records become one
/// piece, for a move in memory costs less than a write to whoever gets them. In the role filter until there
/// are body bytes to give away, which may be of two streams.
void Exchange::parse() {
  const bool joins = role_ != fcgi::Role::filter;
  while (body_.empty() || (joins && wire_.has_unparsed())) {
    const fcgi::Event event = wire_.next();
    switch (event.kind) {
      case fcgi::Event::Kind::stdin_bytes:
        body_ = body_.empty() ? event.bytes : wire_.join(body_, event.bytes);
        break;
      case fcgi::Event::Kind::data_bytes:
        if (!pass_data_) break;
        body_ = event.bytes;
        body_is_data_ = true;
        break;
      case fcgi::Event::Kind::abort:
        aborted_ = true;
        break;
      case fcgi::Event::Kind::bad:
        gone_ = true;  // nothing that follows can be understood
        return;
      case fcgi::Event::Kind::need_more:
        return;
      default:
        break;
    }
  }
}

void Exchange::consume_body(std::size_t bytes) {
  body_.remove_prefix(std::min(bytes, body_.size()));
  if (body_.empty()) parse();
}

/// Record by record: between them only as much is received as tells how long the next one is.
std::optional<std::size_t> Exchange::move_body(int pipe) {
  constexpr std::size_t kWorth = 8 * 1024;  // of a record; smaller ones are received many at once
  if (!body_.empty() || (wire_.parser().body_left() < kWorth && !moving_)) return std::nullopt;
  const os::NonBlocking scope(wire_.fd());
  std::size_t moved = 0;
  while (!gone_ && body_.empty() && !wire_.parser().input_ended()) {
    const std::size_t left = wire_.parser().body_left();
    if (left >= kWorth || (left > 0 && moving_)) {
      moving_ = true;
      const ssize_t now = wire_.move_body(pipe);
      if (now <= 0) return now == 0 || moved > 0 ? std::optional(moved) : std::nullopt;
      moved += static_cast<std::size_t>(now);
      if (static_cast<std::size_t>(now) < left) return moved;
    } else if (const std::size_t head = wire_.parser().head_left(); moving_ && head > 0) {
      if (wire_.receive(false, head) != Wire::Received::bytes) break;
      parse();
      moving_ = wire_.parser().body_left() >= kWorth;
    } else {
      break;
    }
  }
  return moved > 0 ? std::optional(moved) : std::nullopt;
}

void Exchange::discard_body() {
  while (!body_.empty()) consume_body(body_.size());
}

short Exchange::events() const {
  if (gone_ || finished_) return 0;
  int events = 0;
  // Of a reading side that we have shut the end would be told for ever.
  if (!reading_was_shut()) events |= body_.empty() ? POLLRDHUP | POLLIN : POLLRDHUP;
  if (wire_.has_output()) events |= POLLOUT;
  return static_cast<short>(events);
}

void Exchange::pump() {
  short ready = POLLIN | POLLOUT;
  if (!body_.empty()) {
    pollfd one{wire_.fd(), POLLRDHUP, 0};
    if (::poll(&one, 1, 0) > 0) ready = static_cast<short>(ready | one.revents);
  }
  pump(ready);
}

void Exchange::pump(short ready) {
  constexpr short kEnd = POLLRDHUP | POLLHUP | POLLERR;
  if (gone_ || finished_) return;
  if (wire_.send() == Wire::Sent::failed) {
    gone_ = true;
    return;
  }
  if (!body_.empty()) {
    // The buffer holds body that the application has not taken yet, so the end of the connection
    // cannot be read; but it can be seen.
    if ((ready & kEnd) != 0 && !reading_was_shut()) gone_ = true;
    return;
  }
  if ((ready & (POLLIN | kEnd)) == 0) return;
  switch (wire_.receive(false)) {
    case Wire::Received::bytes:
      parse();
      break;
    case Wire::Received::end:
      gone_ = !(reading_was_shut() && wire_.parser().input_ended());
      break;
    case Wire::Received::nothing:
      break;
  }
}

std::size_t Exchange::room() const { return const_cast<Wire&>(wire_).writer().room(); }

void Exchange::begin(int status, std::string_view header_block) {
  assert(!begun_);
  begun_ = true;
  status_ = status;
  header_length_ = std::min(header_block.size(), header_.size());
  std::copy_n(header_block.data(), header_length_, header_.data());
  mark_answer_begun();
  if (header_block.size() > room()) send_all();
  wire_.writer().out(header_block);
  if (held_error_length_ > 0) {
    wire_.writer().err({held_error_.data(), held_error_length_});
    held_error_length_ = 0;
  }
}

/// In shared memory, before the first byte can leave: a master that answers in the place of a worker
/// that does not react would else send a second answer.
void Exchange::mark_answer_begun() {
  pen_.update([this](scoreboard::Pen& pen) {
    pen.number(scoreboard::Field::answer_begun, 1);
    pen.number(scoreboard::Field::status, static_cast<std::uint64_t>(status_));
  });
}

void Exchange::write(std::span<const char> bytes) {
  if (gone_ || finished_) return;
  body_bytes_ += wire_.writer().out({bytes.data(), bytes.size()});
}

std::size_t Exchange::write_from(int pipe, std::size_t most) {
  assert(begun_);
  if (gone_ || finished_) return 0;
  const std::size_t taken = wire_.write_from(pipe, most, id_);
  body_bytes_ += taken;
  return taken;
}

std::size_t Exchange::write_through(std::span<const char> bytes) {
  assert(begun_);
  if (gone_) return 0;
  if (!finished_ && !wire_.send_through(id_, {bytes.data(), bytes.size()})) {
    gone_ = true;
    return 0;
  }
  if (!finished_) body_bytes_ += bytes.size();
  return bytes.size();
}

void Exchange::write_all(std::string_view text) {
  while (!text.empty()) {
    const std::size_t taken = wire_.writer().out(text.substr(0, room()));
    body_bytes_ += taken;
    text.remove_prefix(taken);
    if (!text.empty() && !send_all()) return;
  }
}

void Exchange::write_error(std::string_view text) {
  if (text.empty() || gone_ || finished_) return;
  if (begun_) {
    wire_.writer().err(text);
    return;
  }
  const std::size_t length = std::min(text.size(), held_error_.size() - held_error_length_);
  std::copy_n(text.data(), length, held_error_.data() + held_error_length_);
  held_error_length_ += length;
}

void Exchange::answer(int status, std::string_view reason) {
  // A worker that is told to go ends the request as if its time were over; to the visitor the
  // service is what is unavailable.
  const bool stopping = status == 504 && terminate_asked();
  const Page page(stopping ? 503 : status, stopping ? "The service is being stopped." : reason);
  begin(page.status(), page.header());
  if (!head_only_) write({page.body().data(), page.body().size()});
}

steady_clock::time_point Exchange::deadline() const {
  if (terminate_asked()) return steady_clock::time_point::min();
  const bool unlimited = finished_ && !pool_.request_terminate_timeout_track_finished;
  if (pool_.request_terminate_timeout.count() == 0 || unlimited) {
    return steady_clock::time_point::max();
  }
  return began_ + pool_.request_terminate_timeout;
}

steady_clock::time_point Exchange::slow_at() const {
  if (told_slow_ || late_ == nullptr || pool_.request_slowlog_timeout.count() == 0) {
    return steady_clock::time_point::max();
  }
  return began_ + pool_.request_slowlog_timeout;
}

log::LateRequest Exchange::late_request() const {
  return {.pid = ::getpid(),
          .script = script(),
          .method = params().last_non_empty("REQUEST_METHOD"),
          .uri = uri(),
          .query = params().last_non_empty("QUERY_STRING"),
          .taken = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() -
                                                                         began_)};
}

void Exchange::note_slow() {
  told_slow_ = true;
  pen_.mark(scoreboard::Field::slow_told, 1);
}

void Exchange::tell_slow(std::span<const std::string> frames) {
  told_slow_ = true;
  if (late_ == nullptr) return;
  pen_.update([](scoreboard::Pen& pen) { pen.number(scoreboard::Field::slow_told, 1); });
  late_->slow(late_request(), request_id(), frames);
}

void Exchange::tell_overdue(std::string_view where) {
  told_overdue_ = true;
  if (late_ != nullptr) late_->overdue(late_request(), request_id());
  log(log::Level::warning, where);
}

std::string_view Exchange::script() const {
  if (script_length_ > 0) return {script_.data(), script_length_};
  return executes_ ? params().last_non_empty("SCRIPT_FILENAME") : std::string_view();
}

void Exchange::set_script(std::string_view path) {
  executes_ = !path.empty();
  script_length_ = std::min(path.size(), script_.size());
  std::copy_n(path.data(), script_length_, script_.data());
  pen_.update([&](scoreboard::Pen& pen) { pen.text(scoreboard::kScript, path); });
}

bool Exchange::output(std::string_view bytes) {
  if (!output_.wanted()) return false;
  output_.feed(bytes, request_id());
  return true;
}

void Exchange::log(log::Level level, std::string_view text) {
  if (!log::enabled(level)) return;
  const std::string_view method = params().last_non_empty("REQUEST_METHOD");
  log::write_about(level, {.pool = pool_.name, .request_id = request_id()},
                   fmt::format("request \"{} {}\": {}", log::printable(method, 32),
                               log::printable(uri()), text));
}

std::string_view Exchange::request_id() const {
  const std::string_view given = params().last_non_empty("REQUEST_ID");
  return given.empty() ? params().last_non_empty("HTTP_X_REQUEST_ID") : given;
}

void Exchange::end(std::uint32_t app_status) {
  end_output();
  if (!begun_) mark_answer_begun();
  if (!begun_ && held_error_length_ > 0) {
    wire_.writer().err({held_error_.data(), held_error_length_});
  }
  wire_.writer().end(app_status);
}

bool Exchange::finish_answer(int app_status) {
  if (finished_) return !wire_.failed();
  assert(begun_);
  end(static_cast<std::uint32_t>(app_status));
  discard_body();
  wire_.send_last(keep_conn_ && wire_.parser().input_ended());
  const bool delivered = send_all();
  finished_ = true;
  // Whoever answers in the place of this worker must not take the number for another connection.
  pen_.update([](scoreboard::Pen& pen) {
    pen.number(scoreboard::Field::connection, 0);
    pen.number(scoreboard::Field::answer_begun, scoreboard::kAnswerComplete);
  });
  if (delivered) {
    wire_.end();
  } else {
    wire_.drop();
  }
  return delivered;
}

void Exchange::end_output() {
  if (output_.wanted()) output_.end(request_id());
}

std::optional<std::string_view> Exchange::response_header(std::string_view name) const {
  std::string_view rest(header_.data(), header_length_);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    if (!line.starts_with(name)) continue;
    std::string_view value = line.substr(name.size() + 1);
    while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
    while (value.ends_with('\r') || value.ends_with(' ')) value.remove_suffix(1);
    return value;
  }
  return std::nullopt;
}

}  // namespace fpm::worker
