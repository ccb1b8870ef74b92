#include "fpm/handlers/cgi/script.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fpm/os/beneath.hpp"

namespace fpm::handlers::cgi {
namespace {

// "proxy:fcgi://localhost:9000/srv/a.cgi?x=1" is what Apache's ProxyPass makes of a path.
std::string_view without_proxy_prefix(std::string_view name) {
  for (const std::string_view prefix : {"proxy:fcgi://", "proxy:balancer://"}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    name.remove_prefix(std::min(name.find('/'), name.size()));
    return name.substr(0, name.find('?'));
  }
  return name;
}

bool has_parent_element(std::string_view path) {
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) == "..") return true;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return false;
}

// nginx's $document_root$fastcgi_script_name doubles the slash of a root that ends in one, and
// cgi.allow[] is compared as text.
std::string without_double_slashes(std::string_view path) {
  std::string clean;
  for (const char byte : path) {
    if (byte != '/' || clean.empty() || clean.back() != '/') clean += byte;
  }
  return clean;
}

class Choice {
 public:
  Choice(const ScriptRules& rules, Files& files) : rules_(rules), files_(files) {}

  std::variant<Script, Refusal> program() {
    switch (files_.kind(rules_.program)) {
      case FileKind::regular:
        return runnable({rules_.program, {}});
      case FileKind::missing:
        return Refusal{404, "cgi.program " + rules_.program + " does not exist"};
      default:
        return Refusal{403, "cgi.program " + rules_.program + " is not a file that may be run"};
    }
  }

  std::variant<Script, Refusal> walk_up(std::string_view name) {
    for (std::size_t end = name.size(); end > 0; end = name.rfind('/', end - 1)) {
      const std::string path(name.substr(0, end));
      named_in_allow_ = named_in_allow_ || is_allowed_by_name(path);
      switch (files_.kind(path)) {
        case FileKind::regular:
          if (!may_be_run(path)) return outside(name);
          return runnable({path, std::string(name.substr(end))});
        case FileKind::folder:
          return end == name.size() ? no_file(name) : nothing_below(path, name);
        case FileKind::missing:
          break;
        default:
          return no_file(name);
      }
    }
    return nothing_below("/", name);
  }

 private:
  bool unconfined() const { return rules_.root.empty() && rules_.allow.empty(); }

  bool is_allowed_by_name(std::string_view path) const {
    if (rules_.allow.empty()) return false;
    return std::find(rules_.allow.begin(), rules_.allow.end(), without_double_slashes(path)) !=
           rules_.allow.end();
  }

  bool below_root(const std::string& path) {
    return !rules_.root.empty() && files_.beneath(rules_.root, path);
  }

  bool may_be_run(const std::string& path) {
    return unconfined() || is_allowed_by_name(path) || below_root(path);
  }

  std::variant<Script, Refusal> runnable(Script script) {
    if (files_.executable(script.path)) return script;
    return Refusal{403, script.path + " is not executable"};
  }

  Refusal outside(std::string_view name) const {
    return {403, std::string(name) + " is neither below cgi.root nor in cgi.allow[]"};
  }

  Refusal no_file(std::string_view name) const {
    return {403, std::string(name) + " is not a file that may be run"};
  }

  // `folder` is the deepest one that exists. Whether something is missing in it is only told where
  // the visitor may run things.
  Refusal nothing_below(const std::string& folder, std::string_view name) {
    if (!unconfined() && !named_in_allow_ && !below_root(folder)) return outside(name);
    return {404, std::string(name) + " does not exist"};
  }

  const ScriptRules& rules_;
  Files& files_;
  bool named_in_allow_ = false;
};

}  // namespace

std::variant<Script, Refusal> choose_script(const ScriptRules& rules, const fcgi::Params& params,
                                            Files& files) {
  Choice choice(rules, files);
  if (!rules.program.empty()) return choice.program();
  const std::string_view name = without_proxy_prefix(params.last_non_empty("SCRIPT_FILENAME"));
  if (name.empty()) return Refusal{404, "the front sent no SCRIPT_FILENAME"};
  if (name.find('\0') != name.npos) return Refusal{403, "SCRIPT_FILENAME holds a NUL"};
  if (name.front() != '/') {
    return Refusal{404, "SCRIPT_FILENAME " + std::string(name) + " is not an absolute path"};
  }
  if (has_parent_element(name)) {
    return Refusal{403, "SCRIPT_FILENAME " + std::string(name) + " holds a '..'"};
  }
  return choice.walk_up(name);
}

FileKind DiskFiles::kind(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) < 0) {
    return errno == EACCES || errno == EPERM ? FileKind::refused : FileKind::missing;
  }
  if (S_ISREG(about.st_mode)) return FileKind::regular;
  return S_ISDIR(about.st_mode) ? FileKind::folder : FileKind::other;
}

bool DiskFiles::executable(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

bool DiskFiles::beneath(const std::string& root, const std::string& path) {
  const auto answer = os::lies_beneath(root, path);
  return answer.has_value() && *answer;
}

}  // namespace fpm::handlers::cgi
