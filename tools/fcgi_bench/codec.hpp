// Requests as bytes, and answers from bytes: FastCGI, or HTTP to a web server.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/fcgi_bench/options.hpp"

namespace fcgi_bench {

/// What of an answer is known so far.
struct Answer {
  bool complete = false;
  bool bad = false;     ///< cannot be read any further
  bool begun = false;   ///< any byte has come
  bool keep = false;    ///< complete, and the connection can take another request
  int status = 0;
  std::string head;     ///< as much of it as is needed to know the status
  std::string text;     ///< with Options::expect: the answer

  /// Ready for the next one; keeps the memory.
  void clear() {
    complete = bad = begun = keep = false;
    status = 0;
    head.clear();
    text.clear();
  }
};

/// Reads the answers of one connection.
class Reader {
 public:
  virtual ~Reader() = default;
  /// Ready for the answer to the next request; `fresh`: on a new connection.
  virtual void start(bool fresh) = 0;
  virtual void feed(std::string_view bytes, Answer& answer) = 0;
  /// The connection has ended.
  virtual void end(Answer& answer) = 0;
};

/// The bytes of one request of each kind of the mix, made once.
std::vector<std::string> encode_requests(const Options& options);

std::unique_ptr<Reader> make_reader(const Options& options);

}  // namespace fcgi_bench
