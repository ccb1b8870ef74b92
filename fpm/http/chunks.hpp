// The body of a request that comes in chunks (RFC 9112 §7.1), read strictly. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fpm::http {

/// Sizes are hexadecimal digits alone, lines end in CR LF, extensions and trailers are checked for
/// their form and dropped. Boost.Beast's reader takes more than that, which is why it is not used here.
class ChunkReader {
 public:
  /// Bytes of one size line, and of all trailers.
  static constexpr std::size_t kLongestLine = 1024;
  static constexpr std::size_t kMostTrailers = 8192;

  enum class Step {
    need_more,  ///< the input is used up
    data,       ///< `data` is set to bytes of the body, a part of the input
    end,        ///< the body and its trailers are complete; what is left of the input follows it
    bad,        ///< refused
  };
  /// Takes bytes from the front of `input` until something has happened.
  Step next(std::string_view& input, std::string_view& data);
  void reset() { *this = ChunkReader(); }

 private:
  enum class State { size, extension, size_lf, data, data_cr, data_lf, trailer, end, bad };

  Step take_data(std::string_view& input, std::string_view& data);
  bool take(char c);
  bool take_size(char c);
  bool take_trailer(char c);

  State state_ = State::size;
  std::uint64_t left_ = 0;  // of the chunk
  std::size_t digits_ = 0;
  std::size_t line_ = 0;      // bytes of this size line, or of this trailer line
  std::size_t trailers_ = 0;  // bytes of all of them
  bool name_ = true;          // of a trailer: its colon is still to come
  char last_ = 0;
};

}  // namespace fpm::http
