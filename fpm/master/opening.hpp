// Opening what pools are made of, before anything begins: at the start, and for a reload while the
// old generations serve.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fpm/master/pool.hpp"
#include "fpm/os/inherited.hpp"

namespace fpm::master {

/// What is there already, to be used by new generations.
struct Existing {
  /// The socket that listens on that address; nothing: none of ours. Unset: there are none.
  std::function<std::shared_ptr<Listener>(const config::Address&)> listener;
  /// The account of the pool of that name.
  std::function<std::shared_ptr<Account>(const std::string&)> account;
  os::InheritedSockets* inherited = nullptr;
};

/// Users, sockets, files of all `pools`, in their order. Every refusal is told in the log with file
/// and line, not only the first. @return nothing if anything was refused; then nothing of what was
/// open before has changed. Blocks on the name service.
std::optional<std::vector<Pool::Parts>> open_pools(std::vector<config::Pool> pools,
                                                   const Existing& existing);

}  // namespace fpm::master
