// The header block of a CGI response, from the pieces in which it arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fpm::handlers::cgi {

/// Reads a script's header block and makes of it what fronts take. Usable for one response.
///
/// Lines end in LF or CRLF. A script that speaks HTTP itself (NPH, "HTTP/1.1 404 Not Found" first)
/// gets its first line turned into a Status field. Interim responses (1xx) are left out, since
/// nginx takes a 103 for the final status. Location without Status is passed on as it is. A block
/// with none of Content-Type, Location and Status, which RFC 3875 §6.2 demands one of, gets
/// "Content-Type: text/plain", unless it names a file in X-Sendfile, whose type the front knows. Everything else is malformed: no colon, names that are no token
/// (RFC 9110 §5.1, folded lines among them), control characters, a status that is no three-digit
/// number, more than kLimit bytes.
class HeaderParser {
 public:
  /// Bytes of one block, blank line included.
  static constexpr std::size_t kLimit = 64 * 1024;

  enum class State { incomplete, complete, malformed };

  /// Takes bytes up to the end of the block and not beyond. @return how many; all of them unless
  /// the state is no longer incomplete.
  std::size_t feed(std::string_view bytes);

  State state() const { return state_; }
  /// Any byte was fed.
  bool begun() const { return begun_; }
  /// Complete: the status, for the access log; 302 for a Location without Status, 200 by default.
  int status() const;
  /// Complete: the block for the front, fields in the script's order, a Status first if there was
  /// one, CRLF, ended by the blank line.
  const std::string& block() const { return block_; }
  /// Malformed: what was wrong, in words for the log, with the line as it came.
  const std::string& problem() const { return problem_; }

 private:
  void take_line(std::string_view line);
  void take_status(std::string_view text);
  void take_field(std::string_view name, std::string_view value);
  void end_block();
  void fail(std::string_view problem, std::string_view line);

  State state_ = State::incomplete;
  bool begun_ = false;
  std::string line_;        // the line that arrives
  std::size_t taken_ = 0;   // bytes of this block
  bool first_line_ = true;  // of this block
  int status_ = 0;          // 0: none
  std::string reason_;      // "404 Not Found", as the script wrote it
  bool has_location_ = false;
  bool has_content_type_ = false;
  std::string fields_;
  std::string block_;
  std::string problem_;
};

}  // namespace fpm::handlers::cgi
