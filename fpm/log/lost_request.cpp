#include "fpm/log/lost_request.hpp"

#include <array>

#include "fpm/log/sink.hpp"

namespace fpm::log {

namespace {

/// Of the parameters the slot has the request's id alone.
class IdOnly final : public AccessLookup {
 public:
  explicit IdOnly(std::string_view id) : id_(id) {}

  std::optional<std::string_view> parameter(std::string_view name) const override {
    if (id_.empty() || name != "REQUEST_ID") return std::nullopt;
    return id_;
  }
  std::optional<std::string_view> response_header(std::string_view) const override {
    return std::nullopt;
  }

 private:
  std::string_view id_;
};

}  // namespace

AccessFormat::Line render_lost(const AccessFormat& format, const LostRequest& request,
                               std::chrono::system_clock::time_point now, std::span<char> buffer) {
  const IdOnly lookup(request.request_id);
  AccessRecord record;
  record.pool = request.pool;
  record.remote = request.remote == "-" ? std::string_view() : request.remote;
  record.method = request.method;
  record.uri = request.uri;
  record.query = request.query;
  record.script = request.script;
  record.user = request.user;
  record.end = end_name(request.end);
  record.status = request.status;
  record.content_length = request.content_length;
  record.response_bytes = request.bytes_sent;
  record.pid = request.pid;
  record.master_pid = request.master_pid;
  record.accepted = now - request.duration;
  record.logged = now;
  record.duration = request.duration;
  record.lookup = &lookup;
  return format.render(record, buffer);
}

bool write_lost_request(int fd, const AccessFormat& format, const LostRequest& request) {
  if (fd < 0) return true;
  std::array<char, 8192> buffer;
  const AccessFormat::Line line =
      render_lost(format, request, std::chrono::system_clock::now(), buffer);
  return line.size == 0 || write_once(fd, {buffer.data(), line.size});
}

}  // namespace fpm::log
