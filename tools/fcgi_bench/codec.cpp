#include "tools/fcgi_bench/codec.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <charconv>

#include "fcgi/request.hpp"
#include "fcgi/response_parser.hpp"

namespace fcgi_bench {

namespace {

bool has_body(const std::string& method) { return method == "POST" || method == "PUT"; }

/// What nginx sends with Debian's fastcgi.conf for a browser's request: 26 parameters.
std::string fastcgi_request(const Options& options, const std::string& method) {
  const std::size_t mark = options.uri.find('?');
  const std::string path = options.uri.substr(0, mark);
  const std::string query = mark == std::string::npos ? "" : options.uri.substr(mark + 1);
  const std::size_t body = has_body(method) ? options.body : 0;
  std::vector<std::pair<std::string, std::string>> params{
      {"QUERY_STRING", query}, {"REQUEST_METHOD", method},
      {"CONTENT_TYPE", body > 0 ? "application/octet-stream" : ""},
      {"CONTENT_LENGTH", body > 0 ? std::to_string(body) : ""}, {"SCRIPT_NAME", path},
      {"REQUEST_URI", options.uri}, {"DOCUMENT_URI", path}, {"DOCUMENT_ROOT", "/var/www/html"},
      {"SERVER_PROTOCOL", "HTTP/1.1"}, {"REQUEST_SCHEME", "http"}, {"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_SOFTWARE", "nginx/1.22.1"}, {"REMOTE_ADDR", "127.0.0.1"}, {"REMOTE_PORT", "41234"},
      {"REMOTE_USER", ""}, {"SERVER_ADDR", "127.0.0.1"}, {"SERVER_PORT", "80"},
      {"SERVER_NAME", "localhost"}, {"REDIRECT_STATUS", "200"},
      {"SCRIPT_FILENAME", "/var/www/html" + path}, {"HTTP_HOST", "localhost"},
      {"HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
      {"HTTP_ACCEPT", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
      {"HTTP_ACCEPT_LANGUAGE", "en-US,en;q=0.5"}, {"HTTP_ACCEPT_ENCODING", "gzip, deflate, br"},
      {"HTTP_CONNECTION", "keep-alive"}};
  for (const auto& [name, value] : options.params) {
    std::erase_if(params, [&name = name](const auto& one) { return one.first == name; });
    params.emplace_back(name, value);
  }
  fcgi::Params all;
  for (const auto& [name, value] : params) all.add(name, value);
  std::string bytes;
  fcgi::append_begin(bytes, 1, fcgi::Role::responder, options.keep);
  fcgi::append_params(bytes, 1, all);
  fcgi::append_stdin(bytes, 1, std::string(body, 'x'));
  fcgi::append_stdin_end(bytes, 1);
  return bytes;
}

std::string http_request(const Options& options, const std::string& method) {
  const std::size_t body = has_body(method) ? options.body : 0;
  std::string bytes = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, options.uri);
  if (has_body(method)) bytes += fmt::format("Content-Length: {}\r\n", body);
  if (!options.keep) bytes += "Connection: close\r\n";
  for (const auto& [name, value] : options.params) bytes += fmt::format("{}: {}\r\n", name, value);
  return bytes + "\r\n" + std::string(body, 'x');
}

int number_after(std::string_view text, std::size_t at) {
  int number = 0;
  while (at < text.size() && text[at] == ' ') ++at;
  std::from_chars(text.data() + at, text.data() + text.size(), number);
  return number;
}

/// A CGI answer: 200 unless it has a Status.
class FastcgiReader final : public Reader {
 public:
  explicit FastcgiReader(bool wants_text) : wants_text_(wants_text) {}

  void start(bool fresh) override {
    if (fresh || !parser_.reusable()) {
      parser_.reset(1);
    } else {
      parser_.next_request(1);
    }
  }

  void feed(std::string_view bytes, Answer& answer) override {
    using Kind = fcgi::ResponseEvent::Kind;
    answer.begun = true;
    for (;;) {
      const fcgi::ResponseEvent event = parser_.next(bytes);
      if (event.kind == Kind::need_more) return;
      if (event.kind == Kind::bad) {
        answer.bad = true;
        return;
      }
      if (event.kind == Kind::out_bytes) take_output(event.bytes, answer);
      if (event.kind == Kind::end) finish(event, answer);
    }
  }

  void end(Answer&) override {}

 private:
  void take_output(std::string_view bytes, Answer& answer) const {
    if (answer.head.size() < 64) answer.head += bytes.substr(0, 64 - answer.head.size());
    if (wants_text_) answer.text += bytes;
  }
  void finish(const fcgi::ResponseEvent& event, Answer& answer) const {
    answer.complete = !answer.head.empty() &&
                      event.protocol_status == fcgi::ProtocolStatus::request_complete;
    answer.bad = !answer.complete;
    answer.status = answer.head.starts_with("Status:") ? number_after(answer.head, 7) : 200;
    // A server that cut its answer says so by its exit status.
    if (event.app_status != 0 && answer.status < 500) answer.bad = true;
    answer.keep = parser_.reusable();
  }

  bool wants_text_;
  fcgi::ResponseParser parser_;
};

class HttpReader final : public Reader {
 public:
  explicit HttpReader(bool wants_text) : wants_text_(wants_text) {}

  void start(bool) override {
    head_.clear();
    in_body_ = chunked_ = until_end_ = closes_ = false;
    left_ = 0;
    tail_.clear();
  }

  void feed(std::string_view bytes, Answer& answer) override {
    answer.begun = true;
    if (!in_body_) {
      head_ += bytes;
      const std::size_t end = head_.find("\r\n\r\n");
      if (end == std::string::npos) {
        answer.bad = head_.size() > 64 * 1024;
        return;
      }
      const std::string rest = head_.substr(end + 4);
      head_.resize(end + 2);
      take_head(answer);
      in_body_ = true;
      take_body(rest, answer);
      return;
    }
    take_body(bytes, answer);
  }

  void end(Answer& answer) override {
    if (in_body_ && until_end_) answer.complete = true;
  }

 private:
  void take_head(Answer& answer) {
    answer.status = number_after(head_, 9);
    const std::string length = field("Content-Length");
    chunked_ = field("Transfer-Encoding") == "chunked";
    closes_ = field("Connection") == "close";
    until_end_ = !chunked_ && length.empty();
    if (!length.empty()) left_ = std::stoull("0" + length);
  }

  std::string field(std::string_view name) const {
    for (std::size_t at = head_.find("\r\n"); at + 2 < head_.size(); at = head_.find("\r\n", at + 2)) {
      const std::size_t begin = at + 2;
      const std::size_t colon = head_.find(':', begin);
      const std::size_t end = head_.find("\r\n", begin);
      if (colon == head_.npos || end == head_.npos || colon > end) continue;
      if (colon - begin == name.size() && ::strncasecmp(&head_[begin], name.data(), name.size()) == 0) {
        const std::size_t value = head_.find_first_not_of(' ', colon + 1);
        return head_.substr(value, end - value);
      }
    }
    return {};
  }

  void take_body(std::string_view bytes, Answer& answer) {
    if (wants_text_) answer.text += bytes;
    if (chunked_) {
      // The last chunk is all that has to be found: lengths are the web server's to keep.
      tail_ += bytes;
      if (tail_.size() > 7) tail_.erase(0, tail_.size() - 7);
      answer.complete = tail_ == "\r\n0\r\n\r\n" || tail_ == "0\r\n\r\n";
    } else if (!until_end_) {
      left_ -= std::min<std::uint64_t>(left_, bytes.size());
      answer.complete = left_ == 0;
    }
    answer.keep = answer.complete && !closes_;
  }

  bool wants_text_;
  std::string head_;
  bool in_body_ = false, chunked_ = false, until_end_ = false, closes_ = false;
  std::uint64_t left_ = 0;
  std::string tail_;
};

}  // namespace

std::vector<std::string> encode_requests(const Options& options) {
  std::vector<std::string> all;
  for (const Kind& kind : options.mix) {
    all.push_back(options.http ? http_request(options, kind.method)
                               : fastcgi_request(options, kind.method));
  }
  return all;
}

std::unique_ptr<Reader> make_reader(const Options& options) {
  const bool text = !options.expect.empty();
  if (options.http) return std::make_unique<HttpReader>(text);
  return std::make_unique<FastcgiReader>(text);
}

}  // namespace fcgi_bench
