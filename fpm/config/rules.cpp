#include "fpm/config/rules.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "fpm/config/address.hpp"
#include "fpm/config/pool_rules.hpp"
#include "fpm/config/values.hpp"
#include "fpm/os/error.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::config {
namespace {

/// The rules of [global].
class GlobalRules {
 public:
  GlobalRules(const Draft& draft, const LoadOptions& options, Config& config,
              std::vector<Problem>& problems)
      : draft_(draft),
        options_(options),
        config_(config),
        global_(config.global),
        problems_(problems) {}

  void check() {
    prefix();
    error_log();
    event_mechanism();
    emergency_restart();
    priority();
    status_listen();
  }

  /// To be asked when the pools are known to be right: whether there is a reporter depends on them.
  void status_user() {
    const auto asks = [](const Pool& pool) { return !pool.status_listen.text.empty(); };
    const bool reporter = !global_.status_listen.text.empty() ||
                          std::any_of(config_.pools.begin(), config_.pools.end(), asks);
    if (!good("status.user")) return;
    if (!*options_.running_as_root) {
      if (written("status.user") != nullptr) {
        problems_.push_back({log::Level::notice, {}, 0, {}, ignored("status.user")});
      }
      return;
    }
    if (!reporter) return;
    const auto identity = os::resolve_identity(global_.status_user, {});
    if (!identity) {
      always_about("status.user", global_.status_user, identity.error().what);
    } else if (identity->uid == 0 && !options_.allow_root) {
      always_about("status.user", global_.status_user, "please specify a user other than root");
    }
  }

  /// To be asked when the pools are known: one process cannot load two PHPs.
  void shared_template() {
    if (!good("template") || global_.template_mode != TemplateMode::shared) return;
    const Pool* first = nullptr;
    for (const Pool& pool : config_.pools) {
      if (pool.handler != HandlerKind::php || pool.php_library.empty()) continue;
      if (first == nullptr) first = &pool;
      if (pool.php_library == first->php_library) continue;
      about("template", fmt::format("one PHP serves all pools then, but pool {} wants another one than "
                                    "pool {}",
                                    pool.name, first->name));
    }
  }

  /// To be asked when the pools are known to be right: they say how many workers start.
  void process_max() {
    if (!good("process.max") || global_.process_max == 0) return;
    const auto add = [](long sum, const Pool& pool) {
      return sum + (pool.pm == ProcessManager::static_pm ? pool.max_children : pool.start_servers);
    };
    const long start = std::accumulate(config_.pools.begin(), config_.pools.end(), 0L, add);
    if (start <= global_.process_max) return;
    about("process.max",
          fmt::format("process.max ({}) must not be less than the total number of children that "
                      "start initially across all pools ({})",
                      global_.process_max, start));
  }

 private:
  const Written* written(std::string_view name) const {
    const auto found = draft_.global.find(name);
    return found == draft_.global.end() ? nullptr : &found->second;
  }
  bool good(std::string_view name) const {
    const Written* const entry = written(name);
    return entry == nullptr || entry->good;
  }
  void about(std::string_view name, const std::string& text, log::Level level = log::Level::error) {
    const Written* const entry = written(name);
    if (entry == nullptr) return;  // a default is no finding
    problems_.push_back({level,
                         entry->place.file,
                         entry->place.line,
                         {},
                         fmt::format("{} = \"{}\": {}", name, entry->text, text)});
  }

  /// The same, and a default is a finding too.
  void always_about(std::string_view name, std::string_view value, const std::string& text) {
    if (written(name) != nullptr) return about(name, text);
    problems_.push_back({log::Level::error,
                         config_.file,
                         0,
                         {},
                         fmt::format("{} = \"{}\" (the default): {}", name, value, text)});
  }

  void status_listen() {
    const Address& address = global_.status_listen;
    if (!good("status.listen") || address.text.empty()) return;
    global_.status_listen_place = written("status.listen")->place;
    if (const std::string wrong = path_too_long(address.path); !wrong.empty()) {
      about("status.listen", wrong);
    }
    if (!good("status.allowed_clients")) return;
    const bool anybody = global_.status_allowed_clients.empty();
    if (anybody && !is_local(address)) {
      about("status.listen",
            "anybody who can connect sees the addresses (URIs) of requests under way: set "
            "status.allowed_clients",
            log::Level::warning);
    }
    if (!anybody && address.is_unix()) {
      about("status.allowed_clients", "has no effect on a UNIX socket", log::Level::warning);
    }
  }

  void prefix() {
    if (options_.prefix.empty() || is_folder(config_.prefix)) return;
    problems_.push_back({log::Level::error,
                         {},
                         0,
                         {},
                         fmt::format("the global prefix '{}' does not exist or is not a directory",
                                     config_.prefix)});
  }

  void error_log() {
    if (!good("error_log") || global_.error_log == "syslog") return;
    const int error = why_not_writable(global_.error_log);
    if (error == 0) return;
    about("error_log", fmt::format("failed to open error_log ({}): {}", global_.error_log,
                                   os::errno_text(error)));
  }

  void event_mechanism() {
    std::string& mechanism = global_.events_mechanism;
    if (same_word(mechanism, "poll") || same_word(mechanism, "select")) {
      about("events.mechanism", "epoll is used", log::Level::notice);
    }
    mechanism = "epoll";
  }

  void emergency_restart() {
    const bool threshold = global_.emergency_restart_threshold > 0;
    const bool interval = global_.emergency_restart_interval.count() > 0;
    if (threshold == interval || !good("emergency_restart_threshold") ||
        !good("emergency_restart_interval")) {
      return;
    }
    const auto* const one = "emergency_restart_threshold";
    const auto* const other = "emergency_restart_interval";
    about(threshold ? one : other, fmt::format("has no effect without {}", threshold ? other : one),
          log::Level::warning);
  }

  void priority() {
    if (!global_.process_priority || *options_.running_as_root) return;
    global_.process_priority.reset();
    problems_.push_back({log::Level::notice, {}, 0, {}, ignored("process.priority")});
  }

  const Draft& draft_;
  const LoadOptions& options_;
  Config& config_;
  Global& global_;
  std::vector<Problem>& problems_;
};

/// One place where connections are accepted: a pool's, that of its status page, or the reporter's.
struct Door {
  std::string_view directive;
  const Address* address;
  std::string user;  ///< "in another pool 'www'", with php-fpm's name of it
  std::string pool;  ///< empty: of [global]
  const Written* written;
};

std::vector<Door> listening_places(const Draft& draft, const Config& config) {
  std::vector<Door> places;
  const auto add = [&](const Section& section, std::string_view name, const Address& address,
                       std::string user, const std::string& pool) {
    const auto found = section.find(name);
    if (found == section.end() || !found->second.good || address.text.empty()) return;
    places.push_back({name, &address, std::move(user), pool, &found->second});
  };
  add(draft.global, "status.listen", config.global.status_listen, "by status.listen", {});
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    const Pool& pool = config.pools[i];
    const auto in_pool = [&](const char* suffix) {
      return fmt::format("in another pool '{}{}'", pool.name, suffix);
    };
    add(draft.pools[i], "listen", pool.listen, in_pool(""), pool.name);
    add(draft.pools[i], "pm.status_listen", pool.status_listen, in_pool("_status"), pool.name);
    add(draft.pools[i], "http.listen", pool.http_listen, in_pool("_http"), pool.name);
  }
  return places;
}

/// No two pools on one address, in whichever spelling.
void one_pool_per_address(const Draft& draft, const Config& config,
                          std::vector<Problem>& problems) {
  const std::vector<Door> places = listening_places(draft, config);
  // By their keys: to compare each with each took 14 s with 5,000 pools.
  std::unordered_map<std::string, std::vector<const Door*>> before;
  for (auto place = places.begin(); place != places.end(); ++place) {
    std::vector<const Door*>& near = before[overlap_key(*place->address)];
    const auto found = std::find_if(near.begin(), near.end(), [&](const Door* one) {
      return overlap(*place->address, *one->address);
    });
    const Door* const other = found == near.end() ? nullptr : *found;
    near.push_back(&*place);
    if (other == nullptr) continue;
    std::string text = fmt::format(
        "{} = \"{}\": unable to set listen address as it's already used {}",
        place->directive, place->written->text, other->user);
    if (place->address->text != other->address->text) {
      text += fmt::format(" (as \"{}\")", other->address->text);
    }
    const Place& where = place->written->place;
    problems.push_back(
        {log::Level::error, where.file, where.line, place->pool, std::move(text)});
  }
}

std::optional<int> read_somaxconn() {
  std::ifstream file("/proc/sys/net/core/somaxconn");
  int value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

/// What was left open about this machine, asked for.
LoadOptions known_machine(LoadOptions options) {
  if (!options.somaxconn) options.somaxconn = read_somaxconn();
  if (!options.running_as_root) options.running_as_root = geteuid() == 0;
  if (!options.cpus) {
    const long count = sysconf(_SC_NPROCESSORS_CONF);
    if (count > 0) options.cpus = static_cast<int>(count);
  }
  return options;
}

}  // namespace

void check_rules(const Draft& draft, const LoadOptions& options, Config& config,
                 std::vector<Problem>& problems) {
  const LoadOptions known = known_machine(options);
  GlobalRules global(draft, known, config, problems);
  global.check();
  if (config.pools.empty()) {
    problems.push_back({log::Level::error,
                        config.file,
                        0,
                        {},
                        "No pool defined. at least one pool section must be specified in config "
                        "file, as in [www]"});
  }
  os::Identities identities;
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    check_pool(draft.pools[i], known, identities, config.pools[i], problems);
  }
  one_pool_per_address(draft, config, problems);
  global.process_max();
  global.status_user();
  global.shared_template();
}

}  // namespace fpm::config
