#include "fpm/config/rules.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>

#include "fpm/config/address.hpp"
#include "fpm/config/directives.hpp"
#include "fpm/os/identity.hpp"

namespace fpm::config {
namespace {

/// The rules of one pool. Each rule is a function that reads like its sentence.
class PoolRules {
 public:
  PoolRules(const Section& section, const LoadOptions& options, bool root, Pool& pool,
            std::vector<Problem>& problems)
      : section_(section), options_(options), root_(root), pool_(pool), problems_(problems) {}

  void check() {
    mandatory();
    if (root_) {
      identity();
    } else {
      drop_what_needs_root();
    }
    socket_path();
    socket_owner();
    backlog();
    clients_of_tcp();
    open_to_strangers();
    folders();
    access_format();
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
      about(row.name, fmt::format("{} is missing, it must be set in each pool", row.name));
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
    const auto identity = os::resolve_identity(pool_.user, pool_.group);
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
  }
  void drop(std::string_view name, std::string& value) {
    if (value.empty()) return;
    value.clear();
    notice(fmt::format("'{}' directive is ignored when FPM is not running as root", name));
  }

  void socket_path() {
    constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
    const std::string& path = pool_.listen.path;
    if (!good("listen") || path.size() <= kMost) return;
    about("listen",
          fmt::format("cannot bind to UNIX socket '{}' as path is too long (found length: {}, "
                      "maximal length: {})",
                      path, path.size(), kMost));
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

  /// FastCGI has no authentication: whoever connects names the program that runs.
  void open_to_strangers() {
    for (const auto name :
         {"listen", "listen.allowed_clients", "cgi.root", "cgi.allow", "cgi.program"}) {
      if (!good(name)) return;
    }
    const bool limited = !pool_.cgi_root.empty() || !pool_.cgi_allow.empty() ||
                         !pool_.cgi_program.empty() || !pool_.listen_allowed_clients.empty();
    if (!set("listen") || limited || is_local(pool_.listen)) return;
    about("listen",
          "would run any program for anybody who can connect: set cgi.root, cgi.allow[] or "
          "cgi.program, or listen.allowed_clients, or listen on a UNIX socket or 127.0.0.1");
  }

  void folders() {
    if (!good("chroot")) return;
    if (!pool_.chroot.empty() && !is_folder(pool_.chroot)) {
      return about(
          "chroot",
          fmt::format("the chroot path '{}' does not exist or is not a directory", pool_.chroot));
    }
    folder("chdir", pool_.chdir);
    folder("cgi.root", pool_.cgi_root);
  }
  void folder(std::string_view name, const std::string& path) {
    if (!good(name) || path.empty() || is_folder(pool_.chroot + path)) return;
    const std::string within =
        pool_.chroot.empty() ? "" : fmt::format(" within the chroot path '{}'", pool_.chroot);
    about(name, fmt::format("the {} path '{}'{} does not exist or is not a directory", name, path,
                            within));
  }
  static bool is_folder(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  void access_format() {
    if (!good("access.format") || !options_.check_access_format) return;
    const std::string error = options_.check_access_format(pool_.access_format);
    if (!error.empty()) about("access.format", error);
  }

  const Section& section_;
  const LoadOptions& options_;
  bool root_;
  Pool& pool_;
  std::vector<Problem>& problems_;
};

/// No two pools on one address, in whichever spelling.
void one_pool_per_address(const Draft& draft, const Config& config,
                          std::vector<Problem>& problems) {
  const auto listens = [&](std::size_t i) {
    const auto found = draft.pools[i].find("listen");
    return found != draft.pools[i].end() && found->second.good ? &found->second : nullptr;
  };
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    for (std::size_t before = 0; listens(i) != nullptr && before < i; ++before) {
      const Address& address = config.pools[i].listen;
      const Address& other = config.pools[before].listen;
      if (listens(before) == nullptr || !overlap(address, other)) continue;
      std::string text = fmt::format(
          "listen = \"{}\": unable to set listen address as it's already used in "
          "another pool '{}'",
          listens(i)->text, config.pools[before].name);
      if (address.text != other.text) text += fmt::format(" (as \"{}\")", other.text);
      problems.push_back({log::Level::error, listens(i)->place.file, listens(i)->place.line,
                          config.pools[i].name, std::move(text)});
      break;
    }
  }
}

std::optional<int> read_somaxconn() {
  std::ifstream file("/proc/sys/net/core/somaxconn");
  int value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

}  // namespace

void check_rules(const Draft& draft, const LoadOptions& options, Config& config,
                 std::vector<Problem>& problems) {
  LoadOptions known = options;
  if (!known.somaxconn) known.somaxconn = read_somaxconn();
  const bool root = options.running_as_root.value_or(geteuid() == 0);
  if (config.pools.empty()) {
    problems.push_back({log::Level::error,
                        config.file,
                        0,
                        {},
                        "No pool defined. at least one pool section must be specified in config "
                        "file, as in [www]"});
  }
  for (std::size_t i = 0; i < config.pools.size(); ++i) {
    PoolRules(draft.pools[i], known, root, config.pools[i], problems).check();
  }
  one_pool_per_address(draft, config, problems);
}

}  // namespace fpm::config
