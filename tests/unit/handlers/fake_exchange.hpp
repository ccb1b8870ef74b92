// A request without a worker: raw bytes over a real socket pair instead of records.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "fpm/handlers/handler.hpp"
#include "fpm/os/fd.hpp"

namespace fpm::handlers {

class FakeExchange final : public Exchange {
 public:
  static constexpr std::size_t kRoom = 32 * 1024;
  static constexpr std::size_t kInput = 16 * 1024;

  FakeExchange() {
    auto pair = os::make_socketpair(SOCK_STREAM);
    worker_ = std::move(pair->first);
    client = std::move(pair->second);
    (void)os::set_nonblocking(worker_.get(), true);
  }

  // What a test sets, and what it finds.
  os::UniqueFd client;
  fcgi::Params parameters;
  fcgi::Role asked_role = fcgi::Role::responder;
  std::size_t body_size = 0;  // the body has ended when so many bytes are consumed
  std::chrono::steady_clock::time_point limit =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);

  std::chrono::steady_clock::time_point slow = std::chrono::steady_clock::time_point::max();
  std::vector<std::string> frames;  // of tell_slow()
  int overdue = 0;                  // calls of tell_overdue()

  const volatile sig_atomic_t* stop_now = nullptr;  // a signal handler's word: end now

  int status = 0;
  std::string header;    // of begin()
  std::string sentence;  // of answer()
  std::string errors;    // for the front's log
  std::string script;
  std::vector<std::string> lines;  // of the log
  Usage usage;

  bool logged(std::string_view part) const {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(part) != line.npos;
    });
  }
  /// Sends what is left and hangs up. For tests whose client reads in a thread of its own.
  void close() {
    (void)os::set_nonblocking(worker_.get(), false);
    while (!output_.empty() && !aborted_) pump();
    worker_.reset();
  }
  /// The body of the answer, for tests without a client thread.
  std::string received() {
    close();
    return read_all(client.get());
  }
  static std::string read_all(int fd) {
    std::string text;
    char buffer[16384];
    for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(got));
    }
    return text;
  }

  fcgi::Role role() const override { return asked_role; }
  const fcgi::Params& params() const override { return parameters; }
  std::span<const char> body() const override { return input_; }
  void consume_body(std::size_t bytes) override {
    input_.erase(0, bytes);
    consumed_ += bytes;
  }
  bool body_ended() const override { return consumed_ >= body_size; }
  bool aborted() const override { return aborted_; }
  int fd() const override { return worker_.get(); }
  short events() const override {
    if (aborted_) return 0;
    return static_cast<short>((input_.size() < kInput ? POLLIN : 0) |
                              (output_.empty() ? 0 : POLLOUT));
  }
  void pump() override { pump(POLLIN | POLLOUT); }
  void pump(short ready) override {
    if (!output_.empty()) {
      const ssize_t sent = ::send(worker_.get(), output_.data(), output_.size(), MSG_NOSIGNAL);
      if (sent > 0) output_.erase(0, static_cast<std::size_t>(sent));
      if (sent < 0 && errno == EPIPE) aborted_ = true;
    }
    if ((ready & ~POLLOUT) == 0) return;
    char buffer[kInput];
    const std::size_t space = kInput - std::min(input_.size(), kInput);
    if (space == 0) return;
    const ssize_t got = ::recv(worker_.get(), buffer, space, MSG_DONTWAIT);
    if (got > 0) input_.append(buffer, static_cast<std::size_t>(got));
    if (got == 0) aborted_ = true;
  }
  std::size_t room() const override { return kRoom - output_.size(); }
  void begin(int code, std::string_view block) override {
    if (begun_) ++misuses;
    begun_ = true;
    status = code;
    header = block;
  }
  bool begun() const override { return begun_; }
  void write(std::span<const char> bytes) override {
    if (!begun_ || bytes.size() > room()) ++misuses;
    output_.append(bytes.data(), bytes.size());
  }
  void write_error(std::string_view text) override { errors += text; }
  void answer(int code, std::string_view reason) override {
    if (begun_) ++misuses;
    begun_ = true;
    status = code;
    sentence = reason;
  }
  bool finish_answer(int) override {
    if (!begun_ || finished) ++misuses;
    finished = true;
    close();
    return !aborted_;
  }
  bool finished = false;
  std::chrono::steady_clock::time_point deadline() const override {
    return stop_now != nullptr && *stop_now ? limit.min() : limit;
  }
  std::chrono::steady_clock::time_point slow_at() const override {
    return frames.empty() ? slow : slow.max();
  }
  void tell_slow(std::span<const std::string> given) override {
    if (!frames.empty()) ++misuses;
    frames.assign(given.begin(), given.end());
  }
  void tell_overdue(std::string_view where) override {
    ++overdue;
    lines.emplace_back(where);
  }
  void set_usage(const Usage& taken) override { usage = taken; }
  void set_script(std::string_view path) override { script = path; }
  void log(log::Level, std::string_view text) override { lines.emplace_back(text); }

  int misuses = 0;  // of the contract, by the handler

 private:
  os::UniqueFd worker_;
  std::string input_, output_;
  std::size_t consumed_ = 0;
  bool begun_ = false;
  bool aborted_ = false;
};

}  // namespace fpm::handlers
