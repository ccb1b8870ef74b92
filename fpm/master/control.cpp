#include "fpm/master/control.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <exception>
#include <utility>

#include "fpm/log/log.hpp"
#include "fpm/status/all_pools.hpp"
#include "fpm/status/connections.hpp"

namespace fpm::master {

namespace asio = boost::asio;
namespace json = boost::json;
using Local = asio::local::stream_protocol;

namespace {

constexpr std::chrono::seconds kPatience{5};
constexpr int kMostClients = 16;

/// An order that was understood.
struct Order {
  std::string name;
  std::optional<std::string> pool;
  bool changed = false;
  bool now = false;
  bool full = false;
};

/// @return why it is none; empty: it is one.
std::string take_member(Order& order, std::string_view name, const json::value& value) {
  const auto text = [&](std::string& into) -> std::string {
    if (!value.is_string()) return fmt::format("\"{}\" is to be a string", name);
    into = std::string(value.as_string());
    return {};
  };
  const auto flag = [&](bool& into) -> std::string {
    if (!value.is_bool()) return fmt::format("\"{}\" is to be true or false", name);
    into = value.as_bool();
    return {};
  };
  if (name == "order") return text(order.name);
  if (name == "pool") return text(order.pool.emplace());
  if (name == "changed") return flag(order.changed);
  if (name == "now") return flag(order.now);
  if (name == "full") return flag(order.full);
  return fmt::format("an order has no \"{}\"", log::printable(name, 40));
}

std::string parse(std::string_view line, Order& order) {
  boost::system::error_code failure;
  const json::value value = json::parse({line.data(), line.size()}, failure);
  if (failure) return "no JSON: " + failure.message();
  if (!value.is_object()) return "an order is an object";
  for (const auto& member : value.as_object()) {
    const std::string_view name(member.key().data(), member.key().size());
    if (std::string wrong = take_member(order, name, member.value()); !wrong.empty()) return wrong;
  }
  return order.name.empty() ? "an order has \"order\"" : "";
}

std::string answer_text(const Reply& reply) {
  json::object answer;
  answer["done"] = reply.done;
  answer["text"] = reply.text;
  return json::serialize(answer) + '\n';
}

}  // namespace

os::Result<ControlSocket> ControlSocket::open(const std::string& path) {
  auto fd = os::listen_unix(path, kMostClients, {.mode = 0600});
  if (!fd) return fd.error();
  ControlSocket socket;
  socket.fd_ = std::move(*fd);
  socket.path_ = path;
  socket.file_ = os::file_id(path);
  return socket;
}

ControlSocket::ControlSocket(ControlSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::move(other.path_)),
      file_(std::exchange(other.file_, std::nullopt)) {}

ControlSocket& ControlSocket::operator=(ControlSocket&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::move(other.fd_);
  path_ = std::move(other.path_);
  file_ = std::exchange(other.file_, std::nullopt);
  return *this;
}

void ControlSocket::close() {
  if (file_) os::unlink_if_same(path_, *file_);
  file_.reset();
  fd_.reset();
}

class Control::Server : public std::enable_shared_from_this<Control::Server> {
 public:
  Server(asio::io_context& io, ControlSocket socket, Orders& orders, std::string version)
      : orders_(orders),
        version_(std::move(version)),
        socket_(std::move(socket)),
        acceptor_(io),
        again_(io) {}

  void start();
  void close();

 private:
  class Client;

  void accept();
  bool may_order(const ucred& peer) const;
  void execute(const std::shared_ptr<Client>& client, const Order& order);
  std::string connections(std::string_view pool);

  Orders& orders_;
  const std::string version_;
  ControlSocket socket_;
  Local::acceptor acceptor_;
  asio::steady_timer again_;
  int clients_ = 0;
};

/// One connection. It lives as long as a read, a write, its timer or an order under way.
class Control::Server::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(std::shared_ptr<Server> server, Local::socket socket, const ucred& peer)
      : server_(std::move(server)),
        socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        peer_(peer) {
    ++server_->clients_;
  }
  ~Client() { --server_->clients_; }

  void read();
  void answer(std::string text, bool last = false);
  const ucred& peer() const { return peer_; }

 private:
  void arm();
  void drop();
  void take(std::string_view line);

  std::shared_ptr<Server> server_;
  Local::socket socket_;
  asio::steady_timer timer_;
  const ucred peer_;
  std::string line_;  // what has arrived
  std::array<char, 1024> buffer_{};
  std::string out_;
};

void Control::Server::start() {
  auto copy = os::duplicate(socket_.fd());
  if (!copy) {
    log::error("control socket: {}", copy.error().text());
    return;
  }
  acceptor_.assign(Local(), copy->release());
  accept();
}

void Control::Server::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  again_.cancel();
  socket_.close();
}

void Control::Server::accept() {
  acceptor_.async_accept([self = shared_from_this()](const boost::system::error_code& failure,
                                                     Local::socket socket) {
    if (failure == asio::error::operation_aborted || !self->socket_) return;
    if (failure) {  // EMFILE: nothing that a faster loop would mend
      self->again_.expires_after(std::chrono::seconds(1));
      self->again_.async_wait([self](const boost::system::error_code& stopped) {
        if (!stopped) self->accept();
      });
      return;
    }
    ucred peer{};
    socklen_t length = sizeof peer;
    const bool known =
        ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0;
    if (!known || !self->may_order(peer)) {
      log::warning("control socket: pid {}, uid {} may not give orders", peer.pid, peer.uid);
    } else if (self->clients_ >= kMostClients) {
      log::warning("control socket: {} clients are there already, pid {} is turned away",
                   kMostClients, peer.pid);
    } else {
      std::make_shared<Client>(self, std::move(socket), peer)->read();
    }
    self->accept();
  });
}

bool Control::Server::may_order(const ucred& peer) const {
  return peer.uid == 0 || peer.uid == ::geteuid();
}

void Control::Server::execute(const std::shared_ptr<Client>& client, const Order& order) {
  if (order.name == "version") return client->answer(answer_text({true, version_}));
  if (order.name == "status") {
    std::string text;
    status::render_all_pools(text, orders_.pools(order.full), order.full);
    text.replace(0, 1, "{\"done\":true,");
    return client->answer(text + '\n');
  }
  if (order.name == "connections" && order.pool) return client->answer(connections(*order.pool));
  log::notice("fpmctl {}{}, sent by pid {}, uid {}", log::printable(order.name, 40),
              order.pool ? " " + log::printable(*order.pool, 64) : "", client->peer().pid,
              client->peer().uid);
  if (order.name == "reload") {
    orders_.reload({.pool = order.pool, .changed = order.changed},
                   [client](const Reply& reply) { client->answer(answer_text(reply)); });
    return;
  }
  Reply reply{.done = false, .text = "no such order"};
  if (order.name == "reopen-logs") {
    reply = orders_.reopen_logs();
  } else if (order.name == "stop") {
    reply = orders_.stop(order.now);
  } else if ((order.name == "connections" || order.name == "drain" || order.name == "resume") &&
             !order.pool) {
    reply.text = "which pool?";
  } else if (order.name == "drain") {
    reply = orders_.drain(*order.pool);
  } else if (order.name == "resume") {
    reply = orders_.resume(*order.pool);
  }
  client->answer(answer_text(reply));
}

std::string Control::Server::connections(std::string_view pool) {
  scoreboard::DoorSnapshot seen;
  const Reply reply = orders_.connections(pool, seen);
  if (!reply.done) return answer_text(reply);
  std::string text;
  status::render_connections(text, pool, seen);
  text.replace(0, 1, "{\"done\":true,");
  return text + '\n';
}

/// Silence for so long ends the connection.
void Control::Server::Client::arm() {
  timer_.expires_after(kPatience);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& stopped) {
    if (stopped) return;
    if (const auto self = weak.lock()) self->drop();
  });
}

void Control::Server::Client::drop() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Control::Server::Client::read() {
  arm();
  socket_.async_read_some(
      asio::buffer(buffer_), [self = shared_from_this()](const boost::system::error_code& failure,
                                                         std::size_t got) {
        if (failure) return self->drop();
        self->line_.append(self->buffer_.data(), got);
        const std::size_t end = self->line_.find('\n');
        if (end == std::string::npos && self->line_.size() < kOrderLimit) return self->read();
        self->timer_.cancel();
        if (end == std::string::npos || end >= kOrderLimit) {
          return self->answer(answer_text({false, "the order is too long"}), true);
        }
        const std::string line = self->line_.substr(0, end);
        self->line_.erase(0, end + 1);
        self->take(line);
      });
}

void Control::Server::Client::take(std::string_view line) {
  try {
    Order order;
    if (const std::string wrong = parse(line, order); !wrong.empty()) {
      return answer(answer_text({false, wrong}), true);
    }
    server_->execute(shared_from_this(), order);
  } catch (const std::exception& failure) {  // memory, a bug of ours
    log::error("control socket: {}", failure.what());
    drop();
  }
}

/// `last`: the connection ends after it.
void Control::Server::Client::answer(std::string text, bool last) {
  if (!socket_.is_open()) return;
  out_ = std::move(text);
  arm();
  asio::async_write(socket_, asio::buffer(out_),
                    [self = shared_from_this(), last](const boost::system::error_code& failure,
                                                      std::size_t) {
                      self->timer_.cancel();
                      if (failure || last) return self->drop();
                      // What has arrived meanwhile may hold the next order.
                      const std::size_t end = self->line_.find('\n');
                      if (end == std::string::npos) return self->read();
                      const std::string line = self->line_.substr(0, end);
                      self->line_.erase(0, end + 1);
                      self->take(line);
                    });
}

Control::Control(asio::io_context& io, ControlSocket socket, Orders& orders, std::string version)
    : server_(std::make_shared<Server>(io, std::move(socket), orders, std::move(version))) {
  server_->start();
}

Control::~Control() { server_->close(); }

}  // namespace fpm::master
