// The head of a request: found, checked more strictly than RFC 9112 asks, and read. Pure.
//
// What two programs may read in two ways is how requests are smuggled past a proxy, so where the RFC
// leaves a choice the stricter one is taken: a bare LF, a bare CR, a folded line, a blank before the
// colon, two lengths, a length beside Transfer-Encoding or a tab beside either are refused, not repaired.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fpm::http {

struct Field {
  std::string_view name;   ///< as the client wrote it
  std::string_view value;  ///< without blanks at its ends
};

/// A request's head. All views point into the bytes that it was read from.
struct Head {
  std::string_view method;
  std::string_view target;  ///< as it was written
  int minor = 1;            ///< of HTTP/1.x
  std::vector<Field> fields;
  std::string_view host;  ///< of the Host field; empty: none, HTTP/1.0
  std::optional<std::uint64_t> length;  ///< Content-Length, bytes
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  bool has_body() const { return chunked || length.value_or(0) > 0; }
  /// The first field of that name, in any case; empty: there is none, or it is empty.
  std::string_view field(std::string_view name) const;
};

/// Finds the end of a head in bytes that arrive piece by piece.
class HeadFinder {
 public:
  /// `bytes`: everything of this request so far, the same beginning at each call.
  /// @return 0 while the end is not there; -1: it holds a line that ends in a bare LF, which is
  /// refused at once; else how many bytes the head has, its blank line included.
  std::ptrdiff_t find(std::string_view bytes);
  /// Takes one empty line off the front of `bytes`, which old clients send behind a body (RFC 9112
  /// §2.2); a second one is for find() to refuse.
  void skip_empty_line(std::string& bytes);
  void reset() { *this = HeadFinder(); }

 private:
  std::size_t seen_ = 0;  // bytes that were looked at
  std::size_t line_ = 0;  // where the current line begins
  bool skipped_ = false;
};

/// Reads the complete head `bytes` into `head`, which is overwritten. @return 0, or the status of the
/// refusal: 400, 411, 417, 501, 505; then the connection cannot be used any further.
int read_head(std::string_view bytes, Head& head);

/// host [ ":" port ] of Host or of a target, more narrowly than RFC 9110 §7.2 has it: names are letters,
/// digits and "-._~", without escapes.
bool is_host(std::string_view text);
/// Letters of ASCII compared without case.
bool same_text(std::string_view a, std::string_view b);
/// `list` is a comma-separated field value; `word` is one of its members, in any case.
bool has_member(std::string_view list, std::string_view word);
/// A character of a token (RFC 9110 §5.6.2).
bool is_token_char(char c);
bool is_token(std::string_view text);

}  // namespace fpm::http
