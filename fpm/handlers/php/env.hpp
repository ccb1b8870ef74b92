// A request's parameters as PHP has them: one value a name, changed by the fix-ups of the script's
// path, the newest name first.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fcgi/params.hpp"

namespace fpm::handlers::php {

/// Variables by name. Of a repeated parameter the last value counts, at the place of the first.
/// Reused from request to request: allocates only when a request is larger than those before.
class Env {
 public:
  /// Takes FCGI_ROLE and the parameters, but for HTTP_PROXY, which any client can set by a header of
  /// that name (httpoxy). `params` outlives what is looked up here.
  void start(const fcgi::Params& params, std::string_view role);

  std::optional<std::string_view> get(std::string_view name) const;
  /// The same; empty if there is none.
  std::string_view text(std::string_view name) const { return get(name).value_or(""); }
  /// The value with a NUL behind it; null if there is none. Valid until start().
  char* c_string(std::string_view name);

  /// Sets a copy of `value`; a new name becomes the newest.
  void set(std::string_view name, std::string_view value);
  void unset(std::string_view name);

  /// Calls `visit(name, value)` for each, from the newest to the oldest.
  template <class Visit>
  void each(Visit visit) const {
    for (std::size_t i = entries_.size(); i > 0; --i) {
      if (entries_[i - 1].live) visit(entries_[i - 1].name, entries_[i - 1].value);
    }
  }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string_view name, value;
    bool live = true;
  };

  std::uint32_t* place_of(std::string_view name);
  const Entry* find(std::string_view name) const;
  void put(std::string_view name, std::string_view value);
  void grow();

  std::vector<Entry> entries_;
  std::vector<std::uint32_t> table_;  // indices + 1 by hash, open addressing; 0: free
  std::deque<std::string> copies_;
};

}  // namespace fpm::handlers::php
