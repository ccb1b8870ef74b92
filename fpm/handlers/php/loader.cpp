#include "fpm/handlers/php/loader.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "fpm/build_config.hpp"

namespace fpm::handlers::php {
namespace {

namespace fs = std::filesystem;

std::string program_folder() {
  std::error_code none;
  return fs::read_symlink("/proc/self/exe", none).parent_path();
}

bool is_file(const std::string& path) {
  std::error_code none;
  return fs::is_regular_file(path, none);
}

// "/usr/lib/libphp8.2.so", what the shared object itself needs.
std::string interpreter(const std::string& version) {
  const std::string known = FPM_PHP_LIBRARY;
  if (known.empty() || version == FPM_PHP_VERSION) return known;
  return fmt::format("{}/libphp{}.so", fs::path(known).parent_path().string(), version);
}

class Loader final : public Handler {
 public:
  Loader(const config::Pool& pool, os::Identity user)
      : pool_(pool),
        user_(std::move(user)),
        file_(::open(pool.php_library.c_str(), O_RDONLY | O_CLOEXEC)) {}

  bool preloads() const override { return true; }
  bool runs_inside() const override { return true; }
  bool runs_filters() const override { return true; }  // php-fpm runs every role alike
  os::Result<void> load() override {
    if (auto done = link(); done.has_error()) return done;
    return inner_->load();
  }
  os::Result<void> load_for_all() override {
    if (auto done = link(); done.has_error()) return done;
    return inner_->load_for_all();
  }
  os::Result<void> start() override { return inner_->start(); }
  Outcome handle(Exchange& exchange) override { return inner_->handle(exchange); }
  std::size_t where(std::span<char> out, int depth) noexcept override {
    return inner_->where(out, depth);
  }
  std::string_view page_header() const override { return inner_->page_header(); }

 private:
  os::Result<void> link() {
    const auto plugin = load_plugin(pool_.php_library, file_.get());
    if (plugin.has_error()) return plugin.error();
    file_.reset();
    inner_ = (*plugin)->make(pool_, user_);
    return {};
  }

  const config::Pool& pool_;
  const os::Identity user_;
  os::UniqueFd file_;  // opened before the change of user: it may lie in a folder that is closed to that
  std::unique_ptr<Handler> inner_;
};

}  // namespace

std::string find_library(config::Pool& pool) {
  const std::string version = pool.php_version.empty() ? FPM_PHP_VERSION : pool.php_version;
  if (version.empty()) {
    return "this fpm was built without PHP: install php8.2-dev and libphp8.2-embed, and build it anew";
  }
  const std::string name = fmt::format("php{}.so", version);
  const std::string folders[] = {program_folder() + "/handlers/php", FPM_LIBDIR "/fpm"};
  for (const std::string& folder : folders) {
    if (!is_file(folder + "/" + name)) continue;
    pool.php_library = folder + "/" + name;
    if (is_file(interpreter(version))) return {};
    return fmt::format("{} is not there: install libphp{}-embed", interpreter(version), version);
  }
  return fmt::format("there is no {0}, neither in {1} nor in {2}: build fpm with php{3}-dev and "
                     "libphp{3}-embed installed",
                     name, folders[0], folders[1], version);
}

os::Result<const Plugin*> load_plugin(const std::string& file, int fd) {
  const std::string by_fd = fmt::format("/proc/self/fd/{}", fd);
  const bool use_fd = fd >= 0 && ::access(file.c_str(), R_OK) != 0;
  // Global: PHP's extensions find PHP's functions by it (with RTLD_LOCAL every one fails to load).
  void* const library = ::dlopen((use_fd ? by_fd : file).c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) return os::Error(ELIBACC, fmt::format("load PHP: {}", ::dlerror()));
  const auto* const plugin = static_cast<const Plugin*>(::dlsym(library, kPluginSymbol));
  if (plugin == nullptr || std::strcmp(plugin->contract, kContract) != 0) {
    return os::Error(ELIBBAD, fmt::format("load PHP: {} is of another build of fpm", file));
  }
  return plugin;
}

os::Result<int> tell_about_php(Print what, const std::string& version,
                               const config::PhpStart& start) {
  config::Pool pool;
  pool.php_version = version;
  if (const std::string missing = find_library(pool); !missing.empty()) {
    return os::Error(ENOENT, missing);
  }
  const auto plugin = load_plugin(pool.php_library, -1);
  if (plugin.has_error()) return plugin.error();
  return (*plugin)->print(what, start);
}

std::unique_ptr<Handler> make_loader(const config::Pool& pool, const os::Identity& user) {
  return std::make_unique<Loader>(pool, user);
}

}  // namespace fpm::handlers::php
