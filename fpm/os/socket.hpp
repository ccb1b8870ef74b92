// Listening sockets, their queues, and who is at the other end.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <optional>
#include <string>

#include "fpm/os/fd.hpp"

namespace fpm::os {

/// Owner and mode of a UNIX socket's file. -1 leaves an id as it is.
struct SocketFile {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  mode_t mode = 0660;
};

/// Listens on `path`, blocking, close-on-exec. A file left by a process that has ended is replaced;
/// one on which somebody listens is not.
/// Errors: EADDRINUSE "another process listens on PATH", ENAMETOOLONG, those of bind(2), chown(2).
/// Source: unix(7).
Result<UniqueFd> listen_unix(const std::string& path, int backlog, const SocketFile& file);

/// A listening UNIX socket that has no name: it is reached through a descriptor of its file.
struct HiddenSocket {
  UniqueFd listener;
  UniqueFd place;  ///< O_PATH; who holds it, and may write to the file, connects: connect_hidden()
};
/// For the moment of its making it has a name in a folder of /tmp that only we may enter.
/// Errors: those of mkdtemp(3), bind(2), chown(2).
Result<HiddenSocket> listen_hidden(int backlog, const SocketFile& file);
/// The place of a socket that has a path. Errors: those of open(2).
Result<UniqueFd> open_place(const std::string& path);
/// The address of a place, for connect(2). Source: proc(5), /proc/self/fd.
sockaddr_un place_address(int place);

/// The port that a TCP socket is bound to; 0 for others.
unsigned short bound_port(int socket);

/// Gives a socket's file another owner and mode. Errors: those of chown(2) and chmod(2).
Result<void> set_socket_file(const std::string& path, const SocketFile& file);
/// Another backlog for a socket that listens already. Source: listen(2).
Result<void> set_backlog(int listener, int backlog);

/// New connections to a listening TCP socket are dropped, as if they had not arrived, so that the client
/// asks again; those in the queue and those whose handshake has begun are not touched. Holds for all who
/// have the socket, and for good. Errors: those of setsockopt(2). Source: socket(7) SO_ATTACH_FILTER.
Result<void> drop_new_connections(int listener);

/// Listens on host:port over TCP with SO_REUSEADDR. `host` is a literal address, a name (the first
/// address that it has), or empty: [::] with both families, else 0.0.0.0. Blocks on name service
/// for names only. Source: tcp(7), ipv6(7).
Result<UniqueFd> listen_tcp(const std::string& host, unsigned short port, int backlog);

/// What to give to listen(2) for a backlog from a configuration, which is negative for as much as there may
/// be: the kernel cuts it to net.core.somaxconn.
int asked_backlog(int backlog);

/// How long a listen queue becomes with that backlog: the system's limit (net.core.somaxconn) where
/// it is lower or `backlog` is negative. Reads /proc.
int effective_backlog(int backlog);

/// Which file a UNIX socket's path names now, to recognise it later.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
};
std::optional<FileId> file_id(const std::string& path);
/// Removes `path` only while it is still that file: another instance may have made a new one.
void unlink_if_same(const std::string& path, const FileId& id);

/// Connections that wait in the queue of a listening socket: TCP_INFO for TCP (tcp(7)
/// tcpi_unacked), sock_diag for UNIX (sock_diag(7) UNIX_DIAG_RQLEN). Nothing if it cannot be known,
/// as for a socket of another network namespace. Does not block; 3 us, less while nobody waits (sock_diag
/// walks through all UNIX sockets of the system).
std::optional<unsigned> listen_queue_length(int listener);

/// The address of a peer as the access log shows it: "127.0.0.1" (mapped v4 unmapped), "::1"; "-"
/// for UNIX sockets. `text` has room for 46 bytes (INET6_ADDRSTRLEN).
void peer_text(const sockaddr_storage& peer, char (&text)[46]);

}  // namespace fpm::os
