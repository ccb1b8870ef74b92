#include "fpm/worker/access_log.hpp"

#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "fpm/log/log.hpp"

namespace fpm::worker {

namespace {

std::string_view name_of(handlers::End end) {
  switch (end) {
    case handlers::End::ok: return "ok";
    case handlers::End::timeout: return "timeout";
    case handlers::End::abort: return "abort";
    case handlers::End::failed: return "failed";
  }
  return "failed";
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
    : pool_(pool), fd_(fd), master_pid_(master_pid), pid_(::getpid()) {
  // The format was checked when the configuration was read.
  if (fd_ >= 0) format_ = log::compile_access_format(pool.access_format).format;
}

void AccessLog::begin() {
  if (fd_ >= 0) accepted_ = std::chrono::system_clock::now();
}

void AccessLog::write(const Exchange& exchange, const char* peer, handlers::End end,
                      std::uint64_t took_ns) {
  if (fd_ < 0) return;
  const fcgi::Params& params = exchange.params();
  const Lookup lookup(exchange);
  log::AccessRecord record;
  record.pool = pool_.name;
  record.remote = peer[0] == '-' ? std::string_view() : std::string_view(peer);
  record.method = params.last_non_empty("REQUEST_METHOD");
  record.uri = exchange.uri();
  record.query = params.last_non_empty("QUERY_STRING");
  record.script = exchange.script().empty() ? params.last_non_empty("SCRIPT_FILENAME")
                                            : exchange.script();
  record.user = params.last_non_empty("REMOTE_USER");
  record.end = name_of(end);
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
  const log::AccessFormat::Line line = format_.render(record, line_);
  if (line.size == 0) return;
  const ssize_t written = ::write(fd_, line_.data(), line.size);
  if (written < 0 && !failed_) {
    log::in_pool(log::Level::error, pool_.name, "write {}: {}", pool_.access_log,
                 os::errno_text(errno));
  }
  failed_ = written < 0;
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
