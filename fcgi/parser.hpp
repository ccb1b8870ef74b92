// Reads what a web server sends to a FastCGI application, without I/O: bytes in, events out.
//
//   std::string_view input(buffer, received);
//   for (;;) {
//     const fcgi::Event event = parser.next(input);
//     if (event.kind == fcgi::Event::Kind::need_more) break;  // receive more
//     ...
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"

namespace fcgi {

/// Why a connection can not be read any further. text() of reason gives it in words.
enum class BadReason : std::uint8_t {
  none,
  not_fastcgi,         ///< the connection's first byte is not the version; see looks_like_http
  wrong_version,       ///< a later record has another version than 1
  wrong_length,        ///< BEGIN_REQUEST whose content is not 8 bytes
  begin_twice,         ///< BEGIN_REQUEST for the id that is active
  body_before_params,  ///< STDIN or DATA before the end of PARAMS
  params_too_large,    ///< Limits::param_bytes
  too_many_params,     ///< Limits::params
  params_cut,          ///< the PARAMS stream ended inside a pair
};

/// The reason in words, for a log: "not FastCGI", "parameters too large". Static storage.
std::string_view text(BadReason reason);

/// One thing that the peer has sent. Members that a kind does not name are at their defaults.
struct Event {
  enum class Kind : std::uint8_t {
    need_more,     ///< the input is used up
    begin,         ///< a request begins: id, role, keep_conn
    params_end,    ///< RequestParser::params() is complete
    stdin_bytes,   ///< bytes of the body: `bytes`, a part of the input given to next()
    stdin_end,     ///< the body is complete, whatever CONTENT_LENGTH said; once a request
    data_bytes,    ///< bytes of FCGI_DATA, role filter only
    data_end,      ///< FCGI_DATA is complete; once a request, role filter only
    abort,         ///< ABORT_REQUEST for the active request; at any time after begin
    second_begin,  ///< BEGIN_REQUEST of `id` while another is active: answer CANT_MPX_CONN
    unknown_role,  ///< BEGIN_REQUEST of `id` with a role that there is not: answer UNKNOWN_ROLE
    get_values,    ///< asked() names what to answer; comes at any moment
    unknown_type,  ///< a management record of that `type`: answer UNKNOWN_TYPE
    bad,           ///< `reason`; nothing but bad follows, close the connection
  };

  Kind kind = Kind::need_more;
  std::uint16_t id = 0;
  Role role = Role::responder;         ///< begin
  bool keep_conn = false;              ///< begin, second_begin, unknown_role
  std::uint16_t role_number = 0;       ///< begin, second_begin, unknown_role: as sent
  std::uint8_t type = 0;               ///< unknown_type
  BadReason reason = BadReason::none;  ///< bad
  bool looks_like_http = false;        ///< bad: the first bytes are those of an HTTP request
  std::string_view bytes;              ///< stdin_bytes, data_bytes
};

/// The requests of one connection, one after the other; one is active at a time.
///
/// Rules where the specification leaves a choice or peers differ:
/// * Padding of 0 to 255 bytes is skipped on every record.
/// * Records of an id that is not active are skipped, and so are the later records of a request
///   that second_begin or unknown_role has told, and late ones of a request that is done.
/// * Records of the active id with an unknown type, or one that only applications send, are
///   skipped; so is what follows the end of a stream.
/// * STDIN or DATA before the end of PARAMS is bad. No known web server sends it, and taking it
///   would mean to keep a body of any size until the parameters are there.
/// * DATA of a request that is not a filter's is skipped.
/// * After abort the rest of the request is still told, because an application may go on with it;
///   a second ABORT_REQUEST is not told again.
/// * GET_VALUES: of names beyond the first 64, or cut inside a pair, the rest is ignored.
///
/// Allocates for params() and asked() only, and no more once they have had their largest content.
/// Does not throw but for std::bad_alloc. Fed byte by byte it gives the same events as fed at once,
/// only the byte ranges come in more pieces.
/// Source: FastCGI 1.0 §3 to §6.
class RequestParser {
 public:
  explicit RequestParser(Limits limits = {});

  /// Takes bytes from the front of `input` until something has happened and tells it. need_more
  /// and bad leave `input` empty; after every other event call again, with what is left.
  Event next(std::string_view& input);

  /// The parameters of the request that is active, or that was active last: complete from
  /// params_end until the next begin. Repeated names are kept as sent.
  const Params& params() const { return params_; }
  /// The names that the last get_values asked for; valid until the next call of next().
  const Params& asked() const { return asked_; }

  /// The request has been answered (END_REQUEST is sent or stored): what still arrives for its id
  /// is skipped, and the next BEGIN_REQUEST, of the same id or another, is a new request.
  void request_done();
  /// Ready for a new connection; keeps the memory.
  void reset();

  /// A request has begun and request_done() was not called.
  bool active() const { return active_; }
  /// The id of the request that is active, or that was active last; 0 before the first.
  std::uint16_t id() const { return id_; }
  /// All that the active or last request may send has arrived (for the role filter, DATA also).
  /// False after request_done() means that the peer is still sending a body that nobody reads.
  /// True before the first request.
  bool input_ended() const;
  // For a caller that moves the content of large STDIN records on its own, past next().
  /// Bytes of the body's record at hand that next() was not given yet; 0 between records.
  std::size_t body_left() const;
  /// So many bytes of body_left() were taken off the connection. next() gets what follows them.
  void body_taken(std::size_t bytes);
  /// Bytes to the end of the next record's head; 0 inside of a record's content.
  std::size_t head_left() const;
  /// No request is active and no record begun: an end of file here is a clean one.
  bool idle() const;

 private:
  enum class State : std::uint8_t { header, content, padding, bad };
  /// Where the content of the record at hand goes.
  enum class Content : std::uint8_t { skip, begin, params, stdin_stream, data_stream, get_values };

  bool take_header(std::string_view& input, Event& event);
  bool take_content(std::string_view& input, Event& event);
  bool take_foreign_bytes();
  bool dispatch(Event& event);
  bool dispatch_management(Event& event);
  bool dispatch_active(Event& event);
  bool dispatch_late();
  bool content_complete(Event& event);
  bool begin(Event& event);
  bool end_params(Event& event);
  bool bad(BadReason reason);
  void start_content(Content content);
  void end_content();

  State state_ = State::header;
  Content content_ = Content::skip;
  bool first_record_ = true;
  bool active_ = false;
  bool aborted_ = false;
  bool params_ended_ = true;
  bool stdin_ended_ = true;
  bool data_ended_ = true;
  bool looks_like_http_ = false;
  BadReason reason_ = BadReason::none;
  Role role_ = Role::responder;
  std::uint16_t id_ = 0;

  char fixed_[kHeaderSize] = {};  // the header or the begin body, as far as it is here
  std::size_t fixed_bytes_ = 0;
  RecordHeader header_;
  std::size_t content_left_ = 0;
  std::size_t padding_left_ = 0;

  Params params_;
  ParamsDecoder decoder_;
  Params asked_;
  ParamsDecoder asked_decoder_;
  bool asked_full_ = false;
};

}  // namespace fcgi
