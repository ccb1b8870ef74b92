// Tells a request in JSON: its parameters, and the size and a checksum of its body, which may be of any
// length since it is read in pieces. With QUERY_STRING "stream=N" the answer is N lines that are sent one
// by one; with "finish" it is complete before the work of the request is.
#include <fpm/module.hpp>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

namespace {

/// JSON text of bytes that may be anything: what is not printable ASCII is escaped byte by byte.
std::string quoted(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += byte;
    } else if (value >= 0x20 && value < 0x7f) {
      out += byte;
    } else {
      out += "\\u00";
      out += kHex[value >> 4U];
      out += kHex[value & 15U];
    }
  }
  return out + '"';
}

/// FNV-1a, of a body that is never in memory as a whole.
struct Body {
  std::uint64_t size = 0;
  std::uint64_t sum = 14695981039346656037U;

  void add(std::string_view piece) {
    size += piece.size();
    for (const char byte : piece) {
      sum = (sum ^ static_cast<unsigned char>(byte)) * 1099511628211U;
    }
  }
};

class Echo : public fpm::Module {
 public:
  explicit Echo(const fpm::Setup& setup) {
    setup.options([&](std::string_view name, std::string_view value) {
      options_ += (options_.empty() ? "" : ",") + quoted(name) + ":" + quoted(value);
    });
  }

  int handle(fpm::Request& request) override {
    const std::string_view query = request.param("QUERY_STRING").value_or("");
    if (query.starts_with("stream=")) return stream(request, query.substr(7));
    request.header("Content-Type", "application/json");
    Body body;
    for (std::string_view piece = request.body(); !piece.empty(); piece = request.body()) {
      body.add(piece);
    }
    std::string answer = "{\"options\":{" + options_ + "},\"params\":{";
    bool first = true;
    request.params([&](std::string_view name, std::string_view value) {
      answer += (first ? "" : ",") + quoted(name) + ":" + quoted(value);
      first = false;
    });
    answer += "},\"body\":{\"size\":" + std::to_string(body.size) +
              ",\"fnv1a\":" + quoted(std::to_string(body.sum)) + "}}\n";
    request.write(answer);
    if (query == "finish") {
      request.finish();
      request.log(FPM_NOTICE, "the client is gone, the work goes on");
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      request.log(FPM_NOTICE, "the work is done");
    }
    return 0;
  }

 private:
  static int stream(fpm::Request& request, std::string_view count) {
    int lines = 0;
    std::from_chars(count.data(), count.data() + count.size(), lines);
    request.header("Content-Type", "text/plain");
    for (int i = 1; i <= lines; ++i) {
      request.write("line " + std::to_string(i) + "\n");
      request.flush();
    }
    return 0;
  }

  std::string options_;
};

}  // namespace

FPM_MODULE("echo", Echo)
