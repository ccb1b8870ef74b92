#include "fpm/os/socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>

namespace fpm::os {

namespace {

/// The file mode creation mask, set for the life of the object.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ENAMETOOLONG, fmt::format("bind {} ({} bytes, {} are possible)", path, path.size(),
                                           sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool somebody_listens(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return true;
  }
  return errno == EAGAIN;  // its queue is full, so it has one
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path, int backlog, const SocketFile& file) {
  const auto address = unix_address(path);
  if (!address) return address.error();
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) {
      return Error{EEXIST, fmt::format("bind {} (it is there and no socket)", path)};
    }
    if (somebody_listens(*address)) {
      return Error{EADDRINUSE, fmt::format("another process listens on {}", path)};
    }
    ::unlink(path.c_str());
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  {
    const Umask mask(static_cast<mode_t>(0777) & ~file.mode);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) < 0) {
      return last_error(fmt::format("bind {}", path));
    }
  }
  const bool own = file.uid != static_cast<uid_t>(-1) || file.gid != static_cast<gid_t>(-1);
  if (own && ::chown(path.c_str(), file.uid, file.gid) < 0) {
    Error error = last_error(fmt::format("chown {}", path));
    ::unlink(path.c_str());
    return error;
  }
  if (::listen(fd.get(), backlog) < 0) return last_error(fmt::format("listen {}", path));
  return fd;
}

namespace {

/// A folder that only we may enter, for the moment in which a socket has a name.
struct TemporaryFolder {
  std::string path = "/tmp/fpm-socket-XXXXXX";
  bool made = false;
  TemporaryFolder() { made = ::mkdtemp(path.data()) != nullptr; }
  ~TemporaryFolder() {
    if (made) ::rmdir(path.c_str());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

}  // namespace

Result<HiddenSocket> listen_hidden(int backlog, const SocketFile& file) {
  const TemporaryFolder folder;
  if (!folder.made) return last_error("mkdtemp " + folder.path);
  const std::string path = folder.path + "/s";
  auto listener = listen_unix(path, backlog, file);
  if (!listener) return listener.error();
  auto place = open_place(path);
  ::unlink(path.c_str());
  if (!place) return place.error();
  return HiddenSocket{std::move(*listener), std::move(*place)};
}

Result<UniqueFd> open_place(const std::string& path) {
  UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return last_error("open " + path);
  return place;
}

sockaddr_un place_address(int place) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}", place);
  return address;
}

unsigned short bound_port(int socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &length) < 0) return 0;
  if (bound.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(bound).sin_port);
  if (bound.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(bound).sin6_port);
  return 0;
}

Result<void> set_socket_file(const std::string& path, const SocketFile& file) {
  const bool own = file.uid != static_cast<uid_t>(-1) || file.gid != static_cast<gid_t>(-1);
  if (own && ::chown(path.c_str(), file.uid, file.gid) < 0) {
    return last_error(fmt::format("chown {}", path));
  }
  if (::chmod(path.c_str(), file.mode) < 0) return last_error(fmt::format("chmod {}", path));
  return {};
}

Result<void> set_backlog(int listener, int backlog) {
  if (::listen(listener, backlog) < 0) return last_error("listen");
  return {};
}

Result<void> drop_new_connections(int listener) {
  // The filter of a TCP socket sees the packet from the TCP header on: RFC 9293 §3.1.
  constexpr std::uint32_t kFlags = 13;
  constexpr std::uint32_t kSynAndAck = 0x12;
  constexpr std::uint32_t kSyn = 0x02;
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kSynAndAck),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSyn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  };
  const sock_fprog program{.len = static_cast<unsigned short>(std::size(steps)), .filter = steps};
  if (::setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) {
    return last_error("setsockopt(SO_ATTACH_FILTER)");
  }
  return {};
}

namespace {

struct AddressListDeleter {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

Result<UniqueFd> listen_at(const addrinfo& address, int backlog, const std::string& text) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int off = 0;
  if (address.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) < 0) {
    return last_error(fmt::format("bind {}", text));
  }
  if (::listen(fd.get(), backlog) < 0) return last_error(fmt::format("listen {}", text));
  return fd;
}

}  // namespace

Result<UniqueFd> listen_tcp(const std::string& host, unsigned short port, int backlog) {
  if (host.empty()) {
    auto both = listen_tcp("::", port, backlog);
    if (both || both.error().code == EADDRINUSE) return both;
    return listen_tcp("0.0.0.0", port, backlog);
  }
  const std::string text = host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                                               : fmt::format("[{}]:{}", host, port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) {
    return Error{EADDRNOTAVAIL, fmt::format("resolve {}: {}", host, ::gai_strerror(failure))};
  }
  const std::unique_ptr<addrinfo, AddressListDeleter> list(found);
  return listen_at(*list, backlog, text);
}

int asked_backlog(int backlog) {
  return backlog < 0 ? std::numeric_limits<int>::max() : backlog;
}

int effective_backlog(int backlog) {
  int limit = SOMAXCONN;
  std::ifstream file("/proc/sys/net/core/somaxconn");
  file >> limit;
  return backlog < 0 ? limit : std::min(backlog, limit);
}

std::optional<FileId> file_id(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) < 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

void unlink_if_same(const std::string& path, const FileId& id) {
  if (file_id(path) == id) ::unlink(path.c_str());
}

namespace {

std::optional<unsigned> tcp_queue_length(int listener) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return std::nullopt;
  if (info.tcpi_state != TCP_LISTEN) return std::nullopt;
  return info.tcpi_unacked;
}

struct UnixDiagRequest {
  nlmsghdr header;
  unix_diag_req body;
};

std::optional<unsigned> parse_queue_length(const char* reply, std::size_t size) {
  nlmsghdr header{};
  if (size < sizeof header + sizeof(unix_diag_msg)) return std::nullopt;
  std::memcpy(&header, reply, sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || header.nlmsg_len > size) return std::nullopt;
  std::size_t at = NLMSG_ALIGN(sizeof header) + NLMSG_ALIGN(sizeof(unix_diag_msg));
  while (at + sizeof(rtattr) <= header.nlmsg_len) {
    rtattr attribute{};
    std::memcpy(&attribute, reply + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > size) break;
    if (attribute.rta_type == UNIX_DIAG_RQLEN &&
        attribute.rta_len >= sizeof attribute + sizeof(unix_diag_rqlen)) {
      unix_diag_rqlen length{};
      std::memcpy(&length, reply + at + RTA_ALIGN(sizeof attribute), sizeof length);
      return length.udiag_rqueue;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return std::nullopt;
}

std::optional<unsigned> unix_queue_length(int listener) {
  pollfd anybody{listener, POLLIN, 0};
  if (::poll(&anybody, 1, 0) == 0) return 0;
  struct stat status {};
  if (::fstat(listener, &status) < 0) return std::nullopt;
  const UniqueFd netlink(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!netlink) return std::nullopt;
  UnixDiagRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = static_cast<unsigned>(status.st_ino);
  request.body.udiag_show = UDIAG_SHOW_RQLEN;
  request.body.udiag_cookie[0] = ~0U;
  request.body.udiag_cookie[1] = ~0U;
  if (::send(netlink.get(), &request, sizeof request, 0) < 0) return std::nullopt;
  char reply[1024];
  const ssize_t size = ::recv(netlink.get(), reply, sizeof reply, 0);
  if (size <= 0) return std::nullopt;
  return parse_queue_length(reply, static_cast<std::size_t>(size));
}

}  // namespace

std::optional<unsigned> listen_queue_length(int listener) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (::getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0) return std::nullopt;
  return domain == AF_UNIX ? unix_queue_length(listener) : tcp_queue_length(listener);
}

void peer_text(const sockaddr_storage& peer, char (&text)[46]) {
  text[0] = '-';
  text[1] = '\0';
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (peer.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(peer);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
    } else {
      ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    }
  }
}

}  // namespace fpm::os
