#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <ctime>
#include <optional>

#include "fpm/reporter/talk.hpp"

namespace fpm::reporter {

namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t kMostHeader = 8 * 1024;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string date() {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%a, %d %b %Y %H:%M:%S GMT}", fmt::gmtime(now));
}

class HttpTalk final : public Talk {
 public:
  explicit HttpTalk(Answer answer) : answer_(std::move(answer)) {}

  void take(std::string_view bytes) override {
    in_.append(bytes);
    read();
  }
  std::string_view pending() const override { return std::string_view(out_).substr(sent_); }
  void sent(std::size_t bytes) override {
    sent_ += bytes;
    if (sent_ < out_.size()) return;
    out_ = {};
    sent_ = 0;
    if (!over_) read();
  }
  bool over() const override { return over_; }
  bool idle() const override { return in_.empty() && !begun_ && out_.empty(); }
  std::size_t held() const override { return out_.size(); }

 private:
  using Parser = http::request_parser<http::empty_body>;

  /// Reads one request, if all of it is here.
  void read() {
    if (!parser_) {
      parser_.emplace();
      parser_->header_limit(kMostHeader);
      parser_->body_limit(boost::none);  // looked at when the header is there
      begun_ = false;
    }
    boost::system::error_code failure;
    while (!in_.empty() && !parser_->is_header_done()) {
      const std::size_t used = parser_->put(boost::asio::buffer(in_), failure);
      in_.erase(0, used);
      begun_ = begun_ || used > 0;
      if (failure == http::error::need_more) return limit_line();
      if (failure) return refuse(failure);
    }
    if (parser_->is_header_done()) respond();
  }

  /// A line that never ends is not counted by the parser as long as it is no line.
  void limit_line() {
    if (in_.size() > kMostHeader) refuse(http::error::header_limit);
  }

  void refuse(const boost::system::error_code& failure) {
    const bool large = failure == http::error::header_limit;
    Page page{.status = large ? 431 : 400,
              .body = large ? "The header is too large.\n" : "This is no HTTP request.\n"};
    send(page, false, false);
  }

  void respond() {
    const auto& request = parser_->get();
    const bool body = parser_->chunked() || parser_->content_length().value_or(0) > 0;
    const bool head = request.method() == http::verb::head;
    if (body) {
      send({.status = 413, .body = "No page here takes a body.\n"}, head, false);
    } else {
      std::string_view target = view(request.target());
      const std::size_t query = std::min(target.find('?'), target.size());
      const Ask ask{view(request.method_string()), path_of(target.substr(0, query)),
                    target.substr(std::min(query + 1, target.size()))};
      send(answer_(ask), head, request.keep_alive());
    }
    parser_.reset();
  }

  /// Proxies may send http://host/path. Source: RFC 9112 §3.2.2.
  static std::string_view path_of(std::string_view target) {
    constexpr std::string_view kScheme = "http://";
    if (target.substr(0, kScheme.size()) != kScheme) return target;
    target.remove_prefix(kScheme.size());
    const std::size_t slash = target.find('/');
    return slash == target.npos ? "/" : target.substr(slash);
  }

  void send(const Page& page, bool head, bool keep) {
    out_ = fmt::format(
        "HTTP/1.1 {} {}\r\nDate: {}\r\n{}X-Content-Type-Options: nosniff\r\n"
        "Content-Length: {}\r\nConnection: {}\r\n\r\n",
        page.status, page.reason(), date(), page.head(), page.body.size(),
        keep ? "keep-alive" : "close");
    if (!head) out_ += page.body;
    sent_ = 0;
    over_ = !keep;
  }

  const Answer answer_;
  std::string in_;
  std::string out_;
  std::size_t sent_ = 0;
  std::optional<Parser> parser_;
  bool begun_ = false;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<Talk> talk_http(Answer answer) {
  return std::make_unique<HttpTalk>(std::move(answer));
}

}  // namespace fpm::reporter
