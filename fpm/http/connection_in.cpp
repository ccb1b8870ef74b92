// What comes from the client: the head of a request, then its body.
#include <algorithm>
#include <cerrno>

#include "fpm/http/connection.hpp"
#include "fpm/os/error.hpp"

namespace fpm::http {

using scoreboard::DoorState;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
/// Fields of one head; a table of parameters is made of them.
constexpr std::size_t kMostFields = 256;

}  // namespace

/// Looks at what has come, until more is needed. Whoever is called from here and ends a request does
/// not call it again: the loop goes on with the next one.
void Connection::advance() {
  if (advancing_) return;
  const auto self = shared_from_this();
  advancing_ = true;
  bool more = true;
  while (more && phase_ != Phase::closed) {
    if (phase_ == Phase::head) {
      more = take_head();
    } else if (phase_ == Phase::body && need_ == Need::nothing) {
      more = take_body();
    } else {
      more = false;
    }
  }
  advancing_ = false;
}

/// @return something was done, and more may be possible.
bool Connection::take_head() {
  if (in_.empty()) return false;
  if (!server_.service()) return false;
  finder_.skip_empty_line(in_);
  if (state_ == DoorState::keepalive) {
    enter(DoorState::reading);
    set_deadline(server_.service()->settings.header_timeout);
  }
  const std::size_t most = server_.service()->settings.max_header;
  const std::ptrdiff_t size = finder_.find(in_);
  if (size < 0) return refuse_head(400);
  if (size == 0 && in_.size() <= most) return false;
  if (static_cast<std::size_t>(size) > most || size == 0) {
    return refuse_head(in_.find('\n') <= most ? 431 : 414);
  }
  begin_request(static_cast<std::size_t>(size));
  return true;
}

/// Where the request ends nobody can tell: it is answered, and the connection is of no use any more.
bool Connection::refuse_head(int status) {
  service_ = server_.service();
  head_ = Head();
  head_read_ = script_head_read_ = false;
  body_size_ = 0;
  method_ = {};
  began_ = std::chrono::system_clock::now();
  began_steady_ = Clock::now();
  ++requests_;
  server_.counters().refused.fetch_add(1, kRelaxed);
  keep_ = body_read_ = false;
  end_ = status == 408 ? log::RequestEnd::timeout : log::RequestEnd::rejected;
  refuse(status);
  return false;
}

void Connection::begin_request(std::size_t head_size) {
  service_ = server_.service();
  head_bytes_.assign(in_, 0, head_size);
  in_.erase(0, head_size);
  finder_.reset();
  if (const int refused = read_head(head_bytes_, head_)) {
    refuse_head(refused);
    return;
  }
  head_read_ = true;
  began_ = std::chrono::system_clock::now();
  began_steady_ = Clock::now();
  method_ = head_.method;
  keep_ = head_.keep_alive && service_->settings.keepalive_timeout > 0 && !server_.finishing();
  ++requests_;
  body_read_ = !head_.has_body();
  body_size_ = 0;
  script_path_.clear();
  path_info_.clear();
  script_ = ScriptHead();
  spool_.limit_memory(service_->settings.body_memory);
  client_ = peer_;
  const std::string client = service_->proxies.client(peer_.address, head_);
  if (client != peer_.address) client_ = {client, 0};
  if (auto* const slot = server_.slot(slot_)) {
    slot->requests.store(requests_, kRelaxed);
    const std::string_view uri = head_.target.substr(0, head_.target.find('?'));
    scoreboard::write_words(std::string(head_.method).append(" ").append(uri), slot->request.data(),
                            slot->request.size());
  }
  if (const int refused = read_target(head_.method, head_.target, target_)) {
    keep_ = false;
    return refuse(refused);
  }
  request_path_ = target_.path;
  if (head_.fields.size() > kMostFields) {
    keep_ = false;
    return refuse(431);
  }
  const std::uint64_t most = service_->settings.max_body;
  if (most > 0 && head_.length.value_or(0) > most) return refuse(413);
  choose();
}

/// The body, for the pool: all of it is read before a worker is taken.
void Connection::begin_body() {
  if (body_read_) return body_complete();
  phase_ = Phase::body;
  enter(DoorState::body);
  set_deadline(service_->settings.read_timeout);
  body_.limit_memory(service_->settings.body_memory);
  body_left_ = head_.length.value_or(0);
  body_size_ = 0;
  chunks_.reset();
  if (head_.expects_continue && in_.empty()) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // The first bytes of an answer: the socket's buffer is empty, it takes them.
    (void)!::send(socket_.native_handle(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
  }
  advance();
}

/// @return the body is complete.
bool Connection::take_body() {
  if (in_.empty()) return false;
  set_deadline(service_->settings.read_timeout);
  if (head_.chunked) return take_chunks();
  const std::size_t size = std::min<std::uint64_t>(in_.size(), body_left_);
  if (!keep_body(std::string_view(in_).substr(0, size))) return false;
  in_.erase(0, size);
  body_left_ -= size;
  if (body_left_ > 0) return false;
  body_complete();
  return true;
}

bool Connection::take_chunks() {
  std::string_view input = in_;
  const std::uint64_t most = service_->settings.max_body;
  // The file of a large body is asked for before its bytes are taken apart.
  if (body_.needs_file(input.size()) && !holds_file_) {
    if (!server_.descriptors().take(id_)) {
      need_ = Need::body_file;
      return false;
    }
    holds_file_ = true;
  }
  while (true) {
    std::string_view data;
    switch (chunks_.next(input, data)) {
      case ChunkReader::Step::need_more:
        in_.clear();
        return false;
      case ChunkReader::Step::data:
        if (most > 0 && body_size_ + data.size() > most) {
          keep_ = false;
          refuse(413);
          return false;
        }
        if (!keep_body(data)) return false;
        break;
      case ChunkReader::Step::end:
        in_.erase(0, in_.size() - input.size());
        body_complete();
        return true;
      case ChunkReader::Step::bad:
        keep_ = false;
        server_.counters().refused.fetch_add(1, kRelaxed);
        refuse(400);
        return false;
    }
  }
}

/// @return false: it has to wait for a descriptor, and is called again with the same bytes; or it was
/// refused.
bool Connection::keep_body(std::string_view bytes) {
  if (body_.needs_file(bytes.size()) && !holds_file_) {
    if (!server_.descriptors().take(id_)) {
      need_ = Need::body_file;
      return false;
    }
    holds_file_ = true;
  }
  body_size_ += bytes.size();
  const auto kept = body_.append(bytes);
  if (kept) return true;
  server_.say(log::Level::error, kept.error().text());
  keep_ = false;
  refuse(kept.error().code == ENOSPC || kept.error().code == EDQUOT ? 507 : 500);
  return false;
}

void Connection::body_complete() {
  body_read_ = true;
  phase_ = Phase::answer;
  set_deadline(0);
  ready_ = std::chrono::system_clock::now();
  ready_steady_ = Clock::now();
  enter_queue();
}

void Connection::descriptor_free() {
  const Need need = std::exchange(need_, Need::nothing);
  switch (need) {
    case Need::nothing:
      server_.descriptors().give_back();
      return;
    case Need::route:
      holds_route_ = true;
      route();
      break;
    case Need::send_file:
      holds_route_ = true;
      send_script_file();
      break;
    case Need::exchange:
      holds_exchange_ = true;
      start_exchange();
      break;
    case Need::body_file:
      holds_file_ = true;
      break;
  }
  if (phase_ == Phase::closed) return;
  advance();
  if (phase_ == Phase::head || phase_ == Phase::body) wait_to_read();
}

}  // namespace fpm::http
