#include "fcgi/parser.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace fcgi {

namespace {

/// What GET_VALUES may ask at most: three names exist, 64 leave room for a peer's own.
constexpr Limits kAskedLimits{kMaxContent, 64};

/// Every method with its space, as far as that lies in the first eight bytes of a connection.
constexpr std::string_view kHttpStarts[] = {"GET ",   "HEAD ",    "POST ",  "PUT ",     "DELETE ",
                                            "PATCH ", "OPTIONS ", "TRACE ", "CONNECT ", "PRI * "};

enum class Http { no, maybe, yes };

Http starts_like_http(std::string_view bytes) {
  Http best = Http::no;
  for (const std::string_view start : kHttpStarts) {
    const std::size_t common = std::min({bytes.size(), start.size(), kHeaderSize});
    if (bytes.substr(0, common) != start.substr(0, common)) continue;
    if (common == std::min(start.size(), kHeaderSize)) return Http::yes;
    best = Http::maybe;
  }
  return best;
}

}  // namespace

std::string_view text(BadReason reason) {
  switch (reason) {
    case BadReason::none:
      return "nothing wrong";
    case BadReason::not_fastcgi:
      return "not FastCGI";
    case BadReason::wrong_version:
      return "a record of another protocol version than 1";
    case BadReason::wrong_length:
      return "a BEGIN_REQUEST of wrong length";
    case BadReason::begin_twice:
      return "BEGIN_REQUEST for a request that has begun";
    case BadReason::body_before_params:
      return "body before the end of the parameters";
    case BadReason::params_too_large:
      return "parameters too large";
    case BadReason::too_many_params:
      return "too many parameters";
    case BadReason::params_cut:
      return "parameters end inside a pair";
  }
  return "unknown";
}

RequestParser::RequestParser(Limits limits) : decoder_(limits), asked_decoder_(kAskedLimits) {}

void RequestParser::reset() {
  request_done();
  state_ = State::header;
  content_ = Content::skip;
  first_record_ = true;
  params_ended_ = stdin_ended_ = data_ended_ = true;
  looks_like_http_ = false;
  reason_ = BadReason::none;
  id_ = 0;
  fixed_bytes_ = content_left_ = padding_left_ = 0;
  params_.clear();
  asked_.clear();
}

void RequestParser::request_done() {
  active_ = false;
  // The record at hand may be one of the request: the rest of it is late as well.
  if (content_ == Content::params || content_ == Content::stdin_stream ||
      content_ == Content::data_stream) {
    content_ = Content::skip;
  }
}

bool RequestParser::input_ended() const {
  return params_ended_ && stdin_ended_ && (role_ != Role::filter || data_ended_);
}

std::size_t RequestParser::body_left() const {
  return state_ == State::content && content_ == Content::stdin_stream ? content_left_ : 0;
}

void RequestParser::body_taken(std::size_t bytes) {
  assert(bytes <= body_left());
  content_left_ -= bytes;
  if (content_left_ == 0) end_content();
}

std::size_t RequestParser::head_left() const {
  if (state_ == State::padding) return padding_left_ + kHeaderSize;
  return state_ == State::header ? kHeaderSize - fixed_bytes_ : 0;
}

bool RequestParser::idle() const {
  return !active_ && state_ == State::header && fixed_bytes_ == 0;
}

Event RequestParser::next(std::string_view& input) {
  Event event;
  while (!input.empty() && state_ != State::bad) {
    if (state_ == State::header) {
      if (take_header(input, event)) break;
    } else if (state_ == State::content) {
      if (take_content(input, event)) break;
    } else {
      const std::size_t here = std::min(padding_left_, input.size());
      input.remove_prefix(here);
      padding_left_ -= here;
      if (padding_left_ == 0) state_ = State::header;
    }
  }
  if (state_ == State::bad) {
    input = {};
    event = {};
    event.kind = Event::Kind::bad;
    event.reason = reason_;
    event.looks_like_http = looks_like_http_;
  }
  return event;
}

bool RequestParser::bad(BadReason reason) {
  state_ = State::bad;
  reason_ = reason;
  return true;
}

bool RequestParser::take_header(std::string_view& input, Event& event) {
  const std::size_t here = std::min(kHeaderSize - fixed_bytes_, input.size());
  std::memcpy(fixed_ + fixed_bytes_, input.data(), here);
  fixed_bytes_ += here;
  input.remove_prefix(here);
  if (static_cast<std::uint8_t>(fixed_[0]) != kVersion) return take_foreign_bytes();
  if (fixed_bytes_ < kHeaderSize) return false;

  header_ = decode_header(fixed_);
  fixed_bytes_ = 0;
  first_record_ = false;
  content_left_ = header_.content_length;
  padding_left_ = header_.padding_length;
  return dispatch(event);
}

/// The first byte of a record is not the version. On a new connection it may be a browser or a
/// health check that takes the port for HTTP: gather enough bytes to tell, at most a header.
bool RequestParser::take_foreign_bytes() {
  if (!first_record_) return bad(BadReason::wrong_version);
  const Http http = starts_like_http({fixed_, fixed_bytes_});
  if (http == Http::maybe) return false;
  looks_like_http_ = http == Http::yes;
  return bad(BadReason::not_fastcgi);
}

/// Decides by the header what becomes of the record's content. @return an event was made.
bool RequestParser::dispatch(Event& event) {
  if (header_.id == kManagementId) return dispatch_management(event);
  if (header_.type == RecordType::begin_request) {
    if (header_.content_length != kBodySize) return bad(BadReason::wrong_length);
    if (active_ && header_.id == id_) return bad(BadReason::begin_twice);
    start_content(Content::begin);
    return false;
  }
  if (header_.id != id_) {
    start_content(Content::skip);
    return false;
  }
  return active_ ? dispatch_active(event) : dispatch_late();
}

bool RequestParser::dispatch_management(Event& event) {
  if (header_.type == RecordType::get_values) {
    asked_.clear();
    asked_decoder_.reset();
    asked_full_ = false;
    start_content(Content::get_values);
    return header_.content_length == 0 && content_complete(event);
  }
  start_content(Content::skip);
  event.kind = Event::Kind::unknown_type;
  event.type = static_cast<std::uint8_t>(header_.type);
  return true;
}

bool RequestParser::dispatch_active(Event& event) {
  const bool end_of_stream = header_.content_length == 0;
  Content content = Content::skip;
  event.id = id_;
  switch (header_.type) {
    case RecordType::abort_request:
      if (!aborted_) event.kind = Event::Kind::abort;
      aborted_ = true;
      break;
    case RecordType::params:
      if (params_ended_) break;
      if (end_of_stream) return end_params(event);
      content = Content::params;
      break;
    case RecordType::stdin_stream:
      if (!params_ended_) return bad(BadReason::body_before_params);
      if (stdin_ended_) break;
      if (end_of_stream) event.kind = Event::Kind::stdin_end;
      stdin_ended_ = end_of_stream;
      content = Content::stdin_stream;
      break;
    case RecordType::data_stream:
      if (role_ != Role::filter) break;
      if (!params_ended_) return bad(BadReason::body_before_params);
      if (data_ended_) break;
      if (end_of_stream) event.kind = Event::Kind::data_end;
      data_ended_ = end_of_stream;
      content = Content::data_stream;
      break;
    default:
      break;  // of an application, or unknown: skipped
  }
  start_content(content);
  if (event.kind != Event::Kind::need_more) return true;
  event = {};
  return false;
}

/// A record of the request that was answered already. Only the end of its streams is of interest.
bool RequestParser::dispatch_late() {
  const bool end_of_stream = header_.content_length == 0;
  if (header_.type == RecordType::params) params_ended_ = params_ended_ || end_of_stream;
  if (header_.type == RecordType::stdin_stream) stdin_ended_ = stdin_ended_ || end_of_stream;
  if (header_.type == RecordType::data_stream) data_ended_ = data_ended_ || end_of_stream;
  start_content(Content::skip);
  return false;
}

void RequestParser::start_content(Content content) {
  content_ = content;
  state_ = content_left_ > 0 ? State::content : padding_left_ > 0 ? State::padding : State::header;
}

void RequestParser::end_content() {
  state_ = padding_left_ > 0 ? State::padding : State::header;
}

bool RequestParser::take_content(std::string_view& input, Event& event) {
  const std::size_t here = std::min(content_left_, input.size());
  const std::string_view piece = input.substr(0, here);
  input.remove_prefix(here);
  content_left_ -= here;
  if (content_left_ == 0) end_content();

  switch (content_) {
    case Content::skip:
      return false;
    case Content::stdin_stream:
    case Content::data_stream:
      event.kind =
          content_ == Content::stdin_stream ? Event::Kind::stdin_bytes : Event::Kind::data_bytes;
      event.id = id_;
      event.bytes = piece;
      return true;
    case Content::params:
      switch (decoder_.feed(piece, params_)) {
        case ParamsDecoder::Result::ok:
          return false;
        case ParamsDecoder::Result::too_many_bytes:
          return bad(BadReason::params_too_large);
        case ParamsDecoder::Result::too_many_pairs:
          return bad(BadReason::too_many_params);
      }
      return false;
    case Content::begin:
      std::memcpy(fixed_ + fixed_bytes_, piece.data(), piece.size());
      fixed_bytes_ += piece.size();
      break;
    case Content::get_values:
      if (!asked_full_) {
        asked_full_ = asked_decoder_.feed(piece, asked_) != ParamsDecoder::Result::ok;
      }
      break;
  }
  return content_left_ == 0 && content_complete(event);
}

bool RequestParser::content_complete(Event& event) {
  if (content_ == Content::begin) return begin(event);
  event.kind = Event::Kind::get_values;
  return true;
}

bool RequestParser::begin(Event& event) {
  const BeginBody body = decode_begin_body(fixed_);
  fixed_bytes_ = 0;
  event.id = header_.id;
  event.role_number = body.role;
  event.keep_conn = (body.flags & kKeepConn) != 0;
  if (active_) {
    event.kind = Event::Kind::second_begin;
    return true;
  }
  if (!is_role(body.role)) {
    event.kind = Event::Kind::unknown_role;
    return true;
  }
  event.kind = Event::Kind::begin;
  event.role = role_ = static_cast<Role>(body.role);
  id_ = header_.id;
  active_ = true;
  aborted_ = params_ended_ = stdin_ended_ = data_ended_ = false;
  params_.clear();
  decoder_.reset();
  return true;
}

bool RequestParser::end_params(Event& event) {
  if (!decoder_.complete()) return bad(BadReason::params_cut);
  params_ended_ = true;
  event.kind = Event::Kind::params_end;
  start_content(Content::skip);
  return true;
}

}  // namespace fcgi
