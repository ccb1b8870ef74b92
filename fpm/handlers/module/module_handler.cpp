#include "fpm/handlers/module/module_handler.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <exception>

#include "fpm/handlers/cgi/environment.hpp"
#include "fpm/handlers/module/backtrace.hpp"
#include "fpm/handlers/module/request.hpp"
#include "fpm/log/text.hpp"

namespace fpm::handlers::module {

namespace {

/// Of the first interface: what a module must have at least.
constexpr std::size_t kSmallest = sizeof(Definition);

/// Calls into the module, where exceptions have to stop. @return what was thrown; empty: nothing.
template <class Call>
std::string guarded(Call&& call) {
  try {
    call();
    return {};
  } catch (const std::exception& thrown) {
    return fmt::format("it threw an exception: {}", log::printable(thrown.what()));
  } catch (...) {
    return "it threw an exception";
  }
}

}  // namespace

/// What load() and start() are given, and what they said.
struct ModuleHandler::Setup : fpm_setup {
  const config::Pool* config = nullptr;
  mutable std::string reason;
};

ModuleHandler::ModuleHandler(const config::Pool& pool, const os::Identity& user)
    : pool_(pool), user_(user) {}

std::string ModuleHandler::name() const {
  return fmt::format("module {}", log::printable(pool_.module_path));
}

os::Result<void> ModuleHandler::load() {
  set_environment();
  prepare_backtrace();
  if (auto done = open(); !done) return done;
  if (module_->load == nullptr) return {};
  const Setup setup = make_setup();
  int result = 0;
  const std::string thrown = guarded([&] { result = module_->load(&setup, &shared_); });
  if (!thrown.empty()) return os::Error(0, fmt::format("{}: load(): {}", name(), thrown));
  return fail(setup, "load()", result);
}

/// As programs of other handlers get it.
void ModuleHandler::set_environment() const {
  const auto base = cgi::base_environment(pool_, user_.home, user_.name, ::environ);
  ::clearenv();
  for (const auto& [name, value] : base) ::setenv(name.c_str(), value.c_str(), 1);
}

os::Result<void> ModuleHandler::open() {
  ::dlerror();
  void* const object = ::dlopen(pool_.module_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    const char* const why = ::dlerror();
    return os::Error(0, fmt::format("{}: {}", name(),
                                    log::printable(why != nullptr ? why : "cannot be loaded")));
  }
  const auto* const module = static_cast<const Definition*>(::dlsym(object, "fpm_module"));
  if (module == nullptr) {
    return os::Error(0, fmt::format("{} is no module for fpm: it has no symbol fpm_module", name()));
  }
  if (auto done = check(*module); !done) return done;
  module_ = module;
  return {};
}

os::Result<void> ModuleHandler::check(const Definition& module) const {
  if (module.interface != FPM_MODULE_INTERFACE) {
    return os::Error(0, fmt::format("{} was built for interface {} of modules, this fpm has {}", name(),
                                    module.interface, FPM_MODULE_INTERFACE));
  }
  if (module.size < kSmallest) {
    return os::Error(0, fmt::format("{} has {} bytes in fpm_module, {} are expected", name(),
                                    module.size, kSmallest));
  }
  if (module.handle == nullptr) {
    return os::Error(0, fmt::format("{} has no function handle", name()));
  }
  return {};
}

ModuleHandler::Setup ModuleHandler::make_setup() {
  Setup setup;
  setup.interface = FPM_MODULE_INTERFACE;
  setup.size = sizeof(fpm_setup);
  setup.pool = pool_.name.c_str();
  setup.option = option;
  setup.option_at = option_at;
  setup.fail = keep_reason;
  setup.config = &pool_;
  return setup;
}

const char* ModuleHandler::option(const fpm_setup* setup, const char* name) {
  const auto& options = static_cast<const Setup*>(setup)->config->module_options;
  for (auto one = options.rbegin(); one != options.rend(); ++one) {
    if (one->first == name) return one->second.c_str();
  }
  return nullptr;
}

int ModuleHandler::option_at(const fpm_setup* setup, std::size_t index, const char** name,
                             const char** value) {
  const auto& options = static_cast<const Setup*>(setup)->config->module_options;
  if (index >= options.size()) return 0;
  *name = options[index].first.c_str();
  *value = options[index].second.c_str();
  return 1;
}

void ModuleHandler::keep_reason(const fpm_setup* setup, const char* why) {
  static_cast<const Setup*>(setup)->reason = log::printable(why != nullptr ? why : "", 300);
}

os::Result<void> ModuleHandler::fail(const Setup& setup, std::string_view step, int result) const {
  if (result == 0) return {};
  return os::Error(0, fmt::format("{}: {} failed with {}{}{}", name(), step, result,
                                  setup.reason.empty() ? "" : ": ", setup.reason));
}

os::Result<void> ModuleHandler::start() {
  started_ = true;
  worker_ = shared_;
  if (module_->start == nullptr) return {};
  const Setup setup = make_setup();
  int result = 0;
  const std::string thrown = guarded([&] { result = module_->start(&setup, shared_, &worker_); });
  if (!thrown.empty()) return os::Error(0, fmt::format("{}: start(): {}", name(), thrown));
  return fail(setup, "start()", result);
}

void ModuleHandler::stop() {
  if (!started_ || module_->stop == nullptr) return;
  (void)guarded([&] { module_->stop(worker_); });
}

Outcome ModuleHandler::handle(Exchange& exchange) {
  exchange.set_script(pool_.module_path);
  Request request(exchange, pool_);
  int result = 0;
  const std::string thrown = guarded([&] { result = module_->handle(&request, worker_); });
  if (thrown.empty()) return request.conclude(result);
  exchange.log(log::Level::error, fmt::format("{} answered nothing more: {}", name(), thrown));
  return request.conclude(-1);
}

std::size_t ModuleHandler::where(std::span<char> out, int depth) noexcept {
  if (module_->where != nullptr) {
    const std::size_t size = module_->where(worker_, out.data(), out.size(), depth);
    if (size > 0) return std::min(size, out.size());
  }
  return backtrace(out, depth);
}

}  // namespace fpm::handlers::module
