// In the place of an application that cannot be loaded.
#pragma once

#include "fpm/handlers/handler.hpp"

namespace fpm::worker {

/// Answers every request with 503, so that clients do not wait for what is not there.
class StandIn final : public handlers::Handler {
 public:
  /// As what it stands in for: the master treats its pool so.
  bool runs_inside() const override { return true; }
  os::Result<void> start() override { return {}; }
  handlers::Outcome handle(handlers::Exchange& exchange) override {
    exchange.answer(503, "The application cannot be started, please try again later.");
    return {.end = handlers::End::failed};
  }
};

}  // namespace fpm::worker
