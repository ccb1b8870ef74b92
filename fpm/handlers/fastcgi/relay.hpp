// One request on its way through an application.
#pragma once

#include <signal.h>
#include <time.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "fcgi/response_parser.hpp"
#include "fpm/handlers/cgi/error_lines.hpp"
#include "fpm/handlers/cgi/header.hpp"
#include "fpm/handlers/fastcgi/application.hpp"
#include "fpm/handlers/handler.hpp"
#include "fpm/os/process.hpp"

namespace fpm::handlers::fastcgi {

/// From now until `moment`, 0 if that is over; for ppoll(2).
timespec time_until(std::chrono::steady_clock::time_point moment);

/// Buffers that are made once and kept from request to request.
struct Buffers {
  std::string out;       // records on their way to the application
  std::vector<char> in;  // what came from it
  std::string held;      // of its answer, see Relay::held_until()
};

/// Moves a request, its body and its answer between a client and an application, all together and with
/// bounded memory, until END_REQUEST, the end of the application, or the request's time is up.
class Relay {
 public:
  /// What became of the application.
  enum class Left {
    idle,   ///< it can take the next request
    busy,   ///< it is still in this one, or in an unknown state: it has to be ended
    ended,  ///< it closed the connection or died in the middle
  };

  /// `connection`: to the application, borrowed; another is made in its place if it turns out to be
  /// closed. `keep`: it may be used again.
  Relay(Exchange& exchange, const config::Pool& pool, Application& application,
        os::UniqueFd& connection, bool keep, Buffers& buffers);

  /// Blocks until the request is over. Called once.
  Outcome go();

  Left left() const { return left_; }
  /// The connection can take another request. Not after a body: a program that did not read all of it
  /// would find the rest before the next request.
  bool reusable() const {
    return keep_ && left_ == Left::idle && !had_body_ && buffers_.out.empty() && parser_.reusable();
  }
  /// No byte of an answer came, the request has no body, and its method is safe: another try on a
  /// fresh process does no harm. The outcome then is none yet.
  bool may_retry() const;

 private:
  enum class Due { nothing, deadline, body };

  void compose();
  void first_exchange();
  void feed_body();
  void end_stdin();
  bool send();
  bool reconnect();
  bool receive(int flags);
  bool take_events();
  bool pass_output(std::string_view bytes);
  bool pass_pending();
  bool passed_all();
  bool begin_answer();
  Due wait_for_events();
  bool waits_for_body() const;
  bool body_is_cut() const;
  std::chrono::steady_clock::time_point wake_at() const;
  std::chrono::steady_clock::time_point held_until() const;

  Outcome finish();
  Outcome broken(std::string_view why);
  Outcome malformed();
  Outcome timed_out();
  Outcome body_missing();
  Outcome abort();
  void tell_slow();
  std::string name() const;

  Exchange& exchange_;
  const config::Pool& pool_;
  Application& application_;
  os::UniqueFd& connection_;
  const bool keep_;
  Buffers& buffers_;
  sigset_t waiting_mask_{};

  std::size_t sent_ = 0;            // of buffers_.out
  bool any_sent_ = false;
  bool stdin_ended_ = false;        // all of it is in buffers_.out
  bool data_ended_ = false;         // likewise, of a filter
  bool deaf_ = false;               // the application does not read on
  bool had_body_ = false;           // some was taken from the client
  bool any_bytes_ = false;          // something came from the application
  bool ended_ = false;              // END_REQUEST came
  bool discard_ = false;            // the client is gone
  std::uint32_t app_status_ = 0;
  fcgi::ProtocolStatus protocol_status_ = fcgi::ProtocolStatus::request_complete;
  std::string_view input_;          // of buffers_.in, not parsed yet
  std::string_view pending_;        // body of the answer that waits for room
  std::string_view reason_;         // what was bad
  std::chrono::steady_clock::time_point one_piece_until_{};  // nothing leaves before
  std::chrono::steady_clock::time_point body_moved_;
  Left left_ = Left::busy;
  fcgi::ResponseParser parser_;
  cgi::HeaderParser header_;
  cgi::ErrorLines error_lines_;
};

}  // namespace fpm::handlers::fastcgi
