#include "fpm/master/template.hpp"

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "fpm/os/fd_passing.hpp"

namespace fpm::master {

os::Result<Template> Template::start(Spawner& spawner, const WorkerPlace& place) {
  auto spawned = spawner.spawn_template(place);
  if (!spawned) return spawned.error();
  Template made;
  made.spawner_ = &spawner;
  made.pid_ = spawned->pid;
  made.channel_ = std::move(spawned->channel);
  made.out_ = std::move(spawned->out);
  made.err_ = std::move(spawned->err);
  return made;
}

Template::~Template() {
  // One that is yet to be made ends with its channel.
  if (channel_ && pid_ > 0) spawner_->signal(pid_, SIGKILL);
}

os::Result<std::uint32_t> Template::order(int slot, int channel, int out, int err) {
  Order order;
  order.number = last_order_ + 1;
  order.slot = slot;
  std::array<char, sizeof order> bytes;
  std::memcpy(bytes.data(), &order, sizeof order);
  std::array<int, 3> fds{channel, out, err};
  const std::size_t count = out >= 0 ? 3 : 1;
  if (auto sent = os::send_packet(channel_.get(), bytes, std::span(fds.data(), count)); !sent) {
    return sent.error();
  }
  return ++last_order_;
}

std::optional<News> Template::next() {
  std::array<char, std::max(sizeof(News), sizeof(SetupFailure))> packet;
  const ssize_t got = ::recv(channel_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
  lost_ = got == 0 && pid_ == 0;
  if (got == static_cast<ssize_t>(sizeof(SetupFailure))) {
    SetupFailure failure;
    const std::uint32_t magic = failure.magic;
    std::memcpy(&failure, packet.data(), sizeof failure);
    failure.step[sizeof failure.step - 1] = '\0';
    if (failure.magic == magic) failure_ = failure;
    return std::nullopt;
  }
  if (got != static_cast<ssize_t>(sizeof(News))) return std::nullopt;
  News news;
  const std::uint32_t magic = news.magic;
  std::memcpy(&news, packet.data(), sizeof news);
  if (news.magic != magic) return std::nullopt;
  if (news.kind == News::Kind::loaded) loaded_ = true;
  return news;
}

}  // namespace fpm::master
