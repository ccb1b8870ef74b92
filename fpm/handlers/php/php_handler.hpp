// The php handler: scripts run in the worker itself, by PHP as a library.
#pragma once

#include "fpm/handlers/handler.hpp"
#include "fpm/handlers/php/request.hpp"

namespace fpm::handlers::php {

class PhpHandler final : public Handler {
 public:
  /// `pool` outlives the handler; HOME and USER of scripts come from `user`.
  PhpHandler(const config::Pool& pool, os::Identity user);

  bool preloads() const override { return true; }
  bool runs_inside() const override { return true; }
  os::Result<void> load() override;
  os::Result<void> load_for_all() override;
  os::Result<void> start() override;
  Outcome handle(Exchange& exchange) override;
  std::size_t where(std::span<char> out, int depth) noexcept override;
  std::string_view page_header() const override;

 private:
  void set_environment() const;

  const config::Pool& pool_;
  const os::Identity user_;
  Request request_;
};

}  // namespace fpm::handlers::php
