// An answer of the pool, made HTTP.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "fpm/http/connection.hpp"
#include "fpm/http/page.hpp"

namespace fpm::http {

using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr int kMostRedirects = 10;
/// A client that is slower than its script: so much is kept for it, then the script has to wait.
constexpr std::uint64_t kMostSpooled = std::uint64_t{1} << 30;

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

bool Connection::take_output(std::string_view bytes) {
  if (script_head_read_) return add_body(bytes);
  script_bytes_.append(bytes);
  const std::size_t size = script_head_size(script_bytes_, script_seen_);
  if (size == 0) {
    script_seen_ = script_bytes_.size();
    if (script_bytes_.size() > kLongestScriptHead) {
      answer_failed(502, log::RequestEnd::failed, "the head of its answer is too long");
    }
    return true;
  }
  if (!read_script_head(std::string_view(script_bytes_).substr(0, size), script_)) {
    answer_failed(502, log::RequestEnd::failed, "the head of its answer is malformed");
    return true;
  }
  script_head_read_ = true;
  const std::string rest = script_bytes_.substr(size);
  take_script_head(rest);
  return true;
}

void Connection::take_script_head(std::string_view rest) {
  if (script_.is_local_redirect()) return redirect_locally();
  if (!script_.send_file.empty()) {
    std::exchange(exchange_, nullptr)->abort();
    leave_pool();
    return send_script_file();
  }
  (void)add_body(rest);
}

/// RFC 3875 §6.2.2: as if the client had asked for that path, by GET.
void Connection::redirect_locally() {
  std::exchange(exchange_, nullptr)->abort();
  leave_pool();
  const std::string location = std::move(script_.location);
  if (++redirects_ > kMostRedirects) {
    server_.say(log::Level::error,
                fmt::format("script {}: more than {} local redirects", script_path_, kMostRedirects));
    end_ = log::RequestEnd::failed;
    return refuse(500);
  }
  if (read_target("GET", location, target_) != 0 || target_.whole_server) {
    return answer_failed(502, log::RequestEnd::failed, "it redirects to what is no path");
  }
  if (method_ != "HEAD") method_ = "GET";
  head_.length.reset();
  head_.chunked = false;
  body_.clear();
  body_size_ = 0;
  if (std::exchange(holds_file_, false)) server_.descriptors().give_back();
  choose();
}

void Connection::take_errors(std::string_view bytes) {
  if (!service_->settings.logs_errors) return;
  constexpr std::size_t kLongestLine = 1024;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::string_view line = bytes.substr(0, std::min(end, kLongestLine));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
    if (line.empty()) continue;
    server_.say_of_script(fmt::format("script {} said into stderr: \"{}\"",
                                      script_path_.empty() ? target_.path : script_path_, line));
  }
}

/// The head goes out. `total`: the size of the body, if that is known already.
void Connection::begin_answer(std::optional<std::uint64_t> total) {
  const int status = script_.status != 0 ? script_.status : script_.location.empty() ? 200 : 302;
  sends_body_ = method_ != "HEAD" && !has_no_body(status);
  const std::optional<std::uint64_t> length = script_.length ? script_.length : total;
  begin_head(status, script_.reason.empty() ? reason(status) : std::string_view(script_.reason));
  out_.append(script_.fields);
  if (has_no_body(status)) {
    framing_ = Framing::none;
  } else if (length && (sends_body_ || script_.length)) {
    framing_ = Framing::length;
    length_left_ = *length;
    add_number("Content-Length", *length);
  } else if (!sends_body_) {
    framing_ = Framing::none;
  } else if (head_.minor > 0) {
    framing_ = Framing::chunked;
    add_field("Transfer-Encoding", "chunked");
  } else {
    framing_ = Framing::until_close;
    keep_ = false;
  }
  end_head();
  fields_out_ = script_.fields;
  const std::string early = std::exchange(early_, {});
  if (!early.empty()) (void)add_body(early);
}

/// @return false: enough for now.
bool Connection::add_body(std::string_view bytes) {
  if (!head_out_) {
    early_.append(bytes);
    return true;
  }
  if (!sends_body_ || bytes.empty()) return true;
  if (framing_ == Framing::length) {
    bytes = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), length_left_));
    length_left_ -= bytes.size();
  }
  body_out_ += bytes.size();
  const auto keep = [&](std::string_view piece) {
    if (broken_) return;
    if (const auto kept = spool_.append(piece); !kept) {
      server_.say(log::Level::error, kept.error().text());
      broken_ = complete_ = true;
    }
  };
  // Without a descriptor for a file it stays in memory, and the script has to wait.
  bool enough = false;
  constexpr std::size_t kFrame = 32;  // round a chunk
  if (spool_.needs_file(bytes.size() + kFrame) && !spool_.has_file()) {
    if (server_.descriptors().try_take()) {
      spool_holds_file_ = true;
    } else {
      spool_.limit_memory(spool_.size() + bytes.size() + kFrame);
      enough = true;
    }
  }
  if (framing_ == Framing::chunked) {
    if (out_.size() - out_sent_ < 4096 && spool_.empty() && bytes.size() < 16384) {
      // Together with the head, in one system call.
      fmt::format_to(std::back_inserter(out_), "{:x}\r\n{}\r\n", bytes.size(), bytes);
    } else {
      keep(fmt::format("{:x}\r\n", bytes.size()));
      keep(bytes);
      keep("\r\n");
    }
  } else if (spool_.empty() && bytes.size() < 16384 && out_.size() - out_sent_ < 4096) {
    out_.append(bytes);
  } else {
    keep(bytes);
  }
  return !enough && spool_.size() < kMostSpooled;
}

void Connection::caught_up() {
  if (!script_head_read_ || !exchange_) return;
  if (!head_out_) begin_answer(std::nullopt);
  pump();
}

void Connection::exchange_ended(ExchangeEnd end, const std::string& why) {
  const auto self = shared_from_this();
  const bool connected = exchange_ && exchange_->connected();
  exchange_.reset();
  leave_pool();
  if (!script_head_read_) {
    if (end == ExchangeEnd::broken && connected && retry()) return;
    const bool nothing = script_bytes_.empty();
    answer_failed(502, nothing ? log::RequestEnd::worker_died : log::RequestEnd::failed,
                  end == ExchangeEnd::complete ? "it has given no answer" : why);
    return advance();
  }
  const bool whole = end == ExchangeEnd::complete;
  if (!head_out_) begin_answer(whole ? std::optional<std::uint64_t>(early_.size()) : std::nullopt);
  if (framing_ == Framing::chunked && whole) {
    if (spool_.empty()) {
      out_.append("0\r\n\r\n");
    } else {
      (void)spool_.append("0\r\n\r\n");
    }
  }
  const bool too_short = framing_ == Framing::length && sends_body_ && length_left_ > 0;
  if (!whole || too_short) {
    broken_ = true;
    end_ = log::RequestEnd::failed;
    server_.say(log::Level::warning,
                fmt::format("the answer of {} is not complete: {}",
                            script_path_.empty() ? target_.path : script_path_,
                            too_short && whole ? "it is shorter than its Content-Length" : why));
  }
  complete_ = true;
  pump();
  advance();
}

/// Asked twice, it changes no more than asked once: RFC 9110 §9.2.2.
bool Connection::may_repeat() const {
  return (method_ == "GET" || method_ == "HEAD") && !head_.has_body();
}

/// A GET or HEAD whose worker died before it said anything is tried on another one.
bool Connection::retry() {
  if (!may_repeat() || retried_ || !script_bytes_.empty()) return false;
  retried_ = true;
  server_.counters().retried.fetch_add(1, kRelaxed);
  enter_queue();
  return true;
}

/// No usable answer has come, and nothing of it has gone out.
void Connection::answer_failed(int status, log::RequestEnd end, const std::string& why) {
  server_.say(log::Level::error,
              fmt::format("{} {}: {}", method_,
                          script_path_.empty() ? target_.path : script_path_, why));
  end_ = end;
  refuse(status);
}

/// Its place is the next one's.
void Connection::leave_pool() {
  if (std::exchange(queued_, false)) (void)server_.queue().leave(id_);
  const bool place = std::exchange(holds_place_, false);
  const bool descriptor = std::exchange(holds_exchange_, false);
  if (place) server_.queue().release();
  if (descriptor) server_.descriptors().give_back();
  if (place || descriptor) server_.hand_on();
}

}  // namespace fpm::http
