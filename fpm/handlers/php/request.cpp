#include "fpm/handlers/php/request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace fpm::handlers::php {
namespace {

std::string_view name_of(fcgi::Role role) {
  switch (role) {
    case fcgi::Role::responder: return "RESPONDER";
    case fcgi::Role::authorizer: return "AUTHORIZER";
    case fcgi::Role::filter: return "FILTER";
  }
  return "RESPONDER";
}

}  // namespace

void Request::start(Exchange& exchange) {
  exchange_ = &exchange;
  io_.emplace(exchange, pool_.request_body_timeout);
  env_.start(exchange.params(), name_of(exchange.role()));
  body_closed_ = finished_ = ended_ = told_ = false;
  lost_ = 0;
  outcome_ = {};
}

std::size_t Request::read(std::span<char> out) {
  std::size_t size = 0;
  if (exchange_ == nullptr || body_closed_) return 0;
  while (size < out.size()) {
    const std::size_t got = io_->read(out.subspan(size));
    if (got == 0) break;
    size += got;
  }
  return size;
}

void Request::begin(int status, std::string_view block) {
  if (may_write() && !exchange_->begun()) exchange_->begin(status, block);
}

bool Request::write(std::string_view bytes) {
  if (may_write()) return io_->write({bytes.data(), bytes.size()});
  return finished_ && keeps_for_nobody(bytes.size());
}

/// php-fpm notices that nobody listens any more when it empties a buffer of 8 KB, and so scripts know it.
bool Request::keeps_for_nobody(std::size_t bytes) {
  constexpr std::size_t kRoom = 8192 - 8;
  lost_ += bytes;
  return lost_ < kRoom || std::exchange(lost_, 0) == 0;
}

bool Request::flush() {
  if (!may_write()) return finished_ && std::exchange(lost_, 0) == 0;
  return !exchange_->begun() || io_->flush();
}

bool Request::finish() {
  if (!may_write() || !exchange_->begun()) return false;
  finished_ = true;
  (void)exchange_->finish_answer(0);
  return true;
}

bool Request::must_stop() {
  if (exchange_ == nullptr) return false;
  if (ended_) return true;
  const Blocking::Stop stop = io_->stop();
  const bool gone = stop == Blocking::Stop::client &&
                    pool_.request_on_abort == config::OnAbort::end;
  if (stop != Blocking::Stop::deadline && stop != Blocking::Stop::body && !gone) return false;
  outcome_ = io_->conclude("the script is ended: it waited for its client");
  ended_ = true;
  return true;
}

Outcome Request::outcome() {
  if (!ended_ && exchange_->aborted()) outcome_.end = End::abort;
  return outcome_;
}

void Request::tell(std::string_view level, std::string_view prefix, std::string_view text,
                   bool to_front) {
  line_.clear();
  fmt::format_to(std::back_inserter(line_), "{}: {}{}", level, prefix, text);
  // php-fpm's log_limit counts the newline, and cuts with three dots.
  auto limit = static_cast<std::size_t>(std::max(pool_.log_limit, 512)) - 1;
  // Its own messages, which are not PHP's, pass a buffer of that size first.
  constexpr std::size_t kOwnMessage = 2048;
  if (prefix.empty()) limit = std::min(limit, level.size() + 2 + kOwnMessage);
  if (line_.size() > limit) {
    line_.resize(limit - 3);
    line_ += "...";
  }
  if (exchange_ == nullptr) return;
  if (to_front && !ended_ && !finished_) {
    if (told_) exchange_->write_error("; ");
    told_ = true;
    exchange_->write_error(std::string_view(line_).substr(level.size() + 2));
  }
  line_ += '\n';
  if (level != "DEBUG") (void)exchange_->output(line_);
}

}  // namespace fpm::handlers::php
