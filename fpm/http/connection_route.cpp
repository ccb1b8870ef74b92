// What answers a request: a file, the pool, or a page of our own.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fpm/http/connection.hpp"
#include "fpm/http/dates.hpp"
#include "fpm/http/page.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::http {

using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
/// Smaller files are read into the same buffer as the head: one system call sends both.
constexpr std::uint64_t kSendfileFrom = 64 * 1024;

std::uint64_t microseconds(std::chrono::system_clock::time_point time) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

}  // namespace

/// The pool's status page and ping are for this machine alone: they tell the addresses of others'
/// requests. One that has come through a proxy is not of this machine.
bool Connection::wants_own_page() const {
  const Settings& settings = service_->settings;
  const auto names = [&](const std::string& path) { return !path.empty() && target_.path == path; };
  if (!names(settings.status_path) && !names(settings.ping_path)) return false;
  return is_this_machine(peer_.address) && is_this_machine(client_.address) &&
         !is_forwarded(head_);
}

void Connection::choose() {
  if (target_.whole_server) {
    phase_ = Phase::answer;
    begin_head(200, reason(200));
    add_field("Allow", "GET, HEAD, POST, OPTIONS");
    add_number("Content-Length", 0);
    end_head();
    complete_ = true;
    return pump();
  }
  if (wants_own_page() || service_->settings.scripts == ScriptRule::all) {
    return pass(wants_own_page() ? target_.path : std::string(), {});
  }
  if (!holds_route_ && !server_.descriptors().take(id_)) {
    need_ = Need::route;
    phase_ = Phase::answer;
    set_deadline(0);
    return enter(DoorState::queued);
  }
  holds_route_ = true;
  route();
}

void Connection::route() { answer_found(service_->site.find(target_.path)); }

void Connection::answer_found(Found found) {
  const bool reads = method_ == "GET" || method_ == "HEAD";
  switch (found.kind) {
    case Found::Kind::no_files:
      // Not the door's own limit, but the whole system's.
      return refuse(503, "Retry-After: 1\r\n");
    case Found::Kind::refused:
      if (!found.problem.empty()) server_.say(log::Level::error, found.problem);
      return refuse(found.status);
    case Found::Kind::folder:
      return reads ? redirect_to_folder() : refuse(405, "Allow: GET, HEAD\r\n");
    case Found::Kind::file:
      if (!reads) return refuse(405, "Allow: GET, HEAD\r\n");
      return serve_file(std::move(found.file), found.facts, found.path, nullptr);
    case Found::Kind::script:
      if (std::exchange(holds_route_, false)) server_.descriptors().give_back();
      return pass(std::move(found.path), std::move(found.path_info));
  }
}

void Connection::redirect_to_folder() {
  std::string location = encode_path(target_.path) + "/";
  if (target_.has_query) location.append("?").append(target_.query);
  refuse(301, fmt::format("Location: {}\r\n", location));
}

/// A page of our own about a status. What the client still sends is not read: it may be anything.
void Connection::refuse(int status, std::string_view fields) {
  const auto self = shared_from_this();
  phase_ = Phase::answer;
  if (exchange_) std::exchange(exchange_, nullptr)->abort();
  leave_pool();
  script_head_read_ = false;
  const std::string page = error_page(status);
  const bool body = method_ != "HEAD";
  begin_head(status, reason(status));
  out_.append(fields);
  add_field("Content-Type", "text/plain; charset=utf-8");
  add_number("Content-Length", page.size());
  end_head();
  if (body) {
    out_.append(page);
    body_out_ = page.size();
  }
  complete_ = true;
  pump();
}

/// `script_path` is empty where no file was looked for (http.scripts = all).
void Connection::pass(std::string script_path, std::string path_info) {
  script_path_ = std::move(script_path);
  path_info_ = std::move(path_info);
  begin_body();
}

void Connection::enter_queue() {
  switch (server_.queue().enter(id_, Clock::now())) {
    case Queue::Answer::start:
      holds_place_ = true;
      return start_exchange();
    case Queue::Answer::wait:
      queued_ = true;
      return enter(DoorState::queued);
    case Queue::Answer::full:
      server_.counters().queue_full.fetch_add(1, kRelaxed);
      end_ = log::RequestEnd::rejected;
      return refuse(503, "Retry-After: 1\r\n");
  }
}

void Connection::place_free() {
  queued_ = false;
  holds_place_ = true;
  start_exchange();
}

void Connection::waited_too_long() {
  queued_ = false;
  server_.counters().queue_timeout.fetch_add(1, kRelaxed);
  end_ = log::RequestEnd::rejected;
  refuse(503, "Retry-After: 1\r\n");
  advance();
}

void Connection::start_exchange() {
  if (!holds_exchange_ && !server_.descriptors().take(id_)) {
    need_ = Need::exchange;
    return enter(DoorState::queued);
  }
  holds_exchange_ = true;
  enter(DoorState::waiting);
  queue_wait_ =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - ready_steady_);
  server_.counters().passed.fetch_add(1, kRelaxed);
  script_bytes_.clear();
  script_seen_ = 0;
  script_head_read_ = false;
  script_ = ScriptHead();
  early_.clear();
  Passed passed;
  std::string filename;
  std::string path_info;
  const Settings& settings = service_->settings;
  const bool all = settings.scripts == ScriptRule::all && script_path_.empty();
  const std::string root = settings.root.empty() ? std::string() : service_->site.pool_path("");
  passed.head = &head_;
  passed.method = method_;
  passed.request_uri = head_.target;
  passed.query = target_.query;
  passed.root = root;
  if (all && (settings.one_program || root.empty())) {
    passed.path_info = target_.path;  // a program that knows its own paths
  } else {
    filename = service_->site.pool_path(all ? target_.path : script_path_);
    passed.script_filename = filename;
    passed.script_name = all ? std::string_view(target_.path) : std::string_view(script_path_);
    passed.path_info = path_info_;
  }
  if (head_.has_body() || head_.length) passed.length = body_size_;
  passed.local = local();
  passed.remote = client_;
  passed.authority = target_.authority.empty() ? head_.host : std::string_view(target_.authority);
  passed.secure = service_->proxies.trusts(peer_.address) &&
                  same_text(head_.field("x-forwarded-proto"), "https");
  passed.queued_at_us = microseconds(ready_);
  fcgi::Params params;
  set_parameters(passed, params);
  exchange_ = std::make_shared<Exchange>(
      server_.io(), [&server = server_] { return server.service(); }, *this, server_.links(),
      server_.buffer());
  exchange_->start(params, body_, may_repeat() && !retried_);
}

/// `script`: whose X-Sendfile it is; its fields go along.
void Connection::serve_file(os::UniqueFd file, const FileFacts& facts, const std::string& path,
                            const ScriptHead* script) {
  phase_ = Phase::answer;
  const std::string tag = entity_tag(facts);
  const bool plain = script == nullptr || script->status == 0 || script->status == 200;
  const Selection selection = plain ? select(head_, facts, tag)
                                    : Selection{.status = script->status, .range = {}};
  std::uint64_t first = 0;
  std::uint64_t size = facts.size;
  if (selection.status == 412) return refuse(412);
  if (selection.status == 416) {
    return refuse(416, fmt::format("Content-Range: bytes */{}\r\n", facts.size));
  }
  if (selection.status == 206) {
    first = selection.range.first;
    size = selection.range.last - first + 1;
  }
  begin_head(selection.status, reason(selection.status));
  if (script != nullptr) out_.append(script->fields);
  if (selection.status != 304) {
    if (script == nullptr || !script->has_content_type) {
      add_field("Content-Type", service_->types.of(path));
    }
    add_number("Content-Length", size);
  }
  add_field("Last-Modified", http_date(facts.modified));
  add_field("ETag", tag);
  add_field("Accept-Ranges", "bytes");
  if (selection.status == 206) {
    add_field("Content-Range", fmt::format("bytes {}-{}/{}", first, first + size - 1, facts.size));
  }
  end_head();
  complete_ = true;
  if (method_ == "HEAD" || selection.status == 304) size = 0;
  body_out_ = size;
  if (size >= kSendfileFrom) {
    file_ = std::move(file);
    file_offset_ = first;
    file_left_ = size;
  } else if (size > 0) {
    const std::size_t head_size = out_.size();
    out_.resize(head_size + size);
    const ssize_t count =
        ::pread(file.get(), out_.data() + head_size, size, static_cast<off_t>(first));
    const auto got = static_cast<std::size_t>(std::max<ssize_t>(count, 0));
    out_.resize(head_size + got);
    if (got < size) broken_ = true;  // it has become shorter meanwhile
  }
  if (!file_ && std::exchange(holds_route_, false)) {
    file.reset();
    server_.descriptors().give_back();
    server_.hand_on();
  }
  pump();
}

/// X-Sendfile: the script's answer has no body of its own, and its worker is free already.
void Connection::send_script_file() {
  if (!holds_route_ && !server_.descriptors().take(id_)) {
    need_ = Need::send_file;
    return enter(DoorState::queued);
  }
  holds_route_ = true;
  Found found = service_->site.find_for_script(script_.send_file);
  if (found.kind == Found::Kind::file) {
    return serve_file(std::move(found.file), found.facts, found.path, &script_);
  }
  server_.say(log::Level::error,
              fmt::format("script {} names no file of http.root in X-Sendfile", script_path_));
  end_ = log::RequestEnd::failed;
  refuse(found.status == 404 ? 404 : 500);
}

}  // namespace fpm::http
