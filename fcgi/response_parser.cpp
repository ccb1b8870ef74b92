#include "fcgi/response_parser.hpp"

#include <algorithm>
#include <cstring>

namespace fcgi {

void ResponseParser::next_request(std::uint16_t id) {
  id_ = id;
  ended_ = false;
}

void ResponseParser::reset(std::uint16_t id) {
  next_request(id);
  state_ = State::header;
  content_ = Content::out;
  reason_ = {};
  fixed_bytes_ = content_left_ = padding_left_ = 0;
  values_.clear();
}

ResponseEvent ResponseParser::next(std::string_view& input) {
  ResponseEvent event;
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
    event.kind = ResponseEvent::Kind::bad;
    event.reason = reason_;
  }
  return event;
}

bool ResponseParser::bad(std::string_view reason) {
  state_ = State::bad;
  reason_ = reason;
  return true;
}

bool ResponseParser::take_header(std::string_view& input, ResponseEvent& event) {
  const std::size_t here = std::min(kHeaderSize - fixed_bytes_, input.size());
  std::memcpy(fixed_ + fixed_bytes_, input.data(), here);
  fixed_bytes_ += here;
  input.remove_prefix(here);
  if (static_cast<std::uint8_t>(fixed_[0]) != kVersion) return bad("not a FastCGI record");
  if (fixed_bytes_ < kHeaderSize) return false;
  header_ = decode_header(fixed_);
  fixed_bytes_ = 0;
  content_left_ = header_.content_length;
  padding_left_ = header_.padding_length;
  return dispatch(event);
}

bool ResponseParser::dispatch(ResponseEvent& event) {
  if (header_.id == kManagementId) return dispatch_management(event);
  if (header_.id != id_) return bad("a record for another request");
  if (ended_) return bad("a record after END_REQUEST");
  switch (header_.type) {
    case RecordType::stdout_stream:
    case RecordType::stderr_stream: {
      const bool out = header_.type == RecordType::stdout_stream;
      start_content(out ? Content::out : Content::err);
      if (header_.content_length > 0) return false;
      event.kind = out ? ResponseEvent::Kind::out_end : ResponseEvent::Kind::err_end;
      return true;
    }
    case RecordType::end_request:
      if (header_.content_length != kBodySize) return bad("END_REQUEST of wrong length");
      start_content(Content::end);
      return false;
    default:
      return bad("a record of a type that no application sends");
  }
}

bool ResponseParser::dispatch_management(ResponseEvent& event) {
  if (header_.type == RecordType::get_values_result) {
    values_.clear();
    decoder_.reset();
    start_content(Content::values);
    return header_.content_length == 0 && content_complete(event);
  }
  if (header_.type != RecordType::unknown_type || header_.content_length != kBodySize) {
    return bad("an unknown management record");
  }
  start_content(Content::unknown_type);
  return false;
}

void ResponseParser::start_content(Content content) {
  content_ = content;
  state_ = content_left_ > 0 ? State::content : padding_left_ > 0 ? State::padding : State::header;
}

bool ResponseParser::take_content(std::string_view& input, ResponseEvent& event) {
  const std::size_t here = std::min(content_left_, input.size());
  const std::string_view piece = input.substr(0, here);
  input.remove_prefix(here);
  content_left_ -= here;
  if (content_left_ == 0) state_ = padding_left_ > 0 ? State::padding : State::header;

  switch (content_) {
    case Content::out:
    case Content::err:
      event.kind = content_ == Content::out ? ResponseEvent::Kind::out_bytes
                                            : ResponseEvent::Kind::err_bytes;
      event.bytes = piece;
      return true;
    case Content::values:
      if (decoder_.feed(piece, values_) != ParamsDecoder::Result::ok) {
        return bad("GET_VALUES_RESULT too large");
      }
      break;
    case Content::end:
    case Content::unknown_type:
      std::memcpy(fixed_ + fixed_bytes_, piece.data(), piece.size());
      fixed_bytes_ += piece.size();
      break;
  }
  return content_left_ == 0 && content_complete(event);
}

bool ResponseParser::content_complete(ResponseEvent& event) {
  fixed_bytes_ = 0;
  if (content_ == Content::values) {
    if (!decoder_.complete()) return bad("GET_VALUES_RESULT ends inside a pair");
    event.kind = ResponseEvent::Kind::get_values_result;
  } else if (content_ == Content::unknown_type) {
    event.kind = ResponseEvent::Kind::unknown_type;
    event.type = static_cast<std::uint8_t>(fixed_[0]);
  } else {
    const EndBody body = decode_end_body(fixed_);
    event.kind = ResponseEvent::Kind::end;
    event.app_status = body.app_status;
    event.protocol_status = body.protocol_status;
    ended_ = true;
  }
  return true;
}

}  // namespace fcgi
