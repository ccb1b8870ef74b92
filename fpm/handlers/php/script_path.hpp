// Which file a PHP request executes, and what SCRIPT_NAME, PATH_INFO and PATH_TRANSLATED are then.
//
// Fronts differ in how they name a script, and php-fpm's users rely on how it makes sense of each: a
// path with something behind the script (nginx without split), "proxy:fcgi://..." (Apache's
// ProxyPass), PATH_TRANSLATED alone (IIS), REDIRECT_URL (Apache's Action). What was changed is kept
// under ORIG_ names.
#pragma once

#include <string>
#include <string_view>

#include "fpm/handlers/php/env.hpp"

namespace fpm::handlers::php {

/// PHP's settings that play a part.
struct PathRules {
  bool fix_pathinfo = true;    ///< cgi.fix_pathinfo
  bool discard_path = false;   ///< cgi.discard_path, without fix_pathinfo only
  std::string_view doc_root{};  ///< doc_root, where the front sends no DOCUMENT_ROOT
};

/// The little that is asked of the file system.
class PathFiles {
 public:
  virtual ~PathFiles() = default;
  /// It leads to something, whatever that is.
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_regular(const std::string& path) = 0;
};

/// What was chosen.
struct ScriptPath {
  bool named = false;    ///< the front named a script: method, query and the like count
  bool found = false;    ///< `path` may be opened
  std::string path;      ///< what PHP calls path_translated
  bool has_uri = false;  ///< PHP's request_uri, the script's name as the visitor sees it
  std::string uri;
};

/// Chooses the script and corrects `env`. A path with an element ".." is never found.
ScriptPath choose_script_path(Env& env, const PathRules& rules, PathFiles& files);

}  // namespace fpm::handlers::php
