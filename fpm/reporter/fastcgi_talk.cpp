#include <fmt/format.h>

#include <vector>

#include "fcgi/parser.hpp"
#include "fcgi/writer.hpp"
#include "fpm/reporter/talk.hpp"

namespace fpm::reporter {

namespace {

/// What a page's request may carry: nginx sends some 2 KiB.
constexpr fcgi::Limits kLimits{.param_bytes = 64 * 1024, .params = 1024};
constexpr std::size_t kBuffer = 64 * 1024;
/// Said to who asks; connections beyond are closed, the one first that was silent longest.
constexpr fcgi::Capabilities kCapabilities{.max_conns = 512, .max_reqs = 512};

class FastcgiTalk final : public Talk {
 public:
  explicit FastcgiTalk(Answer answer)
      : answer_(std::move(answer)), parser_(kLimits), buffer_(kBuffer), writer_(buffer_) {}

  void take(std::string_view bytes) override {
    in_.append(bytes);
    read();
  }
  std::string_view pending() const override { return writer_.pending(); }
  void sent(std::size_t bytes) override {
    writer_.sent(bytes);
    if (!writer_.pending().empty()) return;
    if (writer_.started()) fill();
    if (writer_.pending().empty() && !over_) read();
  }
  bool over() const override { return over_ && !writer_.started(); }
  bool idle() const override { return parser_.idle() && in_.empty() && pending().empty(); }
  std::size_t held() const override { return page_.size() + kBuffer; }

 private:
  void read() {
    std::string_view input = in_;
    // Not further while an answer has to be sent: the parser's views and ids are of one request.
    while (!over_ && writer_.pending().empty()) {
      const fcgi::Event event = parser_.next(input);
      if (event.kind == fcgi::Event::Kind::need_more) break;
      on(event);
    }
    in_.erase(0, in_.size() - input.size());
  }

  void on(const fcgi::Event& event) {
    using Kind = fcgi::Event::Kind;
    switch (event.kind) {
      case Kind::begin: keep_ = event.keep_conn; break;
      case Kind::params_end: respond(); break;
      case Kind::second_begin: writer_.cant_mpx(event.id); break;
      case Kind::unknown_role:
        writer_.end_only(event.id, fcgi::ProtocolStatus::unknown_role);
        over_ = over_ || !event.keep_conn;
        break;
      case Kind::get_values: writer_.get_values_result(parser_.asked(), kCapabilities); break;
      case Kind::unknown_type: writer_.unknown_type(event.type); break;
      case Kind::bad: over_ = true; break;
      default: break;  // bodies, and an abort of what is answered already
    }
  }

  void respond() {
    const fcgi::Params& params = parser_.params();
    const Ask ask{params.last_non_empty("REQUEST_METHOD"), params.last_non_empty("SCRIPT_NAME"),
                  params.last_non_empty("QUERY_STRING")};
    Page page = answer_(ask);
    page_.clear();
    if (page.status != 200) page_ = fmt::format("Status: {} {}\r\n", page.status, page.reason());
    page_ += page.head();
    page_ += "\r\n";
    if (ask.method != "HEAD") page_ += page.body;
    at_ = 0;
    writer_.start(parser_.id());
    parser_.request_done();
    over_ = !keep_;
    fill();
  }

  void fill() {
    at_ += writer_.out(std::string_view(page_).substr(at_, writer_.room()));
    if (at_ < page_.size()) return;
    writer_.end(0);
    page_ = {};
    at_ = 0;
  }

  const Answer answer_;
  fcgi::RequestParser parser_;
  std::vector<char> buffer_;
  fcgi::ResponseWriter writer_;
  std::string in_;
  std::string page_;
  std::size_t at_ = 0;
  bool keep_ = false;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<Talk> talk_fastcgi(Answer answer) {
  return std::make_unique<FastcgiTalk>(std::move(answer));
}

}  // namespace fpm::reporter
