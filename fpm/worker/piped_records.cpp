#include "fpm/worker/piped_records.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fcgi/writer.hpp"

namespace fpm::worker {
namespace {

// Whole pages of the usual size, of which a pipe holds sixteen.
constexpr std::size_t kContent = 15 * 4096;
// About what a socket's buffer takes at once (net.core.wmem_default).
constexpr std::size_t kFramed = 256 * 1024;

}  // namespace

// A pipe holds so many pieces, whatever their sizes. All of content_ has to fit into framed_ behind a head.
bool PipedRecords::prepare() {
  if (most_records_ > 0) return true;
  if (unfit_) return false;
  auto content = os::make_pipe(O_NONBLOCK);
  auto framed = os::make_pipe(O_NONBLOCK);
  if (!content || !framed) return false;
  const std::size_t record = os::pipe_size(content->write.get());
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  most_records_ = record == 0 ? 0 : os::widen_pipe(framed->write.get(), kFramed) / (record + page);
  if (most_records_ == 0) return false;  // the user has too many pipes, just now
  content_ = std::move(*content);
  framed_ = std::move(*framed);
  return true;
}

std::size_t PipedRecords::take(int from, std::size_t most, std::uint16_t id) {
  if (!prepare() || records_ == most_records_) return 0;
  const ssize_t got = ::splice(from, nullptr, content_.write.get(), nullptr, std::min(most, kContent),
                               SPLICE_F_NONBLOCK);
  if (got <= 0) {
    unfit_ = got < 0 && errno != EAGAIN && errno != EINTR;
    return 0;
  }
  const auto bytes = static_cast<std::size_t>(got);
  char head[fcgi::kHeaderSize];
  fcgi::encode_record_header(fcgi::RecordType::stdout_stream, id, bytes, head);
  (void)!::write(framed_.write.get(), head, sizeof head);  // there is room
  for (std::size_t left = bytes; left > 0;) {
    const ssize_t moved = ::splice(content_.read.get(), nullptr, framed_.write.get(), nullptr, left,
                                   SPLICE_F_NONBLOCK);
    if (moved > 0) left -= static_cast<std::size_t>(moved);
    if (moved == 0 || (moved < 0 && errno != EINTR)) {
      broken_ = true;  // a head is there without all of its content: nothing can follow it
      break;
    }
  }
  pending_ += sizeof head + bytes;
  ++records_;
  return bytes;
}

bool PipedRecords::send(int socket) {
  if (broken_) return false;
  const os::NonBlocking scope(socket);  // splice(2) knows no MSG_DONTWAIT
  while (pending_ > 0) {
    const ssize_t sent =
        ::splice(framed_.read.get(), nullptr, socket, nullptr, pending_, SPLICE_F_NONBLOCK);
    if (sent <= 0) return sent < 0 && (errno == EAGAIN || errno == EINTR);
    pending_ -= static_cast<std::size_t>(sent);
  }
  records_ = 0;
  return true;
}

void PipedRecords::close() {
  if (most_records_ == 0) return;
  content_ = {};
  framed_ = {};
  pending_ = records_ = most_records_ = 0;
  broken_ = false;
}

}  // namespace fpm::worker
