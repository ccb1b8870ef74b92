#include "fpm/handlers/php/env.hpp"

#include <algorithm>
#include <cstring>

namespace fpm::handlers::php {
namespace {

constexpr std::size_t kSmallest = 128;

// Parameters of one front differ in length, at their beginning and at their end; a front that wants
// collisions only slows down itself (a look-up is bounded by the parameters that the parser lets in).
std::size_t hash_of(std::string_view name) {
  std::uint64_t first = 0, last = 0;
  const std::size_t some = std::min<std::size_t>(name.size(), 8);
  std::memcpy(&first, name.data(), some);
  std::memcpy(&last, name.data() + name.size() - some, some);
  const std::uint64_t mixed = (first ^ (last << 7 | last >> 57) ^ name.size()) * 0x9e3779b97f4a7c15U;
  return static_cast<std::size_t>(mixed ^ (mixed >> 32));
}

}  // namespace

void Env::start(const fcgi::Params& params, std::string_view role) {
  entries_.clear();
  copies_.clear();
  std::size_t wanted = kSmallest;
  while (wanted < 2 * (params.size() + 8)) wanted *= 2;
  table_.assign(wanted, 0);
  put("FCGI_ROLE", role);
  for (const fcgi::Param param : params) {
    if (param.name != "HTTP_PROXY") put(param.name, param.value);
  }
}

std::uint32_t* Env::place_of(std::string_view name) {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = hash_of(name) & mask;
  while (table_[at] != 0 && entries_[table_[at] - 1].name != name) at = (at + 1) & mask;
  return &table_[at];
}

const Env::Entry* Env::find(std::string_view name) const {
  if (table_.empty()) return nullptr;
  const std::uint32_t index = *const_cast<Env*>(this)->place_of(name);
  return index == 0 ? nullptr : &entries_[index - 1];
}

void Env::grow() {
  table_.assign(2 * table_.size(), 0);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    *place_of(entries_[i].name) = static_cast<std::uint32_t>(i + 1);
  }
}

void Env::put(std::string_view name, std::string_view value) {
  std::uint32_t* place = place_of(name);
  if (*place != 0) {
    Entry& entry = entries_[*place - 1];
    entry.value = value;
    entry.live = true;
    return;
  }
  entries_.push_back({name, value});
  *place = static_cast<std::uint32_t>(entries_.size());
  if (2 * entries_.size() > table_.size()) grow();
}

std::optional<std::string_view> Env::get(std::string_view name) const {
  const Entry* const entry = find(name);
  if (entry == nullptr || !entry->live) return std::nullopt;
  return entry->value;
}

char* Env::c_string(std::string_view name) {
  const auto value = get(name);
  return value ? copies_.emplace_back(*value).data() : nullptr;
}

void Env::set(std::string_view name, std::string_view value) {
  const std::string_view copy = copies_.emplace_back(value);
  if (find(name) != nullptr) {
    put(name, copy);
  } else {
    put(copies_.emplace_back(name), copy);
  }
}

void Env::unset(std::string_view name) {
  const std::uint32_t index = *place_of(name);
  if (index != 0) entries_[index - 1].live = false;
}

}  // namespace fpm::handlers::php
