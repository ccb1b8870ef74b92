#include "fpm/os/fd_passing.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace fpm::os {

namespace {

/// Room for the descriptors of one packet, aligned as a cmsghdr has to be.
union Control {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int) * kMostPassed)];
};

/// Gives every descriptor of the message an owner, also those that nobody will want.
void take_descriptors(msghdr& message, Packet& packet) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      UniqueFd owned(fd);
      if (packet.fd_count < kMostPassed) packet.fds[packet.fd_count++] = std::move(owned);
    }
  }
}

}  // namespace

Result<void> send_packet(int socket, std::span<const char> bytes, std::span<const int> fds) {
  if (fds.size() > kMostPassed || bytes.empty()) return Error(EINVAL, "sendmsg");
  Control control{};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return last_error("sendmsg");
  }
  return {};
}

Result<Packet> receive_packet(int socket, std::span<char> buffer) {
  Control control{};
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t got = -1;
  do {
    got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return last_error("recvmsg");
  Packet packet;
  take_descriptors(message, packet);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Error(EMSGSIZE, "recvmsg");
  packet.size = static_cast<std::size_t>(got);
  return packet;
}

bool all_was_read(int socket) {
  int unread = 0;
  return ::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread == 0;
}

}  // namespace fpm::os
