#include "fpm/config/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cctype>
#include <filesystem>
#include <set>
#include <span>
#include <unordered_map>

#include "fpm/build_config.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/ini_source.hpp"
#include "fpm/config/rules.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

constexpr std::size_t kMostPoolName = 255;  ///< bytes

/// Names of pools that differ in this alone are the same.
std::string lower_case(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

/// Sorts entries into sections and fields.
class Loader {
 public:
  Loader(const LoadOptions& options, Loaded& out, Draft& draft)
      : options_(options), out_(out), draft_(draft) {}

  void take(const Entry& entry) {
    const bool global = same_word(entry.section, "global");
    if (entry.name.empty()) {
      if (!global) open_pool(entry);
    } else if (global) {
      take_global(entry);
    } else {
      take_pool(entry);
    }
  }

 private:
  std::size_t position(std::string_view name) const {
    const auto found = positions_.find(lower_case(name));
    return found == positions_.end() ? out_.config.pools.size() : found->second;
  }

  void open_pool(const Entry& entry) {
    if (position(entry.section) < out_.config.pools.size()) return;
    const auto control = [](unsigned char c) { return std::iscntrl(c) != 0; };
    const std::string& name = entry.section;
    if (name.size() > kMostPoolName || std::any_of(name.begin(), name.end(), control)) {
      problem(
          entry, {},
          fmt::format("the name of a pool: expected at most {} bytes without control characters",
                      kMostPoolName));
    }
    Pool pool = default_pool(name);
    pool.place = entry.place;
    pool.php_start = options_.php_start;
    pool.php_version = options_.php_version;
    if (options_.as_php_fpm) pool.handler = HandlerKind::php;
    positions_.emplace(lower_case(name), out_.config.pools.size());
    out_.config.pools.push_back(std::move(pool));
    draft_.pools.emplace_back();
  }

  void take_global(const Entry& entry) {
    const Directive<Global>* const row = find_global(entry.name);
    if (row == nullptr) {
      const bool pool = find_pool(entry.name) != nullptr;
      std::string text = pool ? "belongs into the section of a pool, as in [www]" : "";
      if (pool && entry.index) text = "Array are not allowed in the global section, it " + text;
      return unknown(entry, {}, text);
    }
    if (entry.value.find("$pool") != std::string::npos) {
      refuse(entry, {}, "Can't use '$pool' when the pool is not defined");
      return record(draft_.global, row->name, entry, entry.value, false);
    }
    write(*row, out_.config.global, entry, entry.value, {}, draft_.global);
  }

  void take_pool(const Entry& entry) {
    const std::size_t at = position(entry.section);
    assert(at < out_.config.pools.size());  // its section came first
    Pool& pool = out_.config.pools[at];
    const Directive<Pool>* const row = find_pool(entry.name);
    if (row == nullptr) {
      const bool global = find_global(entry.name) != nullptr;
      return unknown(entry, pool.name, global ? "belongs into [global]" : "");
    }
    std::string value = entry.value;
    for (std::size_t i = 0; (i = value.find("$pool", i)) != std::string::npos;) {
      value.replace(i, 5, pool.name);
      i += pool.name.size();
    }
    write(*row, pool, entry, value, pool.name, draft_.pools[at]);
  }

  template <class Owner>
  void write(const Directive<Owner>& row, Owner& owner, const Entry& entry,
             const std::string& value, const std::string& pool, Section& section) {
    const bool good = !entry.broken && taken(row, owner, entry, value, pool);
    record(section, row.name, entry, value, good);
    owner.written.emplace(row.name);
  }

  template <class Owner>
  bool taken(const Directive<Owner>& row, Owner& owner, const Entry& entry,
             const std::string& value, const std::string& pool) {
    const Assignment text{value, entry.index, entry.quoted};
    if (std::string complaint = array_complaint(row, text); !complaint.empty()) {
      out_.problems.push_back({log::Level::error, entry.place.file, entry.place.line, pool,
                               std::move(complaint), true});
      return false;
    }
    const std::string error = assign(row, owner, text);
    if (!error.empty()) problem(entry, pool, described(entry, value, error));
    return error.empty();
  }

  /// Of an array one bad item makes the whole suspect; of other directives the last line counts.
  static void record(Section& section, std::string_view name, const Entry& entry,
                     const std::string& value, bool good) {
    const auto [at, fresh] = section.try_emplace(std::string(name));
    const bool spoilt = !fresh && entry.index && !at->second.good;
    at->second = {entry.place, value, good && !spoilt};
  }

  void unknown(const Entry& entry, const std::string& pool, std::string text) {
    if (same_word(entry.name, "listen.setfib")) {
      text = "only FreeBSD has routing tables of sockets";
    } else if (text.empty()) {
      text = "unknown directive";
      const std::string nearest = nearest_directive(entry.name);
      if (!nearest.empty()) text += fmt::format(", did you mean {}?", nearest);
    }
    refuse(entry, pool, text);
  }

  static std::string described(const Entry& entry, const std::string& value,
                               const std::string& text) {
    return fmt::format("{} = \"{}\": {}", entry.written_name(), value, text);
  }
  void refuse(const Entry& entry, const std::string& pool, const std::string& text) {
    problem(entry, pool, described(entry, entry.value, text));
  }
  void problem(const Entry& entry, const std::string& pool, std::string text) {
    out_.problems.push_back(
        {log::Level::error, entry.place.file, entry.place.line, pool, std::move(text)});
  }

  const LoadOptions& options_;
  Loaded& out_;
  Draft& draft_;
  std::unordered_map<std::string, std::size_t> positions_;  // of pools, by their names in lower case
};

/// Makes the paths of one section absolute. Only now, because `prefix` may stand below them.
template <class Owner>
void resolve_section(std::span<const Directive<Owner>> rows, const std::string& prefix,
                     const std::string& pool, Owner& owner, Section& section,
                     std::vector<Problem>& problems) {
  for (const Directive<Owner>& row : rows) {
    const std::string error = resolve(row, owner, prefix);
    if (error.empty()) continue;
    Written& written = section[std::string(row.name)];  // not there: the path of option -g
    written.good = false;
    problems.push_back({log::Level::error, written.place.file, written.place.line, pool,
                        fmt::format("{} = \"{}\": {}", row.name, written.text, error)});
  }
}

void resolve_paths(Draft& draft, const LoadOptions& options, Config& config,
                   std::vector<Problem>& problems) {
  const bool php_fpm = options.as_php_fpm && options.prefix.empty();
  const std::string prefix_of_global = php_fpm ? FPM_PHP_LOCALSTATEDIR : config.prefix;
  resolve_section(global_directives(), prefix_of_global, {}, config.global, draft.global, problems);
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    Pool& pool = config.pools[i];
    pool.prefix = absolute_path(pool.prefix, config.prefix);
    const std::string prefix = pool.prefix.empty() ? config.prefix : pool.prefix;
    resolve_section(pool_directives(), prefix, pool.name, pool, draft.pools[i], problems);
  }
}

/// A file that includes itself, or is included twice, shall not repeat what is wrong in it.
void drop_repeated(std::vector<Problem>& problems) {
  std::set<std::string> seen;
  const auto repeated = [&](const Problem& problem) {
    return !seen.insert(problem.message()).second;
  };
  problems.erase(std::remove_if(problems.begin(), problems.end(), repeated), problems.end());
}

void keep_single(const std::string& name, Loaded& out) {
  std::vector<Pool>& pools = out.config.pools;
  const auto other = [&](const Pool& pool) { return !same_word(pool.name, name); };
  if (std::all_of(pools.begin(), pools.end(), other)) {
    out.problems.push_back(
        {log::Level::error,
         out.config.file,
         0,
         {},
         fmt::format("there is no pool '{}', which is to be the single one", name)});
    return;
  }
  pools.erase(std::remove_if(pools.begin(), pools.end(), other), pools.end());
}

}  // namespace

bool Loaded::ok() const {
  return std::none_of(problems.begin(), problems.end(),
                      [](const Problem& problem) { return problem.level >= log::Level::error; });
}

namespace {

std::string absolute(const std::string& name) {
  namespace fs = std::filesystem;
  std::error_code ignored;  // no working directory: then the path stays relative and fails
  const fs::path path = fs::absolute(name, ignored);
  return path.empty() ? name : path.lexically_normal().string();
}

/// What all entries together come to.
void conclude(Draft& draft, const LoadOptions& options, Loaded& out) {
  // What watches php-fpm finds its number where the configuration says, whatever -g does.
  std::string& pid = out.config.global.pid;
  if (!options.pid_file.empty() && !(options.as_php_fpm && !pid.empty())) pid = options.pid_file;
  resolve_paths(draft, options, out.config, out.problems);
  check_rules(draft, options, out.config, out.problems);
  for (Pool& pool : out.config.pools) {
    pool.log_limit = out.config.global.log_limit;
    pool.shared_template = pool.handler == HandlerKind::php &&
                           out.config.global.template_mode == TemplateMode::shared;
  }
  if (!options.single.empty()) keep_single(options.single, out);
  drop_repeated(out.problems);
}

}  // namespace

Loaded load(const std::string& file, const LoadOptions& options) {
  namespace fs = std::filesystem;
  Loaded out;
  out.config.file = absolute(file);
  out.config.prefix = !options.prefix.empty() ? absolute(options.prefix)
                      : options.as_php_fpm    ? FPM_PHP_PREFIX
                                              : fs::path(out.config.file).parent_path().string();
  out.config.global = default_global();
  if (options.as_php_fpm) out.config.global.error_log = "log/php-fpm.log";

  Draft draft;
  Loader loader(options, out, draft);
  const auto take = [&](const Entry& entry) { loader.take(entry); };
  if (!read_ini(out.config.file, out.config.prefix, out.problems, take)) return out;
  conclude(draft, options, out);
  return out;
}

Loaded load_entries(const std::string& source, const std::vector<Entry>& entries,
                    const LoadOptions& options) {
  Loaded out;
  out.config.file = source;
  out.config.prefix = absolute(options.prefix.empty() ? "." : options.prefix);
  out.config.global = default_global();
  Draft draft;
  Loader loader(options, out, draft);
  for (const Entry& entry : entries) loader.take(entry);
  conclude(draft, options, out);
  return out;
}

}  // namespace fpm::config
