// Which file a request executes, and whether it may. Decides only; the file system is asked
// through Files.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fcgi/params.hpp"

namespace fpm::handlers::cgi {

/// What a pool allows to be run: cgi.root, cgi.allow[], cgi.program. Borrowed.
struct ScriptRules {
  const std::string& root;                 ///< empty: none
  const std::vector<std::string>& allow;   ///< empty: none
  const std::string& program;              ///< empty: SCRIPT_FILENAME chooses
};

/// What lies at a path, links followed.
enum class FileKind {
  regular,
  folder,
  other,    ///< a device, a FIFO, a socket
  missing,  ///< also where the path leads through something that is no folder
  refused,  ///< it may not be looked at
};

/// The little that the decision asks of the file system. Paths are absolute.
class Files {
 public:
  virtual ~Files() = default;
  virtual FileKind kind(const std::string& path) = 0;
  virtual bool executable(const std::string& path) = 0;
  /// With all links resolved, `path` is `root` or lies below it. False if that cannot be told.
  virtual bool beneath(const std::string& root, const std::string& path) = 0;
};

/// The real file system, as this process may see it.
class DiskFiles final : public Files {
 public:
  FileKind kind(const std::string& path) override;
  bool executable(const std::string& path) override;
  bool beneath(const std::string& root, const std::string& path) override;
};

/// The program to be executed.
struct Script {
  std::string path;       ///< absolute, as the front named it
  std::string path_info;  ///< what followed it in SCRIPT_FILENAME; empty: the front's holds
};

/// Why none is executed.
struct Refusal {
  int status = 0;      ///< 403 or 404
  std::string reason;  ///< for the log; holds paths, so not for the visitor
};

/// Chooses the script of a request. With cgi.program that one. Else SCRIPT_FILENAME, walked up to
/// the first regular file, the rest being PATH_INFO (RFC 3875 §4.1.5). A file outside of cgi.root
/// that is not in cgi.allow[] is 403 whether or not it exists; so are folders, files that are not
/// executable, `..` elements and NUL; a missing one is 404. Apache's "proxy:fcgi://host:port"
/// before the path is taken off, with the query that it then leaves behind the path.
std::variant<Script, Refusal> choose_script(const ScriptRules& rules, const fcgi::Params& params,
                                            Files& files);

}  // namespace fpm::handlers::cgi
