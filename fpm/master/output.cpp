#include "fpm/master/output.hpp"

#include <unistd.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/log/output_lines.hpp"

namespace fpm::master {

namespace asio = boost::asio;

namespace {

/// One of a worker's two pipes.
class Stream {
 public:
  Stream(asio::io_context& io, const config::Pool& pool, pid_t pid, const char* name,
         os::UniqueFd fd)
      : pool_(pool),
        pid_(pid),
        name_(name),
        lines_(pid, name, log::output_decorated(pool.decorate_workers_output)),
        pipe_(io, fd.release()) {
    watch();
  }
  ~Stream() {
    // At most what a pipe can hold: a process that the worker left behind may go on writing.
    for (int pieces = 0; pieces < 16 && read_some(); ++pieces) {
    }
    lines_.close(room(), emit());
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

 private:
  void watch() {
    pipe_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](const boost::system::error_code& failure) {
                       if (failure) return;
                       // One piece, then the loop's other work: a worker that floods its output
                       // must not keep the master from its signals.
                       if (read_some() || errno == EAGAIN) watch();
                     });
  }

  /// @return there may be more; false with EAGAIN, with the end of the pipe or with an error.
  bool read_some() {
    if (!pipe_.is_open()) return false;
    std::array<char, 4096> piece;
    const ssize_t got = ::read(pipe_.native_handle(), piece.data(), piece.size());
    if (got > 0) {
      lines_.feed({piece.data(), static_cast<std::size_t>(got)}, room(), emit());
      if (log::output_unbuffered(pool_.name)) lines_.show(emit());
      return true;
    }
    if (got == 0) errno = 0;
    return false;
  }

  log::OutputRoom room() const {
    return log::output_room(pool_.name, pool_.decorate_workers_output);
  }

  log::OutputLines::Emit emit() {
    return [this](std::string_view text, log::OutputPart part) {
      log::write_output({.about = {.pool = pool_.name, .pid = pid_},
                         .stream = name_,
                         .decorated = pool_.decorate_workers_output,
                         .source = this},
                        text, part);
    };
  }

  const config::Pool& pool_;
  pid_t pid_;
  const char* name_;
  log::OutputLines lines_;
  asio::posix::stream_descriptor pipe_;
};

class Both final : public OutputWatch {
 public:
  Both(asio::io_context& io, const config::Pool& pool, pid_t pid, os::UniqueFd out,
       os::UniqueFd err)
      : out_(io, pool, pid, "stdout", std::move(out)),
        err_(io, pool, pid, "stderr", std::move(err)) {}

 private:
  Stream out_;
  Stream err_;
};

}  // namespace

std::unique_ptr<OutputWatch> watch_output(asio::io_context& io, const config::Pool& pool,
                                          pid_t pid, os::UniqueFd out, os::UniqueFd err) {
  return std::make_unique<Both>(io, pool, pid, std::move(out), std::move(err));
}

}  // namespace fpm::master
