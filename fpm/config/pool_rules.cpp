// The rules about one pool.
#include "fpm/config/pool_rules.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "fpm/config/address.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/config/values.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::config {
namespace {

constexpr std::size_t kMostSocketPath = sizeof(sockaddr_un::sun_path) - 1;  ///< bytes

/// The rules of one pool. Each rule is a function that reads like its sentence.
class PoolRules {
 public:
  PoolRules(const Section& section, const LoadOptions& options, os::Identities& identities,
            Pool& pool, std::vector<Problem>& problems)
      : section_(section),
        options_(options),
        identities_(identities),
        pool_(pool),
        problems_(problems) {}

  void check() {
    mandatory();
    if (*options_.running_as_root) {
      identity();
    } else {
      drop_what_needs_root();
    }
    socket_path("listen", pool_.listen);
    socket_path("pm.status_listen", pool_.status_listen);
    socket_path("http.listen", pool_.http_listen);
    door();
    socket_owner();
    socket_acl();
    backlog();
    clients_of_tcp();
    application();
    open_to_strangers();
    spare_servers();
    ondemand();
    jitter();
    cpus();
    access_format();
    slow_log();
    logs();
    folders();
  }

 private:
  // What was written.
  const Written* written(std::string_view name) const {
    const auto found = section_.find(name);
    return found == section_.end() ? nullptr : &found->second;
  }
  /// The value counts: it is the default, or was written and taken.
  bool good(std::string_view name) const {
    const Written* const entry = written(name);
    return entry == nullptr || entry->good;
  }
  bool set(std::string_view name) const { return written(name) != nullptr; }

  // Findings.
  /// About the line of one directive: `name = "text": ...`, or about the section without it.
  void about(std::string_view name, std::string text, log::Level level = log::Level::error) {
    const Written* const entry = written(name);
    const Place& place = entry != nullptr ? entry->place : pool_.place;
    if (entry != nullptr) text = fmt::format("{} = \"{}\": {}", name, entry->text, text);
    problems_.push_back({level, place.file, place.line, pool_.name, std::move(text)});
  }
  /// php-fpm's own lines, which tools compare: without a place.
  void notice(std::string text) {
    problems_.push_back({log::Level::notice, {}, 0, pool_.name, std::move(text)});
  }

  // The rules.
  void mandatory() {
    for (const Directive<Pool>& row : pool_directives()) {
      const Written* const entry = written(row.name);
      if (!row.mandatory || entry != nullptr) continue;
      if (row.name == "listen" && set("http.listen")) continue;
      // php-fpm's words first.
      const std::string_view known =
          row.name == "listen" ? "no listen address have been defined!"
          : row.name == "pm"   ? "the process manager is missing (static, dynamic or ondemand):"
                               : "pm.max_children must be a positive value:";
      about(row.name, fmt::format("{} {} must be set in each pool", known, row.name));
    }
  }

  void identity() {
    if (!good("user") || !good("group")) return;
    if (pool_.user.empty()) {
      about("user",
            "user has not been defined: expected a user other than root, because fpm runs "
            "as root");
      return;
    }
    const auto identity = identities_.resolve(pool_.user, pool_.group);
    if (!identity) {
      const bool group = os::resolve_user(pool_.user).has_value();
      return about(group ? "group" : "user", reason(identity.error()));
    }
    if ((identity->uid == 0 || identity->gid == 0) && !options_.allow_root) {
      about(identity->uid == 0 || pool_.group.empty() ? "user" : "group",
            "please specify user and group other than root");
    }
  }
  /// "cannot get uid for user 'x'"; the errno only where it tells more than that.
  static std::string reason(const os::Error& error) {
    return error.code == ENOENT ? error.what : error.text();
  }

  void drop_what_needs_root() {
    drop("user", pool_.user);
    drop("group", pool_.group);
    drop("chroot", pool_.chroot);
    if (!pool_.process_priority) return;
    pool_.process_priority.reset();
    pool_.written.erase("process.priority");
    notice(ignored("process.priority"));
  }
  void drop(std::string_view name, std::string& value) {
    if (value.empty()) return;
    value.clear();
    pool_.written.erase(name);
    notice(ignored(name));
  }

  void socket_path(std::string_view name, Address& address) {
    const std::string wrong = path_too_long(address.path);
    if (!good(name) || wrong.empty()) return;
    if (!options_.as_php_fpm) return about(name, wrong);
    address.path.resize(kMostSocketPath);
    const std::string cut = fmt::format(", trying cut socket path instead '{}'", address.path);
    problems_.push_back({log::Level::warning, {}, 0, pool_.name,
                         wrong + (options_.only_test ? std::string() : cut)});
  }

  void socket_owner() {
    if (good("listen.owner") && !pool_.listen_owner.empty()) {
      const auto owner = os::resolve_user(pool_.listen_owner);
      if (!owner) about("listen.owner", reason(owner.error()));
    }
    if (good("listen.group") && !pool_.listen_group.empty()) {
      const auto group = os::resolve_group(pool_.listen_group);
      if (!group) about("listen.group", reason(group.error()));
    }
  }

  void socket_acl() {
    if (good("listen.acl_users")) {
      for (const std::string& name : pool_.listen_acl_users) {
        if (name.empty()) continue;
        const auto user = os::resolve_user(name);
        if (!user) about("listen.acl_users", reason(user.error()));
      }
    }
    if (good("listen.acl_groups")) {
      for (const std::string& name : pool_.listen_acl_groups) {
        if (name.empty()) continue;
        const auto group = os::resolve_group(name);
        if (!group) about("listen.acl_groups", reason(group.error()));
      }
    }
    if (pool_.listen_acl_users.empty() && pool_.listen_acl_groups.empty()) return;
    for (const auto& [name, value] : {std::pair{"listen.owner", &pool_.listen_owner},
                                      std::pair{"listen.group", &pool_.listen_group}}) {
      if (value->empty()) continue;
      about(name, fmt::format("ACL set, {} = '{}' is ignored", name, *value), log::Level::warning);
    }
  }

  void backlog() {
    if (!good("listen.backlog") || !options_.somaxconn) return;
    if (pool_.listen_backlog <= *options_.somaxconn) return;
    about("listen.backlog",
          fmt::format("the kernel cuts {} to {} (net.core.somaxconn)", pool_.listen_backlog,
                      *options_.somaxconn),
          log::Level::warning);
  }

  void clients_of_tcp() {
    if (!set("listen") || !good("listen") || !pool_.listen.is_unix()) return;
    if (pool_.listen_allowed_clients.empty()) return;
    about("listen.allowed_clients",
          "has no effect on a UNIX socket: listen.owner, .group and .mode say who may connect",
          log::Level::warning);
  }

  /// A pool with a door needs no other address: its workers listen where only the door comes.
  void door() {
    const bool there = !pool_.http_listen.text.empty();
    if (there && !set("listen")) {
      pool_.listen.hidden = true;
      pool_.listen.host = fmt::format("{} of {}", pool_.name, pool_.user);  // tells it from others
    }
    if (!good("http.listen")) return;
    for (const auto& [name, entry] : section_) {
      if (there || !entry.good || !name.starts_with("http.") || name == "http.listen") continue;
      about(name, "has no effect without http.listen", log::Level::warning);
    }
    if (!there) return;
    if (pool_.http_root.empty() && pool_.http_scripts != Scripts::all && good("http.root")) {
      about("http.listen", "needs http.root, the folder with the files, or http.scripts = all");
    }
    const bool proxies = !pool_.http_trusted_proxies.empty();
    if (proxies && pool_.http_real_ip_header.empty() && good("http.real_ip_header")) {
      about("http.trusted_proxies", "has no effect without http.real_ip_header",
            log::Level::warning);
    }
    if (!proxies && !pool_.http_real_ip_header.empty() && good("http.trusted_proxies")) {
      about("http.real_ip_header", "has no effect without http.trusted_proxies",
            log::Level::warning);
    }
  }

  void application() {
    if (options_.find_handler && good("handler") && good("php.version")) {
      const std::string missing = options_.find_handler(pool_);
      if (!missing.empty()) about("handler", missing);
    }
    if (!good("handler")) return;
    if (pool_.handler == HandlerKind::module && good("module.path") && pool_.module_path.empty()) {
      about("handler", "handler = module needs module.path, the shared object to load");
    }
    if (pool_.handler == HandlerKind::module && good("module.path") && !pool_.module_path.empty() &&
        ::access(pool_.module_path.c_str(), F_OK) != 0) {
      about("module.path", fmt::format("there is no such file now: {}", os::errno_text(errno)),
            log::Level::warning);
    }
    if (pool_.handler != HandlerKind::fastcgi) return;
    if (good("fastcgi.command") && pool_.fastcgi_command.empty()) {
      about("handler", "handler = fastcgi needs fastcgi.command, the program to run");
    }
    if (good("fastcgi.ready_timeout") && pool_.fastcgi_ready_timeout.count() <= 0) {
      about("fastcgi.ready_timeout", "must be more than 0");
    }
  }

  /// FastCGI has no authentication: whoever connects names the program that runs.
  void open_to_strangers() {
    for (const auto name :
         {"listen", "listen.allowed_clients", "cgi.root", "cgi.allow", "cgi.program"}) {
      if (!good(name)) return;
    }
    const bool limited = pool_.handler != HandlerKind::cgi || !pool_.cgi_root.empty() || !pool_.cgi_allow.empty() ||
                         !pool_.cgi_program.empty() || !pool_.listen_allowed_clients.empty();
    if (!set("listen") || limited || is_local(pool_.listen)) return;
    about("listen",
          "would run any program for anybody who can connect: set cgi.root, cgi.allow[] or "
          "cgi.program, or listen.allowed_clients, or listen on a UNIX socket or 127.0.0.1");
  }

  void spare_servers() {
    if (pool_.pm != ProcessManager::dynamic || !good("pm")) {
      // As php-fpm, whose ondemand forgets them; a static pool shows what was written.
      if (pool_.pm == ProcessManager::ondemand) {
        pool_.start_servers = pool_.min_spare_servers = pool_.max_spare_servers = 0;
      }
      return;
    }
    if (!good("pm.min_spare_servers") || !good("pm.max_spare_servers")) return;
    const int min = pool_.min_spare_servers;
    const int max = pool_.max_spare_servers;
    if (min <= 0) {
      about("pm.min_spare_servers",
            fmt::format("pm.min_spare_servers({}) must be a positive value", min));
    }
    if (max <= 0) {
      about("pm.max_spare_servers",
            fmt::format("pm.max_spare_servers({}) must be a positive value", max));
    }
    if (min <= 0 || max <= 0 || !good("pm.max_children") || !set("pm.max_children")) return;
    const int most = pool_.max_children;
    if (min > most || max > most) {
      return about(min > most ? "pm.min_spare_servers" : "pm.max_spare_servers",
                   fmt::format("pm.min_spare_servers({}) and pm.max_spare_servers({}) cannot be "
                               "greater than pm.max_children({})",
                               min, max, most));
    }
    if (max < min) {
      return about("pm.max_spare_servers",
                   fmt::format("pm.max_spare_servers({}) must not be less than "
                               "pm.min_spare_servers({})",
                               max, min));
    }
    start_servers(min, max);
  }
  void start_servers(int min, int max) {
    int& start = pool_.start_servers;
    if (!good("pm.start_servers")) return;
    if (start == 0) {
      start = min + (max - min) / 2;
      return notice(fmt::format("pm.start_servers is not set. It's been set to {}.", start));
    }
    if (start >= min && start <= max) return;
    about("pm.start_servers",
          fmt::format("pm.start_servers({}) must not be less than pm.min_spare_servers({}) and not "
                      "greater than pm.max_spare_servers({})",
                      start, min, max));
  }

  void ondemand() {
    constexpr int kFewest = 511;  // php-fpm's number: connections wait here while a worker starts
    if (pool_.pm != ProcessManager::ondemand || !good("pm")) return;
    if (good("pm.process_idle_timeout") && pool_.process_idle_timeout.count() == 0) {
      about("pm.process_idle_timeout", "pm.process_idle_timeout(0s) must be greater than 0s");
    }
    int& backlog = pool_.listen_backlog;
    if (!good("listen.backlog") || backlog < 0 || backlog >= kFewest) return;
    about("listen.backlog",
          fmt::format("listen.backlog({}) was too low for the ondemand process manager. I updated "
                      "it for you to {}.",
                      backlog, kFewest),
          log::Level::warning);
    backlog = kFewest;
  }

  void jitter() {
    if (!good("pm.max_requests_jitter") || !good("pm.max_requests")) return;
    if (pool_.max_requests_jitter == 0 || pool_.max_requests > 0) return;
    about("pm.max_requests_jitter", "has no effect without pm.max_requests", log::Level::warning);
  }

  void cpus() {
    const std::vector<int>& wanted = pool_.cpu_affinity;
    if (!good("process.cpu_affinity") || wanted.empty() || !options_.cpus) return;
    if (wanted.back() < *options_.cpus) return;
    about("process.cpu_affinity",
          fmt::format("expected CPUs of this machine, 0 to {}", *options_.cpus - 1));
  }

  void slow_log() {
    if (!good("slowlog") || !good("request_slowlog_timeout")) return;
    const Milliseconds slow = pool_.request_slowlog_timeout;
    const Milliseconds most = pool_.request_terminate_timeout;
    const auto* const depth = written("request_slowlog_trace_depth");
    const bool other = pool_.request_slowlog_trace_depth != Pool().request_slowlog_trace_depth;
    if (depth != nullptr && depth->good && other && pool_.slowlog.empty()) {
      about("request_slowlog_trace_depth",
            "'slowlog' must be specified for use with 'request_slowlog_trace_depth'");
    }
    if (slow.count() == 0) return;
    if (pool_.slowlog.empty()) {
      about("request_slowlog_timeout",
            "'slowlog' must be specified for use with 'request_slowlog_timeout'");
    }
    if (!good("request_terminate_timeout") || most.count() == 0 || slow <= most) return;
    about("request_slowlog_timeout",
          fmt::format("'request_slowlog_timeout' ({}) can't be greater than "
                      "'request_terminate_timeout' ({})",
                      seconds(slow), seconds(most)));
  }
  /// "5", as php-fpm has it; "1500ms" where that would lose something.
  static std::string seconds(Milliseconds time) {
    const auto count = time.count();
    return count % 1000 == 0 ? fmt::format("{}", count / 1000) : print_time(time);
  }

  void logs() {
    log("access.log", pool_.access_log, "failed to open access log ({})");
    log("slowlog", pool_.slowlog, "Unable to create or open slowlog({})");
    log("output_log", pool_.output_log, "failed to open output_log ({})");
  }
  void log(std::string_view name, const std::string& path, std::string_view text) {
    if (!good(name) || path.empty()) return;
    const int error = why_not_writable(path);
    if (error == 0) return;
    about(name,
          fmt::format("{}: {}", fmt::format(fmt::runtime(text), path), os::errno_text(error)));
  }

  void folders() {
    if (good("prefix") && !pool_.prefix.empty() && !is_folder(pool_.prefix)) {
      about("prefix",
            fmt::format("the prefix '{}' does not exist or is not a directory", pool_.prefix));
    }
    if (!good("chroot")) return;
    if (!pool_.chroot.empty() && !is_folder(pool_.chroot)) {
      return about(
          "chroot",
          fmt::format("the chroot path '{}' does not exist or is not a directory", pool_.chroot));
    }
    folder("chdir", pool_.chdir);
    folder("cgi.root", pool_.cgi_root);
    folder("php.root", pool_.php_root);
    if (good("http.root") && !pool_.http_root.empty() && !is_folder(pool_.http_root)) {
      about("http.root", fmt::format("the http.root path '{}' does not exist or is not a directory",
                                     pool_.http_root));
    }
  }
  void folder(std::string_view name, const std::string& path) {
    if (!good(name) || path.empty() || is_folder(pool_.chroot + path)) return;
    const std::string within =
        pool_.chroot.empty()
            ? ""
            : fmt::format(" within the chroot path '{0}' ('{0}{1}')", pool_.chroot, path);
    about(name, fmt::format("the {} path '{}'{} does not exist or is not a directory", name, path,
                            within));
  }

  void access_format() {
    if (!good("access.format") || !options_.check_access_format) return;
    const std::string error = options_.check_access_format(pool_.access_format);
    if (!error.empty()) about("access.format", error);
  }

  const Section& section_;
  const LoadOptions& options_;
  os::Identities& identities_;
  Pool& pool_;
  std::vector<Problem>& problems_;
};

}  // namespace

bool is_folder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

int why_not_writable(const std::string& file) {
  struct stat info {};
  if (is_folder(file)) return EISDIR;
  const std::string folder = std::filesystem::path(file).parent_path();
  if (stat(folder.c_str(), &info) != 0) return errno;
  return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
}

std::string path_too_long(const std::string& path) {
  if (path.size() <= kMostSocketPath) return {};
  return fmt::format("cannot bind to UNIX socket '{}' as path is too long (found length: {}, "
                     "maximal length: {})",
                     path, path.size(), kMostSocketPath);
}

std::string ignored(std::string_view name) {
  return fmt::format("'{}' directive is ignored when FPM is not running as root", name);
}

void check_pool(const Section& section, const LoadOptions& options, os::Identities& identities,
                Pool& pool, std::vector<Problem>& problems) {
  PoolRules(section, options, identities, pool, problems).check();
}

}  // namespace fpm::config
