// Writes what a FastCGI application answers, without I/O and without allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fcgi/params.hpp"
#include "fcgi/protocol.hpp"

namespace fcgi {

/// The answers to GET_VALUES. Source: FastCGI 1.0 §4.1.
struct Capabilities {
  std::uint32_t max_conns = 1;  ///< connections that are accepted at once
  std::uint32_t max_reqs = 1;   ///< requests that are accepted at once
  bool multiplexes = false;     ///< several requests at once on one connection
};

/// Encodes a bare record header, kHeaderSize bytes at `out`, for a caller that sends the content
/// itself (writev(2) of a large body without a copy). `length` is 0..kMaxContent. Only for use
/// when the ResponseWriter of the connection has nothing pending.
void encode_record_header(RecordType type, std::uint16_t id, std::size_t length, char* out);

/// Serialises the answers of one connection, one after the other, into a buffer of the caller.
///
///   writer.start(id);
///   writer.out(text.substr(0, writer.room()));
///   writer.end(0);
///   while (!writer.pending().empty()) writer.sent(send(writer.pending()));
///
/// Small writes to a stream go on in its last record as long as that is last in the buffer and
/// none of it was sent, so that many writes make one record. No padding is written: nginx counts
/// the overhead of records against the buffer that the response header must fit in.
///
/// Nothing here blocks, throws or allocates; the functions are safe in a signal handler that does
/// not interrupt another use of the same writer. Source: FastCGI 1.0 §3.3, §5.3 to §5.5.
class ResponseWriter {
 public:
  /// Content bytes of STDERR that fit even when room() is 0.
  static constexpr std::size_t kErrorReserve = 512;
  /// The end of any answer: empty STDERR, empty STDOUT, END_REQUEST.
  static constexpr std::size_t kEndSize = 2 * kHeaderSize + kHeaderSize + kBodySize;
  /// The smallest useful buffer.
  static constexpr std::size_t kMinBuffer = 2048;

  /// The buffer is borrowed and outlives the writer. @param buffer kMinBuffer bytes or more; 64 KiB
  /// holds one full record less the reserves.
  explicit ResponseWriter(std::span<char> buffer);

  /// Begins the answer to request `id`. @return false, and nothing is begun, if not even its end
  /// and a small STDERR would fit until more of pending() is sent; never when that is empty.
  bool start(std::uint16_t id);
  /// An answer is begun and not ended.
  bool started() const { return started_; }
  /// The id of the answer that is begun.
  std::uint16_t id() const { return id_; }

  /// Body bytes that out() takes now: what is free less the end sequence and a small STDERR. Grows
  /// again with sent(). 0 when no answer is begun.
  std::size_t room() const;
  /// Appends to STDOUT. @return how many of the bytes were taken: all if not more than room().
  std::size_t out(std::string_view bytes);

  /// Bytes that err() takes now: at least kErrorReserve, unless text of before waits to be sent.
  std::size_t err_room() const;
  /// Appends to STDERR. @return how many of the bytes were taken: all if not more than err_room().
  std::size_t err(std::string_view bytes);

  /// Ends the answer: empty STDERR if there was any, empty STDOUT, END_REQUEST. Always fits after
  /// start(). Does nothing when no answer is begun.
  void end(std::uint32_t app_status,
           ProtocolStatus protocol_status = ProtocolStatus::request_complete);

  // Answers outside a request's stream, also between two records of one. Each @return is false,
  // with nothing written, when it does not fit until more of pending() is sent.

  /// END_REQUEST alone, for a request that is refused without a start().
  bool end_only(std::uint16_t id, ProtocolStatus protocol_status);
  /// Refuses a second request on the connection: end_only with cant_mpx_conn.
  bool cant_mpx(std::uint16_t id) { return end_only(id, ProtocolStatus::cant_mpx_conn); }
  /// GET_VALUES_RESULT with those of the asked names that there are. Source: FastCGI 1.0 §4.1.
  bool get_values_result(const Params& asked, const Capabilities& capabilities);
  /// UNKNOWN_TYPE. Source: FastCGI 1.0 §4.2.
  bool unknown_type(std::uint8_t type);

  /// What waits to be sent; ends with the next non-const call other than sent().
  std::string_view pending() const { return {buffer_.data() + begin_, end_ - begin_}; }
  /// The first `bytes` of pending() have been sent.
  void sent(std::size_t bytes);
  /// Forgets everything, for a new connection.
  void reset();

 private:
  std::size_t free() const { return buffer_.size() - (end_ - begin_); }
  std::size_t room_for(RecordType stream) const;
  std::size_t append_stream(RecordType stream, std::string_view bytes);
  bool extendable(RecordType stream) const;
  void compact();
  char* take(std::size_t bytes);
  void put_header(RecordType type, std::uint16_t id, std::size_t length);
  void put_end(std::uint16_t id, std::uint32_t app_status, ProtocolStatus protocol_status);
  bool fits_beside_answer(std::size_t bytes);

  std::span<char> buffer_;
  std::size_t begin_ = 0;  // of what is pending
  std::size_t end_ = 0;
  std::uint16_t id_ = 0;
  bool started_ = false;
  bool err_used_ = false;
  // The stream record that is last in the buffer; open_ is false when there is none to go on in.
  bool open_ = false;
  RecordType open_type_ = RecordType::stdout_stream;
  std::size_t open_at_ = 0;
  std::size_t open_length_ = 0;
};

}  // namespace fcgi
