#include "fpm/status/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "fpm/status/escape.hpp"

namespace fpm::status {
namespace {

using scoreboard::DoorCounts;
using scoreboard::PoolSnapshot;
using scoreboard::Stage;

/// Bounds of the histograms that are shown, in microseconds: some of scoreboard::kBucketBounds.
constexpr std::array<std::uint64_t, 15> kShown{
    1'000,   2'000,   5'000,     10'000,    20'000,    50'000,     100'000,   200'000,
    500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000};

constexpr bool all_are_bounds() {
  for (const std::uint64_t bound : kShown) {
    if (std::find(scoreboard::kBucketBounds.begin(), scoreboard::kBucketBounds.end(), bound) ==
        scoreboard::kBucketBounds.end()) {
      return false;
    }
  }
  return true;
}
static_assert(all_are_bounds());

double seconds(std::uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

/// Appends samples of one exposition; the labels of each pool are escaped once.
class Writer {
 public:
  Writer(std::string& out, std::span<const PoolSnapshot> pools) : out_(out), pools_(pools) {
    for (const PoolSnapshot& pool : pools) {
      std::string label = "pool=\"";
      append_label(label, pool.name);
      labels_.push_back(label + '"');
    }
  }

  void family(std::string_view name, std::string_view type, std::string_view help,
              std::string_view unit = {}) {
    put("# TYPE {} {}\n", name, type);
    if (!unit.empty()) put("# UNIT {} {}\n", name, unit);
    put("# HELP {} {}\n", name, help);
  }

  /// One sample for each pool; `value` of a snapshot.
  template <class Value>
  void gauge(std::string_view name, std::string_view help, std::string_view unit, Value value) {
    family(name, "gauge", help, unit);
    each([&](const PoolSnapshot& pool, const std::string& labels) {
      put("{}{{{}}} {}\n", name, labels, value(pool));
    });
  }
  template <class Value>
  void counter(std::string_view name, std::string_view help, Value value) {
    family(name, "counter", help);
    each([&](const PoolSnapshot& pool, const std::string& labels) {
      put("{}_total{{{}}} {}\n", name, labels, value(pool));
    });
  }
  /// A counter with a label of its own: `value(pool, i)` for each i below `count`.
  template <class Name, class Value>
  void counters(std::string_view name, std::string_view help, std::string_view label,
                std::size_t count, Name text, Value value) {
    family(name, "counter", help);
    each([&](const PoolSnapshot& pool, const std::string& labels) {
      for (std::size_t i = 0; i < count; ++i) {
        put("{}_total{{{},{}=\"{}\"}} {}\n", name, labels, label, text(i), value(pool, i));
      }
    });
  }

  template <class Value>
  void histogram(std::string_view name, std::string_view help, Value value) {
    family(name, "histogram", help, "seconds");
    each([&](const PoolSnapshot& pool, const std::string& labels) {
      const scoreboard::HistogramSnapshot& seen = value(pool);
      for (const std::uint64_t bound : kShown) {
        put("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, seconds(bound), seen.up_to(bound));
      }
      const std::uint64_t count = seen.count();
      put("{}_bucket{{{},le=\"+Inf\"}} {}\n", name, labels, count);
      put("{}_count{{{}}} {}\n", name, labels, count);
      put("{}_sum{{{}}} {}\n", name, labels, seconds(seen.sum_us));
    });
  }

  template <class Each>
  void each(Each what) {
    for (std::size_t i = 0; i < pools_.size(); ++i) what(pools_[i], labels_[i]);
  }
  template <class... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

 private:
  std::string& out_;
  std::span<const PoolSnapshot> pools_;
  std::vector<std::string> labels_;
};

/// Workers by what they do; the words of the label `state`.
constexpr std::array<std::pair<Stage, std::string_view>, 7> kStates{{
    {Stage::starting, "starting"},
    {Stage::accepting, "idle"},
    {Stage::reading_headers, "reading_headers"},
    {Stage::info, "info"},
    {Stage::executing, "executing"},
    {Stage::ending, "ending"},
    {Stage::finished, "finished"},
}};

void write_workers(Writer& out) {
  out.family("fpm_workers", "gauge", "Workers by what they do.");
  out.each([&](const PoolSnapshot& pool, const std::string& labels) {
    for (const auto& [stage, word] : kStates) {
      out.put("fpm_workers{{{},state=\"{}\"}} {}\n", labels, word,
              pool.stages[static_cast<std::size_t>(stage)]);
    }
  });
  out.gauge("fpm_workers_limit", "pm.max_children.", {},
            [](const PoolSnapshot& pool) { return pool.max_children; });
  out.counter("fpm_worker_starts", "Workers that were started.",
              [](const PoolSnapshot& pool) { return pool.worker_starts; });
  out.counters(
      "fpm_worker_exits", "Workers that ended, by cause.", "cause", scoreboard::kExitCauses,
      [](std::size_t i) { return exit_cause_name(static_cast<scoreboard::ExitCause>(i)); },
      [](const PoolSnapshot& pool, std::size_t i) { return pool.worker_exits[i]; });
  out.counter("fpm_max_children_reached", "How often pm.max_children held workers back.",
              [](const PoolSnapshot& pool) { return pool.max_children_reached; });
  out.gauge("fpm_memory_bytes", "Memory that the workers have for themselves.", "bytes",
            [](const PoolSnapshot& pool) { return pool.memory; });
}

void write_queue(Writer& out) {
  out.family("fpm_listen_queue", "gauge", "Connections that wait to be accepted.");
  out.each([&](const PoolSnapshot& pool, const std::string& labels) {
    if (pool.listen_queue) out.put("fpm_listen_queue{{{}}} {}\n", labels, *pool.listen_queue);
  });
  out.gauge("fpm_listen_queue_limit", "How many connections may wait.", {},
            [](const PoolSnapshot& pool) { return pool.listen_queue_limit; });
}

void write_requests(Writer& out) {
  out.counter("fpm_requests", "Requests that were read.",
              [](const PoolSnapshot& pool) { return pool.accepted; });
  out.histogram("fpm_request_duration_seconds",
                "From the first byte of a request to the end of its answer.",
                [](const PoolSnapshot& pool) -> const auto& { return pool.duration; });
  out.histogram("fpm_queue_wait_seconds",
                "From the front's stamp to the worker, of requests whose wait is known.",
                [](const PoolSnapshot& pool) -> const auto& { return pool.queue_wait; });
  out.counter("fpm_slow_requests", "Requests that passed request_slowlog_timeout.",
              [](const PoolSnapshot& pool) { return pool.slow_requests; });
  out.counter("fpm_timeouts", "Requests that were ended for their time.",
              [](const PoolSnapshot& pool) { return pool.timed_out; });
  out.counters(
      "fpm_rejected", "Requests that were not run, by reason.", "reason", scoreboard::kRejections,
      [](std::size_t i) { return rejection_name(static_cast<scoreboard::Rejection>(i)); },
      [](const PoolSnapshot& pool, std::size_t i) { return pool.rejected[i]; });
  out.counter("fpm_aborts", "Requests whose client went away.",
              [](const PoolSnapshot& pool) { return pool.aborted; });
  out.counter("fpm_lost", "Requests that ended with their worker.",
              [](const PoolSnapshot& pool) { return pool.killed; });
}

void write_reloads(Writer& out) {
  out.counters(
      "fpm_reloads", "Reloads of the pool, by result.", "result", 2,
      [](std::size_t i) -> std::string_view { return i == 0 ? "ok" : "failed"; },
      [](const PoolSnapshot& pool, std::size_t i) {
        return i == 0 ? pool.reloads : pool.reloads_failed;
      });
  out.family("fpm_last_reload_timestamp_seconds", "gauge", "When the pool was last reloaded.",
             "seconds");
  out.each([&](const PoolSnapshot& pool, const std::string& labels) {
    if (!pool.last_reload) return;
    const auto since_epoch = pool.last_reload->time_since_epoch();
    out.put("fpm_last_reload_timestamp_seconds{{{}}} {:.3f}\n", labels,
            std::chrono::duration<double>(since_epoch).count());
  });
}

/// Of the pools with a door; none of them: no family.
class DoorWriter {
 public:
  explicit DoorWriter(Writer& out) : out_(out) {}

  template <class Value>
  void counter(std::string_view name, std::string_view help, Value value,
               std::string_view unit = {}) {
    out_.family(name, "counter", help, unit);
    each([&](const DoorCounts& door, const std::string& labels) {
      out_.put("{}_total{{{}}} {}\n", name, labels, value(door));
    });
  }
  template <class Each>
  void each(Each what) {
    out_.each([&](const PoolSnapshot& pool, const std::string& labels) {
      if (pool.door) what(*pool.door, labels);
    });
  }
  Writer& out() { return out_; }

 private:
  Writer& out_;
};

void write_door_requests(DoorWriter& doors) {
  doors.counter("fpm_door_requests", "Requests that the door has answered.",
                [](const DoorCounts& door) { return door.requests; });
  doors.out().family("fpm_door_responses", "counter", "Answers of the door, by class of status.");
  doors.each([&](const DoorCounts& door, const std::string& labels) {
    for (std::size_t i = 0; i < door.statuses.size(); ++i) {
      doors.out().put("fpm_door_responses_total{{{},class=\"{}xx\"}} {}\n", labels, i + 1,
                      door.statuses[i]);
    }
  });
  doors.counter("fpm_door_passed", "Requests that were passed to the pool.",
                [](const DoorCounts& door) { return door.passed; });
  doors.counter("fpm_door_retries", "Requests that a second worker was asked.",
                [](const DoorCounts& door) { return door.retried; });
  doors.counter("fpm_door_aborts", "Requests whose client left before its answer was complete.",
                [](const DoorCounts& door) { return door.aborted; });
  doors.out().family("fpm_door_rejected", "counter", "Requests that were not run, by reason.");
  doors.each([&](const DoorCounts& door, const std::string& labels) {
    for (const auto& [reason, count] : {std::pair("queue_full", door.queue_full),
                                        std::pair("queue_timeout", door.queue_timeout),
                                        std::pair("malformed", door.refused)}) {
      doors.out().put("fpm_door_rejected_total{{{},reason=\"{}\"}} {}\n", labels, reason, count);
    }
  });
}

void write_doors(Writer& out, std::span<const PoolSnapshot> pools) {
  if (std::none_of(pools.begin(), pools.end(),
                   [](const PoolSnapshot& pool) { return pool.door.has_value(); })) {
    return;
  }
  DoorWriter doors(out);
  out.family("fpm_door_connections", "gauge", "Connections of the pool's door by what they do.");
  doors.each([&](const DoorCounts& door, const std::string& labels) {
    for (std::size_t i = 0; i < scoreboard::kDoorStates; ++i) {
      out.put("fpm_door_connections{{{},state=\"{}\"}} {}\n", labels,
              door_state_name(static_cast<scoreboard::DoorState>(i)), door.connections[i]);
    }
  });
  doors.counter("fpm_door_accepted", "Connections that the door has accepted.",
                [](const DoorCounts& door) { return door.accepted; });
  write_door_requests(doors);
  doors.counter("fpm_door_received_bytes", "What clients have sent to the door.",
                [](const DoorCounts& door) { return door.bytes_in; }, "bytes");
  doors.counter("fpm_door_sent_bytes", "What the door has sent to clients.",
                [](const DoorCounts& door) { return door.bytes_out; }, "bytes");
}

template <class Sample>
void worker_family(Writer& out, std::string_view name, std::string_view type,
                   std::string_view help, std::string_view unit, Sample sample) {
  out.family(name, type, help, unit);
  out.each([&](const PoolSnapshot& pool, const std::string& labels) {
    for (const scoreboard::WorkerSnapshot& worker : pool.workers) {
      // A generation that drains has the same slots again: a label must not come twice.
      if (worker.of_old_generation) continue;
      sample(fmt::format("{},worker=\"{}\"", labels, worker.slot), worker);
    }
  });
}

void write_each_worker(Writer& out) {
  using scoreboard::WorkerSnapshot;
  worker_family(out, "fpm_worker_state", "stateset", "What each worker does.", {},
                [&](const std::string& labels, const WorkerSnapshot& worker) {
                  for (const auto& [stage, word] : kStates) {
                    out.put("fpm_worker_state{{{},fpm_worker_state=\"{}\"}} {}\n", labels, word,
                            worker.stage == stage ? 1 : 0);
                  }
                });
  worker_family(out, "fpm_worker_requests", "counter", "Requests that each worker has served.", {},
                [&](const std::string& labels, const WorkerSnapshot& worker) {
                  out.put("fpm_worker_requests_total{{{}}} {}\n", labels, worker.requests);
                });
  worker_family(out, "fpm_worker_memory_bytes", "gauge", "Memory that each worker has for itself.",
                "bytes", [&](const std::string& labels, const WorkerSnapshot& worker) {
                  out.put("fpm_worker_memory_bytes{{{}}} {}\n", labels, worker.memory);
                });
  worker_family(out, "fpm_worker_request_seconds", "gauge",
                "How long each worker has been in the request under way, 0 for none.", "seconds",
                [&](const std::string& labels, const WorkerSnapshot& worker) {
                  const bool busy = scoreboard::is_active(worker.stage);
                  const auto us = busy ? std::max<std::int64_t>(0, worker.request_duration.count())
                                       : std::int64_t{0};
                  out.put("fpm_worker_request_seconds{{{}}} {}\n", labels,
                          seconds(static_cast<std::uint64_t>(us)));
                });
}

}  // namespace

void render_metrics(std::string& out, std::span<const PoolSnapshot> pools, bool full,
                    std::string_view version) {
  Writer writer(out, pools);
  writer.family("fpm_build", "info", "The program.");
  writer.put("fpm_build_info{{version=\"{}\"}} 1\n", version);
  writer.gauge("fpm_pool_up", "1: the pool serves.", {}, [](const PoolSnapshot& pool) {
    return pool.state == scoreboard::PoolState::serving ? 1 : 0;
  });
  write_workers(writer);
  write_queue(writer);
  write_requests(writer);
  write_reloads(writer);
  write_doors(writer, pools);
  if (full) write_each_worker(writer);
  out += "# EOF\n";
}

}  // namespace fpm::status
