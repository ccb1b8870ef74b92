#include "fpm/http/message.hpp"

#include <type_traits>

#include "fpm/os/packing.hpp"

namespace fpm::http {

namespace {

constexpr std::uint8_t kVersion = 2;

// One list of the members for both directions.
template <class Each, class Item>
void list_members(Each& each, Item& item) {
  if constexpr (std::is_same_v<std::remove_const_t<Item>, Settings>) {
    for (auto* flag : {&item.has_listener, &item.has_board, &item.has_place, &item.has_log,
                       &item.one_program, &item.logs_errors, &item.follow_links, &item.hidden}) {
      each(*flag);
    }
    for (auto* text : {&item.pool, &item.pool_address, &item.status_path, &item.ping_path,
                       &item.root, &item.chroot, &item.fallback, &item.real_ip_header,
                       &item.access_format}) {
      each(*text);
    }
    for (auto* list :
         {&item.index, &item.extensions, &item.trusted_proxies, &item.access_suppress}) {
      each(*list);
    }
    each(item.scripts);
    for (auto* number : {&item.max_children, &item.max_connections, &item.queue_max}) {
      each(*number);
    }
    for (auto* size : {&item.max_header, &item.max_body, &item.body_memory, &item.rate,
                       &item.rate_per_connection}) {
      each(*size);
    }
    for (auto* time : {&item.header_timeout, &item.read_timeout, &item.write_timeout,
                       &item.keepalive_timeout, &item.queue_timeout}) {
      each(*time);
    }
  } else if constexpr (std::is_same_v<std::remove_const_t<Item>, Finish>) {
    each(item.serve_queue);
  }
}

template <class Kind>
std::optional<Message> unpack(std::span<const char> packet) {
  Kind item;
  os::Unpacker unpacker(packet);
  list_members(unpacker, item);
  if (!unpacker.complete()) return std::nullopt;
  return item;
}

}  // namespace

std::string encode(const Message& message) {
  os::Packer packer;
  packer(kVersion);
  packer(static_cast<std::uint8_t>(message.index()));
  std::visit([&](const auto& item) { list_members(packer, item); }, message);
  return std::move(packer.out);
}

std::optional<Message> decode(std::span<const char> packet) {
  if (packet.size() < 2 || packet.size() > kMostBytes) return std::nullopt;
  if (static_cast<std::uint8_t>(packet[0]) != kVersion) return std::nullopt;
  const auto rest = packet.subspan(2);
  switch (packet[1]) {
    case 0: return unpack<Settings>(rest);
    case 1: return unpack<NewLog>(rest);
    case 2: return unpack<Finish>(rest);
    default: return std::nullopt;
  }
}

}  // namespace fpm::http
