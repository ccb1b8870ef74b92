// FastCGI 1.0 on the wire: record types, roles, statuses and the fixed-size structures.
//
// Nothing in this folder allocates, logs or does I/O unless its header says so; it needs the
// standard library only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fcgi {

/// What a record carries. Any byte may arrive; the values without a name are unknown types.
/// Source: FastCGI 1.0 §8.
enum class RecordType : std::uint8_t {
  begin_request = 1,
  abort_request = 2,
  end_request = 3,
  params = 4,
  stdin_stream = 5,
  stdout_stream = 6,
  stderr_stream = 7,
  data_stream = 8,
  get_values = 9,
  get_values_result = 10,
  unknown_type = 11,
};

/// What the web server asks for. Source: FastCGI 1.0 §6.
enum class Role : std::uint16_t {
  responder = 1,
  authorizer = 2,
  filter = 3,
};

/// How the application side ended a request. Anything but request_complete means that the request
/// was refused. Source: FastCGI 1.0 §5.5.
enum class ProtocolStatus : std::uint8_t {
  request_complete = 0,
  cant_mpx_conn = 1,
  overloaded = 2,
  unknown_role = 3,
};

/// The only protocol version there is.
inline constexpr std::uint8_t kVersion = 1;
/// Bytes of a record's header.
inline constexpr std::size_t kHeaderSize = 8;
/// Bytes of the body of BEGIN_REQUEST and of END_REQUEST; UNKNOWN_TYPE has as many.
inline constexpr std::size_t kBodySize = 8;
/// The most content bytes one record can carry.
inline constexpr std::size_t kMaxContent = 65535;
/// The most padding bytes one record can carry.
inline constexpr std::size_t kMaxPadding = 255;
/// Flag of BEGIN_REQUEST: the connection stays open after the answer.
inline constexpr std::uint8_t kKeepConn = 1;
/// The id of management records. Requests have 1..65535.
inline constexpr std::uint16_t kManagementId = 0;

/// Names that GET_VALUES may ask for. Source: FastCGI 1.0 §4.1.
inline constexpr char kMaxConns[] = "FCGI_MAX_CONNS";
inline constexpr char kMaxReqs[] = "FCGI_MAX_REQS";
inline constexpr char kMpxsConns[] = "FCGI_MPXS_CONNS";

/// The first eight bytes of every record. Source: FastCGI 1.0 §3.3.
struct RecordHeader {
  std::uint8_t version = kVersion;
  RecordType type = RecordType::unknown_type;
  std::uint16_t id = 0;
  std::uint16_t content_length = 0;
  std::uint8_t padding_length = 0;
};

/// Content of BEGIN_REQUEST. `role` is the number as sent: it may be none of Role's.
/// Source: FastCGI 1.0 §5.1.
struct BeginBody {
  std::uint16_t role = 0;
  std::uint8_t flags = 0;
};

/// Content of END_REQUEST. `protocol_status` as sent: it may be none of ProtocolStatus's names.
/// Source: FastCGI 1.0 §5.5.
struct EndBody {
  std::uint32_t app_status = 0;
  ProtocolStatus protocol_status = ProtocolStatus::request_complete;
};

// Encoders write exactly kHeaderSize or kBodySize bytes to `out`, decoders read as many from `in`.
// None checks a value, none can fail; reserved bytes are written as 0 and not looked at. All are
// safe in a signal handler. The header's encoder also serves callers that send a large body with
// writev(2) without copying it.

void encode_header(const RecordHeader& header, char* out);
RecordHeader decode_header(const char* in);

void encode_begin_body(const BeginBody& body, char* out);
BeginBody decode_begin_body(const char* in);

void encode_end_body(const EndBody& body, char* out);
EndBody decode_end_body(const char* in);

/// Whether the number names a role of the specification.
bool is_role(std::uint16_t number);

}  // namespace fcgi
