// The process that loads an application once and forks workers from it, as the master holds it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "fpm/master/spawner.hpp"
#include "fpm/master/template_entry.hpp"

namespace fpm::master {

/// Orders go out and news come in without blocking. It knows neither pools nor slots: an order has a
/// number, and the pool that gave it finds its slot by that. When the object goes the process is killed;
/// workers that it forked live on.
class Template {
 public:
  /// Starts the process. `place`: of the generation whose workers it is to fork.
  static os::Result<Template> start(Spawner& spawner, const WorkerPlace& place);

  Template(Template&&) = default;
  Template& operator=(Template&&) = delete;
  ~Template();

  /// 0: it is a copy that is yet to be made; it tells its pid when it has loaded.
  pid_t pid() const { return pid_; }
  void is(pid_t pid) { pid_ = pid; }
  /// The copy was not made, or ended before it told its pid.
  bool lost() const { return lost_; }
  /// To be watched for reading: news, or its end.
  int channel() const { return channel_.get(); }
  /// What it prints, once, for whoever follows it; empty where it is not captured.
  os::UniqueFd take_out() { return std::move(out_); }
  os::UniqueFd take_err() { return std::move(err_); }

  /// Asks for a worker. The descriptors are borrowed; -1: none. @return the order's number. Errors:
  /// EAGAIN (it has not read what it was sent), ETOOMANYREFS: worth another try; any other: it is gone.
  os::Result<std::uint32_t> order(int slot, int channel, int out, int err);

  /// The next piece of news; nothing if there is none, or it has ended: reap() tells then.
  std::optional<News> next();
  /// It has loaded the application.
  bool loaded() const { return loaded_; }
  /// It was reaped: its pid names nobody any more.
  void ended() { channel_.reset(); }
  /// Why it could not load it, once it has said so.
  const std::optional<SetupFailure>& failure() const { return failure_; }

 private:
  Template() = default;

  Spawner* spawner_ = nullptr;
  pid_t pid_ = 0;
  os::UniqueFd channel_;
  os::UniqueFd out_;
  os::UniqueFd err_;
  std::uint32_t last_order_ = 0;
  bool loaded_ = false;
  bool lost_ = false;
  std::optional<SetupFailure> failure_;
};

}  // namespace fpm::master
