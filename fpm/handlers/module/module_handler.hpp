// Requests answered by a shared object in the worker itself (fpm/module.h).
#pragma once

#include <optional>
#include <string>

#include "fpm/handlers/handler.hpp"
#include "fpm/module.h"

namespace fpm::handlers::module {

/// What a module exports. The object of the same name hides the type.
using Definition = struct ::fpm_module;

/// Loads the module once, for all workers that are forked from the process it did it in.
class ModuleHandler final : public Handler {
 public:
  /// `pool` outlives it. `user`: whose HOME and USER the module finds in its environment.
  ModuleHandler(const config::Pool& pool, const os::Identity& user);

  bool preloads() const override { return true; }
  bool runs_inside() const override { return true; }
  os::Result<void> load() override;
  os::Result<void> start() override;
  void stop() override;
  Outcome handle(Exchange& exchange) override;
  std::size_t where(std::span<char> out, int depth) noexcept override;

 private:
  struct Setup;

  os::Result<void> open();
  os::Result<void> check(const Definition& module) const;
  void set_environment() const;
  std::string name() const;
  Setup make_setup();
  os::Result<void> fail(const Setup& setup, std::string_view step, int result) const;
  static const char* option(const fpm_setup* setup, const char* name);
  static int option_at(const fpm_setup* setup, std::size_t index, const char** name,
                       const char** value);
  static void keep_reason(const fpm_setup* setup, const char* why);

  const config::Pool& pool_;
  const os::Identity user_;
  const Definition* module_ = nullptr;
  void* shared_ = nullptr;  // what load() gave
  void* worker_ = nullptr;  // what start() gave, or that
  bool started_ = false;
};

}  // namespace fpm::handlers::module
