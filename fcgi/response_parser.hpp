// Reads what a FastCGI application answers, without I/O: bytes in, events out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"

namespace fcgi {

/// One thing that the application has sent. Members that a kind does not name are at their
/// defaults.
struct ResponseEvent {
  enum class Kind : std::uint8_t {
    need_more,          ///< the input is used up
    out_bytes,          ///< `bytes` of STDOUT, a part of the input given to next()
    out_end,            ///< STDOUT is complete; applications may leave this out
    err_bytes,          ///< `bytes` of STDERR
    err_end,            ///< STDERR is complete; usually left out when there was none
    end,                ///< END_REQUEST: app_status, protocol_status
    get_values_result,  ///< ResponseParser::values() is complete
    unknown_type,       ///< the application does not know the management record `type`
    bad,                ///< `reason`, static storage; nothing but bad follows
  };

  Kind kind = Kind::need_more;
  std::string_view bytes;
  std::uint32_t app_status = 0;
  ProtocolStatus protocol_status = ProtocolStatus::request_complete;
  std::uint8_t type = 0;
  std::string_view reason;
};

/// The answers on one connection to requests that are made one after the other.
///
/// A record for another request, of a type that only clients send or that there is not, another
/// version, an END_REQUEST of wrong length, and anything but management records after END_REQUEST
/// are bad: such a connection is not worth keeping. Allocates for values() only.
/// Source: FastCGI 1.0 §3 to §5.
class ResponseParser {
 public:
  /// @param id of the request that was sent, 1..65535.
  explicit ResponseParser(std::uint16_t id = 1) : id_(id) {}

  /// Takes bytes from the front of `input` until something has happened and tells it. need_more
  /// and bad leave `input` empty.
  ResponseEvent next(std::string_view& input);

  /// The pairs of the last get_values_result; valid until the next call of next().
  const Params& values() const { return values_; }

  /// END_REQUEST has come.
  bool ended() const { return ended_; }
  /// END_REQUEST has come with all of its padding and nothing after it: the connection can take
  /// another request, if the application keeps it open.
  bool reusable() const { return ended_ && state_ == State::header && fixed_bytes_ == 0; }

  /// Ready for the answer to another request on the same connection; only when reusable().
  void next_request(std::uint16_t id);
  /// Ready for another connection.
  void reset(std::uint16_t id);

 private:
  enum class State : std::uint8_t { header, content, padding, bad };
  enum class Content : std::uint8_t { out, err, end, values, unknown_type };

  bool take_header(std::string_view& input, ResponseEvent& event);
  bool take_content(std::string_view& input, ResponseEvent& event);
  bool dispatch(ResponseEvent& event);
  bool dispatch_management(ResponseEvent& event);
  void start_content(Content content);
  bool content_complete(ResponseEvent& event);
  bool bad(std::string_view reason);

  State state_ = State::header;
  Content content_ = Content::out;
  bool ended_ = false;
  std::uint16_t id_;
  std::string_view reason_;
  char fixed_[kHeaderSize] = {};
  std::size_t fixed_bytes_ = 0;
  RecordHeader header_;
  std::size_t content_left_ = 0;
  std::size_t padding_left_ = 0;
  Params values_;
  ParamsDecoder decoder_;
};

}  // namespace fcgi
