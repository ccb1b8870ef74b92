// Media types of files by their suffix.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace fpm::http {

class MediaTypes {
 public:
  /// The system's table (mime.types(5)); a short one of our own where it has nothing, or is not there.
  /// Reads the file. @param path another one, for tests.
  static MediaTypes load(const std::string& path = "/etc/mime.types");

  /// The type for a path, by what follows the last dot of its last segment, in any case;
  /// application/octet-stream if it is not known.
  std::string_view of(std::string_view path) const;

 private:
  std::unordered_map<std::string, std::string> by_suffix_;
};

}  // namespace fpm::http
