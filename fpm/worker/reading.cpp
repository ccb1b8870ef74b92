// How a request gets in: from the first byte to the last parameter, and what is told to those who
// send something else.
#include <sys/socket.h>

#include "fpm/log/log.hpp"
#include "fpm/worker/request_loop.hpp"

namespace fpm::worker {

/// Blocks on a kept connection. It is idle time: no request, no limit but the front's own.
/// @return something arrived.
bool Worker::wait_for_next_request() {
  pen_.enter(Stage::accepting, scoreboard::kKeptBit);
  pulse_.armed.store(1, std::memory_order_seq_cst);
  // From here on whoever leaves accept last sees `armed`; who left before is seen by this look. Even
  // then the connection is not closed: a front that has just chosen it would lose its request. The
  // master wakes this worker when somebody waits, and a draining one serves one more request here.
  if (draining() == scoreboard::Draining::no && !start_.board.anyone_accepts(start_.slot)) {
    call_master();
  }
  const Waiting waiting(Waiting::For::next_request, wire_.fd(), 0);
  Wire::Received received = Wire::Received::nothing;
  while (received == Wire::Received::nothing && !finish_asked()) {
    received = wire_.receive(true);
    log_channel_.follow(access_log_);
  }
  if (received == Wire::Received::nothing) received = wire_.receive(false);
  began_ns_ = scoreboard::monotonic_ns();
  return received == Wire::Received::bytes;
}

bool Worker::read_headers() {
  if (!first_on_connection_ && !wait_for_next_request()) return false;
  // Before the stage: who sees the stage holds the request to its limit, and without this would
  // count from the request before it and kill this worker.
  pen_.update([&](scoreboard::Pen& pen) {
    pen.number(Field::request_started_ns, began_ns_);
    pen.number(Field::request_id, 0);  // not known yet: nobody else can answer it
    pen.number(Field::connection, static_cast<std::uint64_t>(wire_.fd()));
    pen.number(Field::answer_begun, 0);
    pen.number(Field::slow_told, 0);
    pen.number(Field::expired_ns, 0);
  });
  pen_.enter(Stage::reading_headers);
  // Only now: a master that looks at once must not take this worker for an idle one.
  if (first_on_connection_) leave_accept();
  log_channel_.follow(access_log_);
  begin_ = {};
  const auto limit = static_cast<std::uint64_t>(pool_.request_header_timeout.count()) * 1'000'000U;
  const std::uint64_t deadline = limit == 0 ? 0 : began_ns_ + limit;
  const Waiting waiting(Waiting::For::headers, wire_.fd(), deadline);
  if (first_on_connection_) {
    // A client may connect long before it sends: its request begins with its first byte.
    if (!receive_more(deadline)) return false;
    began_ns_ = scoreboard::monotonic_ns();
    pen_.update([&](scoreboard::Pen& pen) { pen.number(Field::request_started_ns, began_ns_); });
  }
  for (;;) {
    const fcgi::Event event = wire_.next();
    using Kind = fcgi::Event::Kind;
    if (event.kind == Kind::params_end) return true;
    if (event.kind == Kind::bad) return refuse(event);
    if (event.kind == Kind::begin) begin_ = event;
    const bool unfit = event.kind == Kind::begin && event.role == fcgi::Role::filter &&
                       !handler_.runs_filters();
    if (unfit || event.kind == Kind::unknown_role) {
      if (!end_early(event, fcgi::ProtocolStatus::unknown_role)) return false;
    } else if (event.kind == Kind::abort) {
      if (!end_early(begin_, fcgi::ProtocolStatus::request_complete)) return false;
    }
    if (event.kind == Kind::need_more && !receive_more(deadline)) return false;
  }
}

/// A request that is ended before its parameters are complete, as the specification says, by
/// END_REQUEST alone. @return the connection stays open.
bool Worker::end_early(const fcgi::Event& begin, fcgi::ProtocolStatus status) {
  wire_.writer().end_only(begin.id, status);
  if (wire_.parser().active()) wire_.parser().request_done();
  const bool sent = wire_.send_all(as_time(scoreboard::monotonic_ns()) + std::chrono::seconds(1));
  if (sent && begin.keep_conn) return true;
  wire_.close();
  return false;
}

/// Blocks for more of a request's parameters, until `deadline_ns` (0: without limit). @return there
/// is more; else the connection is closed and, where somebody may want to know, told.
bool Worker::receive_more(std::uint64_t deadline_ns) {
  // Answers to management records, which may come before any request.
  if (wire_.send() == Wire::Sent::failed) return false;
  const Wire::Received received = wire_.receive(true);
  if (received == Wire::Received::bytes) return true;
  const bool late = deadline_ns != 0 && scoreboard::monotonic_ns() >= deadline_ns;
  if (received == Wire::Received::nothing && !late) {  // a signal for something else
    return !terminate_asked();
  }
  if (late) {
    log::in_pool(log::Level::warning, pool_.name,
                 "client {} sent no complete request within {} ms, connection closed", wire_.peer(),
                 pool_.request_header_timeout.count());
  } else if (!wire_.parser().idle()) {
    log::in_pool(log::Level::warning, pool_.name,
                 "client {} went away in the middle of a request's parameters", wire_.peer());
  }
  wire_.drop();
  return false;
}

/// What arrived cannot be read as FastCGI: one line, and an answer where one can be understood.
bool Worker::refuse(const fcgi::Event& bad) {
  log::in_pool(log::Level::warning, pool_.name, "client {}: {}, connection closed", wire_.peer(),
               bad.looks_like_http ? "speaks HTTP on a FastCGI socket" : fcgi::text(bad.reason));
  if (bad.looks_like_http) {
    static constexpr std::string_view kAnswer =
        "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        "This port speaks FastCGI, not HTTP. Point a web server at it.\n";
    (void)::send(wire_.fd(), kAnswer.data(), kAnswer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } else if (bad.reason == fcgi::BadReason::params_too_large ||
             bad.reason == fcgi::BadReason::too_many_params) {
    wire_.writer().start(begin_.id);
    wire_.writer().out(
        "Status: 431 Request Header Fields Too Large\r\nContent-Type: text/plain\r\n\r\n"
        "The request has more parameters than this server takes.\n");
    wire_.writer().end(0);
    wire_.send_all(as_time(scoreboard::monotonic_ns()) + std::chrono::seconds(1));
  }
  wire_.close();
  return false;
}

}  // namespace fpm::worker
