// Existing FastCGI programs as they are: each worker owns one application process and relays requests to
// it, so that the program gets stages, time limits, status, recycling and reload without knowing.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "fpm/handlers/fastcgi/application.hpp"
#include "fpm/handlers/fastcgi/relay.hpp"
#include "fpm/handlers/handler.hpp"

namespace fpm::handlers::fastcgi {

class FastcgiHandler final : public Handler {
 public:
  FastcgiHandler(const config::Pool& pool, os::Identity user);

  /// Starts the application and waits until it is ready.
  os::Result<void> start() override;
  Outcome handle(Exchange& exchange) override;
  /// Ends an application that is still in the request, and waits until the next is ready.
  void finish(Exchange& exchange) override;
  bool takes_data() const override { return true; }
  bool looks_after() override;
  void look_after() override;
  bool able() const override { return application_ && application_->ready(); }
  void stop() override;
  bool needs_stop() const override { return true; }
  std::uint64_t memory() const override { return application_ ? application_->memory() : 0; }
  bool starts_slowly() const override { return true; }

 private:
  Command command() const;
  bool start_application(const Application::Until& until, Exchange* exchange);
  void note_failure(Exchange* exchange);
  void notice_end();
  bool get_ready();
  Outcome not_ready(Exchange& exchange);
  Outcome try_once(Exchange& exchange, bool& again);

  const config::Pool& pool_;
  const Habits habits_;
  const os::Identity user_;
  std::optional<Application> application_;
  os::UniqueFd kept_;  // a connection that can take the next request
  Buffers buffers_;
  bool was_up_ = false;  // the application got ready, and its end was not seen yet
  bool served_ = false;  // it was given a request since its start
  std::optional<os::Error> failure_;  // of the last start
  std::chrono::steady_clock::time_point retry_at_{};
  std::chrono::milliseconds wait_{};
};

}  // namespace fpm::handlers::fastcgi
