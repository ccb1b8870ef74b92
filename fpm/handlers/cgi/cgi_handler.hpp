// The cgi handler: one process per request (RFC 3875).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fpm/handlers/cgi/run.hpp"
#include "fpm/handlers/cgi/script.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/os/child.hpp"

namespace fpm::handlers::cgi {

/// Runs programs, one for each request, with the request as environment and standard input and the
/// response from standard output. Its worker becomes the parent of scripts' orphans.
class CgiHandler final : public Handler {
 public:
  /// `pool` outlives the handler; HOME and USER of scripts come from `user`.
  CgiHandler(const config::Pool& pool, os::Identity user);

  os::Result<void> start() override;
  Outcome handle(Exchange& exchange) override;
  void finish(Exchange& exchange) override;

 private:
  Outcome execute(Exchange& exchange);
  Outcome refuse(Exchange& exchange, const Refusal& refusal);
  Outcome run(Exchange& exchange, const Script& script);
  Outcome not_started(Exchange& exchange, const Script& script, const os::StartError& error);

  const config::Pool& pool_;
  const os::Identity user_;
  config::Variables base_;
  std::vector<char> buffer_;
  std::unique_ptr<Run> run_;  // of the request under way
  bool told_repeated_ = false;
};

}  // namespace fpm::handlers::cgi
