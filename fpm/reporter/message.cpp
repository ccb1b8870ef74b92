#include "fpm/reporter/message.hpp"

#include <type_traits>

#include "fpm/os/packing.hpp"

namespace fpm::reporter {

namespace {

/// Both ends are one program, but an old master that starts a new reporter would be a bug that has to
/// be told from rubbish.
constexpr std::uint8_t kVersion = 2;

// One list of the members for both directions.
template <class Each, class Key>
void list_key(Each& each, Key& key) {
  each(key.inode);
  each(key.family);
  each(key.port);
  each(key.address);
}

template <class Each, class Item>
void list_members(Each& each, Item& item) {
  using Kind = std::remove_const_t<Item>;
  if constexpr (std::is_same_v<Kind, Mapping>) {
    each(item.key);
    each(item.slots);
    each(item.door);
  } else if constexpr (std::is_same_v<Kind, PlaceNews>) {
    each(item.index);
    each(item.key);
    each(item.pool);
    each(item.allowed_clients);
  } else if constexpr (std::is_same_v<Kind, Commit>) {
    each(item.pools);
    each(item.places);
  } else {
    for (auto* text : {&item.name, &item.process_manager, &item.status_path, &item.ping_path,
                       &item.ping_response}) {
      each(*text);
    }
    for (auto* number : {&item.index, &item.max_children, &item.listen_queue_limit,
                         &item.ready_queue, &item.state, &item.generation}) {
      each(*number);
    }
    for (auto* number : {&item.ready_wait_ms, &item.totals, &item.started_ns, &item.reloads,
                         &item.reloads_failed, &item.last_reload_ns}) {
      each(*number);
    }
    list_key(each, item.listener);
    each(item.boards);
    each(item.doors);
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
    case 0: return unpack<Mapping>(rest);
    case 1: return unpack<PoolNews>(rest);
    case 2: return unpack<PlaceNews>(rest);
    case 3: return unpack<Commit>(rest);
    default: return std::nullopt;
  }
}

}  // namespace fpm::reporter
