// One door process of a pool: starting it, telling it, ending it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "fpm/master/door.hpp"
#include "fpm/policy/backoff.hpp"

namespace fpm::master {

/// The second argument of the program: whom to become. Who may connect to the pool's socket by its
/// group may do so as the door as well.
std::string door_identity(const DoorParts& parts, const Listener& pool);

/// One process, and the next one if that ends by itself.
class Door {
 public:
  /// `changed`: its memory is there.
  Door(boost::asio::io_context& io, std::shared_ptr<const DoorParts> parts,
       std::shared_ptr<Listener> pool, std::function<void()> changed)
      : name_(parts->config.name),
        parts_(std::move(parts)),
        pool_(std::move(pool)),
        changed_(std::move(changed)),
        channel_(io),
        restart_(io),
        again_(io),
        patience_(io) {}
  /// Ends the process, if there is one.
  ~Door();

  const std::string& pool() const { return name_; }
  bool alive() const { return pid_ != 0 || (!finishing_ && started_once_); }
  const scoreboard::DoorBoard& board() const { return board_; }

  void start();
  void use(std::shared_ptr<const DoorParts> parts, std::shared_ptr<Listener> pool);
  void new_log() { unsent_log_ = true; tell(); }
  /// It ends when what is under way is finished, killed after `patience`. `serve_queue`: who waits at
  /// its socket comes in first. What it was made of is let go when it knows.
  void finish(bool serve_queue, std::chrono::milliseconds patience);
  void kill();
  bool reap(const os::Exit& exit);
  bool is(pid_t pid) const { return pid_ != 0 && pid_ == pid; }

 private:
  bool open_channel(os::UniqueFd& theirs);
  void start_later(std::chrono::milliseconds delay);
  void tell();
  void let_parts_go();
  os::Result<void> send_settings();
  os::Result<void> send(const http::Message& message, std::span<const int> fds);
  void listen();
  void take_words();

  const std::string name_;
  std::shared_ptr<const DoorParts> parts_;  // nothing once it has been told to finish
  std::shared_ptr<Listener> pool_;
  const std::function<void()> changed_;
  boost::asio::posix::stream_descriptor channel_;
  boost::asio::steady_timer restart_;
  boost::asio::steady_timer again_;
  boost::asio::steady_timer patience_;
  scoreboard::DoorBoard board_;
  policy::Backoff backoff_;
  pid_t pid_ = 0;  // 0: there is none
  std::chrono::steady_clock::time_point started_{};
  bool started_once_ = false;
  bool first_ = true;  // the process has not been told anything
  bool unsent_settings_ = false;
  bool unsent_log_ = false;
  bool unsent_finish_ = false;
  bool finishing_ = false;
  bool serve_queue_ = false;
  int lines_ = 0;
  std::chrono::steady_clock::time_point lines_since_{};
};

}  // namespace fpm::master
