#include "fpm/handlers/php/script_path.hpp"

#include <strings.h>

#include <optional>

namespace fpm::handlers::php {
namespace {

using Value = std::optional<std::string>;

bool starts_with_any_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         ::strncasecmp(text.data(), prefix.data(), prefix.size()) == 0;
}

bool has_parent_element(std::string_view path) {
  for (std::size_t at = path.find(".."); at != path.npos; at = path.find("..", at + 1)) {
    const bool begins = at == 0 || path[at - 1] == '/';
    const bool ends = at + 2 == path.size() || path[at + 2] == '/';
    if (begins && ends) return true;
  }
  return false;
}

// "%41" as in URLs; what is no such thing stays.
std::string decoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const int letter = (c | 0x20) - 'a';
    return letter >= 0 && letter < 6 ? letter + 10 : -1;
  };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool pair = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
                      digit(text[i + 2]) >= 0;
    result += pair ? static_cast<char>(16 * digit(text[i + 1]) + digit(text[i + 2])) : text[i];
    if (pair) i += 2;
  }
  return result;
}

/// One request's way through the rules. Members are the values as they stand; `given_` those of the
/// front.
class Choice {
 public:
  Choice(Env& env, const PathRules& rules, PathFiles& files)
      : env_(env), rules_(rules), files_(files) {}

  ScriptPath choose() {
    given_.file = value("SCRIPT_FILENAME");
    given_.translated = value("PATH_TRANSLATED");
    given_.info = value("PATH_INFO");
    given_.name = value("SCRIPT_NAME");
    script_ = given_.file ? given_.file : given_.translated;
    if (!script_) return {};
    chosen_.named = true;
    info_ = given_.info;
    name_ = given_.name;
    strip_name_of_iis();
    strip_apache_proxy();
    if (rules_.fix_pathinfo) {
      fix();
    } else {
      keep();
    }
    if (script_ && !has_parent_element(*script_)) {
      chosen_.found = true;
      chosen_.path = std::move(*script_);
    }
    return std::move(chosen_);
  }

 private:
  struct Given {
    Value file, translated, info, name;
  };

  Value value(std::string_view name) const {
    const auto found = env_.get(name);
    return found ? Value(*found) : Value();
  }
  void set_uri(const Value& uri) {
    chosen_.has_uri = uri.has_value();
    chosen_.uri = uri.value_or("");
  }
  void keep_original(std::string_view name, const Value& original) {
    if (original) env_.set("ORIG_" + std::string(name), *original);
  }

  // Apache's mod_proxy_fcgi and mod_proxy_balancer name the script by the URL they were given, with
  // the query that a RewriteRule put there (Apache bugs 50851, 54152).
  void strip_apache_proxy() {
    if (!given_.file) return;
    for (const std::string_view prefix : {"proxy:fcgi://", "proxy:balancer://"}) {
      if (!starts_with_any_case(*given_.file, prefix)) continue;
      std::string path = *given_.file;
      const std::size_t slash = path.find('/', prefix.size());
      if (slash != path.npos) {
        path.erase(0, slash);
        by_apache_proxy_ = true;
      }
      path.erase(std::min(path.find('?'), path.size()));
      env_.set("SCRIPT_FILENAME", path);
      given_.file = path;
      script_ = path;
      return;
    }
  }

  // IIS repeats SCRIPT_NAME in PATH_INFO.
  void strip_name_of_iis() {
    if (!name_ || !info_ || !info_->starts_with(*name_)) return;
    if (!env_.text("SERVER_SOFTWARE").starts_with("Microsoft-IIS")) return;
    info_->erase(0, name_->size());
    keep_original("PATH_INFO", given_.info);
    if (!info_->empty()) return env_.set("PATH_INFO", *info_);
    env_.unset("PATH_INFO");
    info_.reset();
  }

  // cgi.fix_pathinfo = 0: everything is what the front says.
  void keep() {
    set_uri(info_ ? info_ : name_);
    if (!rules_.discard_path && given_.translated) script_ = given_.translated;
  }

  void fix() {
    root_ = value("DOCUMENT_ROOT");
    if (!root_ && !rules_.doc_root.empty()) {
      root_ = std::string(rules_.doc_root);
      env_.set("DOCUMENT_ROOT", *root_);
    }
    redirect_ = value("REDIRECT_URL");
    // Apache's Action runs an interpreter as SCRIPT_FILENAME and names the script here.
    if (redirect_ && given_.translated && *given_.translated != *script_) {
      script_ = given_.translated;
      name_ = redirect_;
    }
    if (script_->empty() || (script_->back() != '/' && files_.exists(*script_))) {
      whole_path_is_script();
    } else {
      find_script();
    }
  }

  void whole_path_is_script() {
    if (!given_.file || *script_ != *given_.file) {
      keep_original("SCRIPT_FILENAME", given_.file);
      env_.set("SCRIPT_FILENAME", *script_);
    }
    if (redirect_) {  // the front's belong to the interpreter, not to the script
      drop("PATH_INFO", given_.info);
      drop("PATH_TRANSLATED", given_.translated);
    }
    if (name_ != given_.name) {
      keep_original("SCRIPT_NAME", given_.name);
      env_.set("SCRIPT_NAME", *name_);
    }
    set_uri(name_);
  }
  void drop(std::string_view name, const Value& original) {
    if (!original) return;
    keep_original(name, original);
    env_.unset(name);
  }

  // Cuts at '/' from the right until a file is left; the rest is PATH_INFO.
  void find_script() {
    for (std::size_t end = script_->rfind('/'); end != std::string::npos;
         end = end == 0 ? std::string::npos : script_->rfind('/', end - 1)) {
      const std::string file = script_->substr(0, end);
      if (!files_.is_regular(file)) continue;
      use(file, script_->substr(end));
      break;
    }
    if (!used_) {
      keep_original("SCRIPT_FILENAME", given_.file);
      env_.unset("SCRIPT_FILENAME");
      script_.reset();
    }
    if (chosen_.has_uri) return;
    if (name_ != given_.name) {
      keep_original("SCRIPT_NAME", given_.name);
      if (name_) env_.set("SCRIPT_NAME", *name_);
    }
    set_uri(name_);
  }

  void use(const std::string& file, const std::string& rest) {
    used_ = true;
    take_path_info(rest);
    if (!given_.file || *given_.file != file) {
      keep_original("SCRIPT_FILENAME", given_.file);
      env_.set("SCRIPT_FILENAME", file);
      script_ = file;
    }  // else, with Action and the script named twice, php-fpm keeps to the longer one
    translate(file);
  }

  // The front's PATH_INFO may begin with the script's name; what counts is what was cut off.
  void take_path_info(const std::string& rest) {
    if (by_apache_proxy_) {
      if (rest.empty() || given_.info == rest) return;
      if (given_.info) {
        take_name(*given_.info);
      } else if (name_) {
        take_from_name(rest);
      }
      set_info(rest);
      return;
    }
    if (!info_ || info_->size() <= rest.size()) return;
    const std::string before = info_->substr(0, info_->size() - rest.size());
    take_name(before);
    set_info(info_->substr(before.size()));
  }
  /// The script's name was part of PATH_INFO.
  void take_name(const std::string& name) {
    keep_original("PATH_INFO", given_.info);
    if (given_.name != name) {
      keep_original("SCRIPT_NAME", given_.name);
      env_.set("SCRIPT_NAME", name);
    }
    set_uri(name);
  }
  void set_info(const std::string& info) {
    info_ = info;
    env_.set("PATH_INFO", info);
  }

  // With ProxyPass Apache sends no PATH_INFO: it is part of SCRIPT_NAME, encoded or not.
  void take_from_name(const std::string& rest) {
    const std::string plain = decoded(rest);
    for (const std::string& end : {rest, plain}) {
      if (name_->size() <= end.size() || !name_->ends_with(end)) continue;
      keep_original("SCRIPT_NAME", given_.name);
      name_->erase(name_->size() - end.size());
      env_.set("SCRIPT_NAME", *name_);
      set_uri(name_);
      return;
    }
  }

  // PATH_TRANSLATED is PATH_INFO below the document root.
  void translate(const std::string& file) {
    std::string root;
    if (root_) {
      root = *root_;
      if (root.ends_with('/')) root.pop_back();
    } else if (name_ && file.find(*name_) != file.npos) {
      root = file.substr(0, file.size() - name_->size());
    } else {
      return;
    }
    keep_original("PATH_TRANSLATED", given_.translated);
    env_.set("PATH_TRANSLATED", root + info_.value_or(""));
  }

  Env& env_;
  const PathRules& rules_;
  PathFiles& files_;
  Given given_;
  Value script_, info_, name_, root_, redirect_;
  bool by_apache_proxy_ = false;
  bool used_ = false;
  ScriptPath chosen_;
};

}  // namespace

ScriptPath choose_script_path(Env& env, const PathRules& rules, PathFiles& files) {
  return Choice(env, rules, files).choose();
}

}  // namespace fpm::handlers::php
