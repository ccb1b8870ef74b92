// A request as a module sees it: the functions of fpm/module.h over an Exchange.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "fpm/handlers/blocking.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/module.h"

namespace fpm::handlers::module {

/// Lives while the module's handle() runs. Allocates nothing.
class Request final : public fpm_request {
 public:
  Request(Exchange& exchange, const config::Pool& pool);

  /// handle() has returned `result`: completes the answer.
  Outcome conclude(int result);

 private:
  static const fpm_functions kFunctions;
  static Request& of(fpm_request* request) { return *static_cast<Request*>(request); }

  int set_status(int code, const char* reason);
  int add_header(std::string_view name, std::string_view value);
  fpm_text next_piece();
  std::ptrdiff_t read(std::span<char> buffer);
  void give_back();
  bool begin();
  int write(std::string_view bytes);
  bool append(std::string_view text);
  bool client_stays();

  static constexpr std::size_t kHeader = 16 * 1024;

  Exchange& exchange_;
  Blocking blocking_;
  const bool goes_on_;  // when the client has gone
  std::size_t lent_ = 0;  // of the body, to the module
  bool finished_ = false;
  bool has_type_ = false;
  int status_ = 200;
  std::array<char, 64> reason_;
  std::size_t reason_length_ = 0;
  std::size_t length_ = 0;  // of header_
  std::array<char, kHeader> header_;
};

}  // namespace fpm::handlers::module
