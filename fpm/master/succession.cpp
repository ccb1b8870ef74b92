// From the workers of an old generation to those of a new one: who may start, and who goes for it.
#include <algorithm>
#include <numeric>

#include "fpm/master/loop.hpp"
#include "fpm/policy/scaling.hpp"

namespace fpm::master {

namespace {

/// How long the first workers of a generation may take to reach accept.
constexpr std::chrono::seconds kStartPatience{30};

/// Its workers take long to get ready, and much memory each: an old one goes for each new one that serves, so
/// that there is never more than one beyond pm.max_children, and never fewer that serve.
bool starts_slowly(const config::Pool& pool) {
  return pool.handler == config::HandlerKind::fastcgi;
}

}  // namespace

/// process.max holds back a generation that starts: what becomes free is for that one, else the old
/// one would fill up again with what it gave up, and no reload ever ended.
bool Master::Loop::gives_way(const Running& running) {
  const Running* const heir = slow_heir(running);
  if (heir != nullptr && heir->pool.serving_workers() > 0) return true;
  if (global_.process_max == 0 || !reload_ || running.starting) return false;
  return std::any_of(reload_->starting.begin(), reload_->starting.end(), [this](GenerationId id) {
    const Running* const starting = find(id);
    return starting != nullptr && starting->pool.held_back();
  });
}

/// The generation that starts slowly in the place of this one; nullptr: none.
const Running* Master::Loop::slow_heir(const Running& running) const {
  if (running.replacers == 0) return nullptr;
  const auto found = services_.find(running.name());
  const Running* const heir = found == services_.end() ? nullptr : find(found->second.starting);
  if (heir == nullptr || heir->id == running.id) return nullptr;
  return starts_slowly(heir->pool.config()) ? heir : nullptr;
}

bool Master::Loop::succeeds_slowly(const Running& running) const {
  return running.starting && !running.replaces.empty() && starts_slowly(running.pool.config());
}

/// Workers of the generations that it replaces.
int Master::Loop::replaced_workers(const Running& running) const {
  return std::accumulate(running.replaces.begin(), running.replaces.end(), 0,
                         [this](int sum, GenerationId id) {
                           const Running* const old = find(id);
                           return old == nullptr ? sum : sum + old->pool.workers();
                         });
}

/// How many more workers this generation may have: what process.max allows, and in a slow succession what
/// both together may have.
int Master::Loop::room(const Running& running) const {
  const Running* const heir = succeeds_slowly(running) ? &running : slow_heir(running);
  if (heir == nullptr) return room();
  const int both = heir->pool.workers() + replaced_workers(*heir);
  // The place beyond pm.max_children is for the new one alone.
  const int limit = heir->pool.config().max_children + (heir == &running ? 1 : 0);
  return std::min(room(), std::max(0, limit - both));
}

/// As many workers of the old generation go as more than pm.max_children would serve, those that would
/// serve only later, and one where else none could start.
void Master::Loop::let_old_go(Running& running) {
  const int serving = running.pool.serving_workers();
  if (serving > running.served) {
    running.served = serving;
    wait_for_start(running);  // it gets on
  }
  int most = replaced_workers(running) - (running.pool.config().max_children - serving);
  // process.max: the next one has the place of an old one that goes first, after its request if it is busy.
  if (room() == 0 && running.pool.workers() == serving) most = std::max(most, 1);
  for (const GenerationId id : running.replaces) {
    Running* const old = find(id);
    if (old != nullptr) old->pool.give_up_starting();
    if (old == nullptr || most <= 0) continue;
    old->pool.give_up(std::min(most, old->pool.workers()));
    most -= old->pool.workers();
  }
}

/// Until the next worker of it serves.
void Master::Loop::wait_for_start(Running& running) {
  const auto patience = std::max<Clock::duration>(
      kStartPatience, starts_slowly(running.pool.config())
                          ? running.pool.config().fastcgi_ready_timeout + std::chrono::seconds(5)
                          : Clock::duration::zero());
  after(running.timers().drain, Clock::now() + patience, [this, id = running.id] {
    Running* const late = find(id);
    if (late == nullptr || !late->starting) return;
    // Old workers that do not come to an end have no claim to hold up the new ones for longer.
    if (succeeds_slowly(*late) && late->pool.serving_workers() > 0) return generation_serves(*late);
    generation_failed(*late, "its workers do not get ready");
  });
}

/// Where process.max leaves none, idle workers of the old generation go first. Some may become idle later
/// only: called again while the new one is held back.
void Master::Loop::make_room(Running& running, int wanted) {
  for (const GenerationId old : running.replaces) {
    if (room() >= wanted) return;
    if (Running* const replaced = find(old)) replaced->pool.give_up_idle(wanted - room());
  }
}

}  // namespace fpm::master
