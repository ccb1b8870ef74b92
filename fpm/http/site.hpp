// What lies in http.root, and what a path in it stands for.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "fpm/http/conditions.hpp"
#include "fpm/http/message.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::http {

/// What a path stands for.
struct Found {
  enum class Kind {
    refused,   ///< `status`: 403, 404, 500
    file,      ///< `file`, `facts`
    script,    ///< `path` up to the script, `path_info` behind it
    folder,    ///< named without a '/' at its end: to be redirected
    no_files,  ///< too many files are open in the system
  };
  Kind kind = Kind::refused;
  int status = 404;
  std::string path;  ///< in the root, begins with '/'
  std::string path_info;
  os::UniqueFd file;
  FileFacts facts;
  std::string problem;  ///< for the log; empty: nothing that an operator can mend
};

/// http.root with the rules of what is shown. Every look goes to the disk; nothing is kept but a
/// descriptor of the root, which is looked at anew ten times a second (`look_again`), since deployments
/// replace the folder or the link that leads there.
class Site {
 public:
  explicit Site(const Settings& settings,
                std::chrono::milliseconds look_again = std::chrono::milliseconds(100))
      : settings_(settings), look_again_(look_again) {}

  /// Needs one descriptor, which is in the result for a file. Blocks on the disk.
  Found find(std::string_view path);
  /// A file that a script names for X-Sendfile: absolute and below the root, as the pool or as the
  /// door sees that, or relative to it. Hidden ones may be sent.
  Found find_for_script(std::string_view name);
  /// http.root with a path in it, as the pool sees them.
  std::string pool_path(std::string_view path) const;

 private:
  Found look(std::string_view path, bool for_script);
  Found look_in_folder(std::string_view path, bool for_script);
  Found find_script_above(std::string_view path);
  Found classify(std::string_view path, os::UniqueFd file, bool may_read, bool for_script);
  Found from_errno(int code, std::string_view path) const;
  bool is_script(std::string_view path, std::uint32_t mode) const;
  os::UniqueFd open(std::string_view path, int flags);
  bool open_root();

  const Settings& settings_;
  const std::chrono::milliseconds look_again_;
  os::UniqueFd root_;
  std::uint64_t root_device_ = 0;
  std::uint64_t root_inode_ = 0;
  std::chrono::steady_clock::time_point looked_{};
};

}  // namespace fpm::http
