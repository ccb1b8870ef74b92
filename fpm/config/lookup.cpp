// Finding rows of the table, and objects with its defaults.
#include <algorithm>
#include <numeric>

#include "fpm/config/directives.hpp"
#include "fpm/config/values.hpp"

namespace fpm::config {
namespace {

template <class Owner>
void set_defaults(std::span<const Directive<Owner>> rows, Owner& owner) {
  for (const Directive<Owner>& row : rows) {
    if (!row.default_text.empty()) assign(row, owner, {row.default_text, {}, true});
  }
}

template <class Owner>
const Directive<Owner>* find(std::span<const Directive<Owner>> rows, std::string_view name) {
  for (const Directive<Owner>& row : rows) {
    if (same_word(row.name, name)) return &row;
  }
  return nullptr;
}

/// How many letters must be put in, taken out or changed to make one of the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (same_word(a.substr(i, 1), b.substr(j, 1)) ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

const Directive<Global>* find_global(std::string_view name) {
  return find(global_directives(), name);
}
const Directive<Pool>* find_pool(std::string_view name) { return find(pool_directives(), name); }

Global default_global() {
  Global global;
  set_defaults(global_directives(), global);
  return global;
}

Pool default_pool(std::string name) {
  Pool pool;
  set_defaults(pool_directives(), pool);
  pool.name = std::move(name);
  return pool;
}

std::string nearest_directive(std::string_view unknown) {
  // A third of the letters wrong is still a slip; more is another word.
  std::size_t best = std::max<std::size_t>(unknown.size() / 3, 1) + 1;
  std::string nearest;
  const auto look = [&](std::string_view name) {
    const std::size_t far = distance(unknown, name);
    if (far < best) {
      best = far;
      nearest = name;
    }
  };
  for (const auto& row : pool_directives()) look(row.name);
  for (const auto& row : global_directives()) look(row.name);
  look("include");
  return nearest;
}

}  // namespace fpm::config
