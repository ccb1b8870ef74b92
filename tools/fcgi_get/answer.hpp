// Takes a CGI answer apart as it arrives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fcgi_get {

/// The header block of an answer and its HTTP status; the body is handed on.
class Answer {
 public:
  /// The most bytes of a header block; web servers take 4 to 64 KiB.
  static constexpr std::size_t kMaxHeaders = 256 * 1024;

  /// Takes the next bytes of STDOUT. @return those of them that belong to the body; ends with the
  /// next call.
  std::string_view feed(std::string_view bytes);

  /// The blank line has come.
  bool headers_complete() const { return complete_; }
  /// The header block grew beyond kMaxHeaders.
  bool too_large() const { return !complete_ && headers_.size() > kMaxHeaders; }
  /// The header block with its blank line, as sent.
  const std::string& headers() const { return headers_; }
  /// Status, or 302 with a Location and 200 without; -1 if Status is no number from 100 to 999.
  /// Source: RFC 3875 §6.2, §6.3.3.
  int status() const;

 private:
  std::string_view header(std::string_view name) const;

  std::string headers_;
  std::string body_;
  bool complete_ = false;
};

}  // namespace fcgi_get
