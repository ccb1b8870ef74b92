#include "fpm/os/listen_key.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

namespace fpm::os {

namespace {

constexpr std::uint32_t kAnyCookie = ~0U;

template <class Body>
struct Request {
  nlmsghdr header;
  Body body;
};

template <class Body>
Request<Body> make_request() {
  Request<Body> request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  return request;
}

Request<unix_diag_req> unix_request(const ListenKey& key) {
  auto request = make_request<unix_diag_req>();
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = key.inode;
  request.body.udiag_show = UDIAG_SHOW_RQLEN;
  request.body.udiag_cookie[0] = request.body.udiag_cookie[1] = kAnyCookie;
  return request;
}

/// Finds whatever listens at that address: the listener that a connection to it would reach.
Request<inet_diag_req_v2> tcp_request(const ListenKey& key) {
  auto request = make_request<inet_diag_req_v2>();
  request.body.sdiag_family = static_cast<__u8>(key.family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  request.body.id.idiag_sport = htons(key.port);
  std::memcpy(request.body.id.idiag_src, key.address.data(), key.address.size());
  request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = kAnyCookie;
  return request;
}

/// The message behind the header of a reply of `size` bytes; nullptr if it is an error or too short.
template <class Message>
const char* message_in(const char* reply, std::size_t size) {
  nlmsghdr header{};
  if (size < NLMSG_ALIGN(sizeof header) + sizeof(Message)) return nullptr;
  std::memcpy(&header, reply, sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > size) return nullptr;
  return reply + NLMSG_ALIGN(sizeof header);
}

std::optional<unsigned> unix_length(const char* reply, std::size_t size) {
  const char* message = message_in<unix_diag_msg>(reply, size);
  if (message == nullptr) return std::nullopt;
  const char* const end = reply + size;
  for (const char* at = message + NLMSG_ALIGN(sizeof(unix_diag_msg));
       at + sizeof(rtattr) <= end;) {
    rtattr attribute{};
    std::memcpy(&attribute, at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > end - at) break;
    unix_diag_rqlen length{};
    if (attribute.rta_type == UNIX_DIAG_RQLEN && attribute.rta_len >= RTA_LENGTH(sizeof length)) {
      std::memcpy(&length, at + RTA_LENGTH(0), sizeof length);
      return length.udiag_rqueue;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return std::nullopt;
}

std::optional<unsigned> tcp_length(const char* reply, std::size_t size, const ListenKey& key) {
  const char* message = message_in<inet_diag_msg>(reply, size);
  if (message == nullptr) return std::nullopt;
  inet_diag_msg found{};
  std::memcpy(&found, message, sizeof found);
  if (found.idiag_state != TCP_LISTEN || found.idiag_inode != key.inode) return std::nullopt;
  return found.idiag_rqueue;
}

/// Adds the sockets in a part of a dump. @return more parts follow.
bool take_dump(std::string_view part, std::unordered_map<std::uint32_t, unsigned>& found) {
  while (part.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, part.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > part.size()) return false;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return false;
    if (const char* message = message_in<unix_diag_msg>(part.data(), header.nlmsg_len)) {
      unix_diag_msg socket{};
      std::memcpy(&socket, message, sizeof socket);
      if (const auto length = unix_length(part.data(), header.nlmsg_len)) {
        found[socket.udiag_ino] = *length;
      }
    }
    part.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), part.size()));
  }
  return true;
}

template <class Body>
ssize_t ask(int netlink, const Request<Body>& request, char* reply, std::size_t room) {
  if (::send(netlink, &request, sizeof request, 0) < 0) return -1;
  return ::recv(netlink, reply, room, 0);
}

}  // namespace

ListenKey listen_key(int listener) {
  ListenKey key;
  struct stat status {};
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::fstat(listener, &status) < 0 || !S_ISSOCK(status.st_mode)) return key;
  if (::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) < 0) return key;
  key.inode = static_cast<std::uint32_t>(status.st_ino);
  key.family = address.ss_family;
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    key.port = ntohs(v4.sin_port);
    std::memcpy(key.address.data(), &v4.sin_addr, sizeof v4.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    key.port = ntohs(v6.sin6_port);
    std::memcpy(key.address.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  }
  return key;
}

bool ListenQueues::open() {
  if (!netlink_) {
    netlink_.reset(
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  }
  return static_cast<bool>(netlink_);
}

void ListenQueues::ask_for_all() {
  forget_all();
  auto request = unix_request({});
  request.header.nlmsg_flags |= NLM_F_DUMP;
  request.body.udiag_states = 1U << TCP_LISTEN;
  if (!open() || ::send(netlink_.get(), &request, sizeof request, 0) < 0) return;
  std::unordered_map<std::uint32_t, unsigned> found;
  std::vector<char> reply(64 * 1024);
  bool more = true;
  while (more) {
    // Each part is made in the call that takes it: there is nothing to wait for.
    const ssize_t got = ::recv(netlink_.get(), reply.data(), reply.size(), 0);
    if (got <= 0) return netlink_.reset();
    more = take_dump({reply.data(), static_cast<std::size_t>(got)}, found);
  }
  all_unix_ = std::move(found);
}

std::optional<unsigned> ListenQueues::length(const ListenKey& key) {
  if (key.inode == 0 || !open()) return std::nullopt;
  const bool tcp = key.family == AF_INET || key.family == AF_INET6;
  if (!tcp && all_unix_) {
    const auto found = all_unix_->find(key.inode);
    if (found == all_unix_->end()) return std::nullopt;
    return found->second;
  }
  alignas(nlmsghdr) char reply[2048];
  const ssize_t got = tcp ? ask(netlink_.get(), tcp_request(key), reply, sizeof reply)
                          : ask(netlink_.get(), unix_request(key), reply, sizeof reply);
  if (got <= 0) {
    netlink_.reset();  // an answer that came late must not be taken for the next one's
    return std::nullopt;
  }
  const auto size = static_cast<std::size_t>(got);
  return tcp ? tcp_length(reply, size, key) : unix_length(reply, size);
}

}  // namespace fpm::os
