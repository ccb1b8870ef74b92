#include "fpm/worker/access_log.hpp"

#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "fpm/log/log.hpp"

namespace fpm::worker {

namespace {

log::RequestEnd end_of(handlers::End end) {
  switch (end) {
    case handlers::End::ok: return log::RequestEnd::ok;
    case handlers::End::timeout: return log::RequestEnd::timeout;
    case handlers::End::abort: return log::RequestEnd::abort;
    case handlers::End::failed: return log::RequestEnd::failed;
    case handlers::End::rejected: return log::RequestEnd::rejected;
  }
  return log::RequestEnd::failed;
}

/// Parameters and response headers of an exchange, by name.
class Lookup final : public log::AccessLookup {
 public:
  explicit Lookup(const Exchange& exchange) : exchange_(exchange) {}

  std::optional<std::string_view> parameter(std::string_view name) const override {
    return exchange_.params().last(name);
  }
  std::optional<std::string_view> response_header(std::string_view name) const override {
    return exchange_.response_header(name);
  }

 private:
  const Exchange& exchange_;
};

}  // namespace

AccessLog::AccessLog(const config::Pool& pool, int fd, pid_t master_pid)
    : pool_(pool), master_pid_(master_pid), pid_(::getpid()) {
  if (fd < 0) return;
  sink_.use(os::UniqueFd(fd));
  // The format was checked when the configuration was read.
  format_ = log::compile_access_format(pool.access_format).format;
}

void AccessLog::use(os::UniqueFd fd) {
  if (!sink_ || !fd) return;
  sink_.flush();  // lines of before belong to the old file
  sink_.replace(std::move(fd));
}

void AccessLog::begin() {
  if (sink_) accepted_ = std::chrono::system_clock::now();
}

void AccessLog::write(const Exchange& exchange, const char* peer, handlers::End end,
                      std::uint64_t took_ns) {
  write(exchange, peer, end_of(end), took_ns);
}

void AccessLog::write(const Exchange& exchange, const char* peer, log::RequestEnd end,
                      std::uint64_t took_ns) {
  if (!sink_ || exchange.from_door()) return;
  const fcgi::Params& params = exchange.params();
  const Lookup lookup(exchange);
  log::AccessRecord record;
  record.pool = pool_.name;
  record.remote = peer[0] == '-' ? std::string_view() : std::string_view(peer);
  record.method = params.last_non_empty("REQUEST_METHOD");
  record.uri = exchange.uri();
  record.query = params.last_non_empty("QUERY_STRING");
  record.script = exchange.script();
  std::array<char, 128> user;
  record.user = user_of(params, user);
  record.end = log::end_name(end);
  record.status = exchange.status();
  record.content_length = parse_length(params.last_non_empty("CONTENT_LENGTH"));
  record.response_bytes = exchange.body_bytes();
  record.pid = pid_;
  record.master_pid = master_pid_;
  record.accepted = accepted_;
  record.logged = std::chrono::system_clock::now();
  record.duration = std::chrono::microseconds(static_cast<std::int64_t>(took_ns / 1000));
  record.cpu_user = exchange.usage().user;
  record.cpu_system = exchange.usage().system;
  record.memory = exchange.usage().peak_bytes;
  record.lookup = &lookup;
  if (is_suppressed(pool_.access_suppress_path, record)) return;
  const log::AccessFormat::Line line = format_.render(record, line_);
  if (line.truncated) {
    log::in_pool(log::Level::notice, pool_.name,
                 "the log buffer is full ({}). The access log request has been truncated.",
                 line_.size());
  }
  sink_.write({line_.data(), line.size});
  tell_trouble();
}

void AccessLog::tell_trouble() {
  const int problem = sink_.problem();
  if (problem != 0 && !failed_) {
    log::in_pool(log::Level::error, pool_.name, "access log {}: {}", pool_.access_log,
                 problem == EAGAIN ? "it is not read" : os::errno_text(problem));
  }
  failed_ = problem != 0;
  if (sink_.recovered()) {
    log::in_pool(log::Level::warning, pool_.name, "{} lines of the access log {} were lost",
                 sink_.take_dropped(), pool_.access_log);
  }
}

bool is_suppressed(const std::vector<std::string>& paths, const log::AccessRecord& record) {
  return (record.method == "GET" || record.method == "HEAD") && record.query.empty() &&
         record.content_length == 0 && record.status >= 200 && record.status < 300 &&
         std::find(paths.begin(), paths.end(), record.uri) != paths.end();
}

std::string_view user_of(const fcgi::Params& params, std::span<char> buffer) {
  const std::string_view user = params.last_non_empty("REMOTE_USER");
  if (!user.empty()) return user;
  constexpr std::string_view kScheme = "Basic ";
  std::string_view text = params.last_non_empty("HTTP_AUTHORIZATION");
  const std::string_view scheme = text.substr(0, kScheme.size());
  if (scheme.size() != kScheme.size() ||
      ::strncasecmp(scheme.data(), kScheme.data(), kScheme.size()) != 0) {
    return {};
  }
  text.remove_prefix(kScheme.size());
  // Base64 up to the colon: the password is never decoded.
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned bits = 0;
  int count = 0;
  std::size_t size = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == kDigits.npos) return {};
    bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    const char byte = static_cast<char>(bits >> count & 0xff);
    if (byte == ':') return {buffer.data(), size};
    if (size < buffer.size()) buffer[size++] = byte;
  }
  return {};
}

std::uint64_t parse_length(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() ? value : 0;
}

std::uint64_t cpu_permyriad(const handlers::Usage& usage, std::uint64_t took_ns) {
  if (took_ns == 0) return 0;
  const auto cpu = static_cast<std::uint64_t>((usage.user + usage.system).count());
  return cpu * 1000U * 10'000U / took_ns;
}

}  // namespace fpm::worker
