// How a pool gets its workers where an application is loaded once for all of them: from a template, a
// process that forks them on order.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "fpm/log/log.hpp"
#include "fpm/log/new_logs.hpp"
#include "fpm/master/pool.hpp"
#include "fpm/os/child.hpp"
#include "fpm/os/fd_passing.hpp"
#include "fpm/os/sibling.hpp"

namespace fpm::master {

namespace {

/// How many orders may wait in a template's channel; it takes some 200.
constexpr int kMostOrders = 100;
/// How much is taken from a template in one pass of the loop.
constexpr int kMostNews = 2 * kMostOrders;

/// How long a template may take to load its application, and to make a worker. An application that fills a
/// cache first may need its time.
constexpr std::chrono::seconds kLoadPatience{120};
constexpr std::chrono::seconds kOrderPatience{20};
/// With template = shared: how long a pool's template stays when no worker is wanted.
constexpr std::chrono::seconds kCopyRest{2};

bool passes(int code) {
  return code == EAGAIN || code == ETOOMANYREFS || code == ENOBUFS || code == ENOMEM;
}

}  // namespace

WorkerPlace Pool::place(int slot) {
  return {.pool = parts_.config.get(),
          .identity = parts_.identity ? &*parts_.identity : nullptr,
          .board = &board_,
          .ledger = parts_.account->ledger(),
          .listener = listener(),
          .access_log = parts_.access_log.get(),
          .slow_log = parts_.slow_log.get(),
          .wakeup = wakeup(),
          .slot = slot,
          .log_generation = pulse().log_generation.load()};
}

os::Result<void> Pool::start_template() {
  auto started = Template::start(spawner_, place(0));
  if (!started) return started.error();
  template_ = std::make_unique<Template>(std::move(*started));
  ++template_number_;
  template_has_new_logs_ = true;
  if (template_->pid() != 0) know_template();
  return {};
}

void Pool::know_template() {
  os::UniqueFd out = template_->take_out();
  if (out) {
    template_output_ =
        watch_output_(config(), template_->pid(), std::move(out), template_->take_err());
  }
  log::in_pool(log::Level::debug, config().name, "template {} started", template_->pid());
}

/// Asks the template for a worker in that slot, which is vacant. @return it has been asked for, or is
/// owed.
bool Pool::order(int slot, Clock::time_point now) {
  if (orders_ >= kMostOrders) {
    ++owed_;
    return true;
  }
  if (!template_) {
    if (auto done = start_template(); !done) {
      cannot_start(done.error(), now);
      return false;
    }
  }
  auto channel = os::make_socketpair(SOCK_SEQPACKET);
  if (!channel) return cannot_start(channel.error(), now), false;
  Worker worker;
  worker.started = now;
  worker.channel = std::move(channel->first);
  worker.has_new_logs = template_has_new_logs_;
  os::UniqueFd out;
  os::UniqueFd err;
  if (config().catch_workers_output || !config().output_log.empty()) {
    auto first = os::make_pipe();
    if (!first) return cannot_start(first.error(), now), false;
    auto second = os::make_pipe();
    if (!second) return cannot_start(second.error(), now), false;
    out = std::move(first->write);
    err = std::move(second->write);
    worker.out = std::move(first->read);
    worker.err = std::move(second->read);
    (void)os::set_nonblocking(worker.out.get(), true);
    (void)os::set_nonblocking(worker.err.get(), true);
  }
  const auto number = template_->order(slot, channel->second.get(), out.get(), err.get());
  if (!number && passes(number.error().code)) {
    ++owed_;
    return true;
  }
  // Its end is seen when it is reaped; what it was asked for is forgotten then.
  if (!number && number.error().code != EPIPE && number.error().code != ECONNRESET) {
    return cannot_start(number.error(), now), false;
  }
  worker.order = number ? *number : ~std::uint32_t{0};
  board_.occupy(slot);
  slots_[static_cast<std::size_t>(slot)] = std::move(worker);
  ++workers_;
  ++orders_;
  return true;
}

void Pool::forget_order(int slot) {
  auto& worker = slots_[static_cast<std::size_t>(slot)];
  if (worker->asked) --asked_;
  worker.reset();  // with its channel: a process that was made for it ends
  board_.vacate(slot);
  --workers_;
  --orders_;
}

void Pool::forget_orders() {
  owed_ = 0;
  for (int slot = 0; slot < board_.slots() && orders_ > 0; ++slot) {
    const auto& worker = slots_[static_cast<std::size_t>(slot)];
    if (worker && worker->order != 0) forget_order(slot);
  }
}

void Pool::end_template() {
  forget_orders();
  template_.reset();
  template_output_.reset();
  template_idle_since_.reset();
  template_owes_since_.reset();
}

void Pool::hear_template(Clock::time_point now, const std::function<bool(pid_t)>& taken) {
  for (int i = 0; template_ && i < kMostNews; ++i) {
    const auto news = template_->next();
    if (!news) {
      if (template_->lost()) template_lost(now);
      return;
    }
    template_owes_since_.reset();
    if (news->kind == News::Kind::loaded && template_tells(*news, taken)) {
      log::in_pool(log::Level::debug, config().name, "template {} has loaded the application",
                   template_->pid());
      dismiss_stand_in();
    } else if (news->kind != News::Kind::started || !worker_started(*news, now, taken)) {
      log::in_pool(log::Level::error, config().name,
                   "template {} names process {} as {}, which it is not: the template is ended",
                   template_->pid(), news->pid,
                   news->kind == News::Kind::started ? "a new worker" : "itself");
      end_template();
      template_failed(now);
    }
  }
}

/// It has loaded; a copy tells who it is. @return false: it lies.
bool Pool::template_tells(const News& news, const std::function<bool(pid_t)>& taken) {
  if (template_->pid() != 0) return news.pid == 0 || news.pid == template_->pid();
  if (!os::is_child(news.pid) || taken(news.pid)) return false;
  template_->is(news.pid);
  know_template();
  return true;
}

/// @return false: the template lies.
bool Pool::worker_started(const News& news, Clock::time_point now,
                          const std::function<bool(pid_t)>& taken) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const auto& worker) {
    return worker && worker->order != 0 && worker->order == news.number;
  });
  if (found == slots_.end()) return true;  // forgotten: its channel is closed already
  const int slot = static_cast<int>(found - slots_.begin());
  if (news.pid == 0) {
    forget_order(slot);
    // Many that fail together are one failure.
    const bool is_first = !retry_at_ || now >= *retry_at_;
    if (is_first) cannot_start(os::Error(news.code == 0 ? EPROTO : news.code, "clone"), now);
    return true;
  }
  // Whatever a process of the pool's user says must not make the master signal another one.
  if (!os::is_child(news.pid) || taken(news.pid)) return false;
  Worker& worker = **found;
  worker.pid = news.pid;
  worker.order = 0;
  --orders_;
  if (auto process = os::hold_process(worker.pid)) worker.process = std::move(*process);
  started(worker);
  const Go go;
  (void)::send(worker.channel.get(), &go, sizeof go, MSG_DONTWAIT | MSG_NOSIGNAL);
  return true;
}

/// It was to be a copy of what all pools share, and did not come about.
void Pool::template_lost(Clock::time_point now) {
  policy::Backoff next = backoff_;
  (void)next.failed();
  if (next.worth_a_line()) {
    const auto& failure = template_->failure();
    log::in_pool(log::Level::error, config().name, "its template could not be made{}{}",
                 failure ? ": " : "",
                 failure ? os::Error(failure->code, log::printable(failure->step)).text() : "");
  }
  end_template();
  template_failed(now);
}

/// The template has ended, by itself or by a fault of the application.
void Pool::template_ended(const os::Exit& exit, Clock::time_point now) {
  // Its last words. A worker that is named among them ends with its order.
  while (template_->next()) {
  }
  const bool failed = !template_->loaded() || orders_ > 0;
  policy::Backoff next = backoff_;
  const bool worth_a_line = !failed || ((void)next.failed(), next.worth_a_line());
  if (const auto& failure = template_->failure()) {
    if (worth_a_line) {
      log::in_pool(log::Level::error, config().name, "template {} cannot load the application: {}",
                   exit.pid,
                   os::Error(failure->code, log::printable(failure->step)).text());
    }
  } else if (worth_a_line) {
    const std::string how =
        exit.signaled() ? fmt::format("on signal {} ({}{})", exit.signal(),
                                      os::signal_name(exit.signal()),
                                      exit.dumped_core() ? " - core dumped" : "")
                        : fmt::format("with code {}", exit.code());
    log::in_pool(log::Level::error, config().name, "template {} exited {}{}", exit.pid, how,
                 template_->loaded() ? "" : ", while it loaded the application");
  }
  template_->ended();
  end_template();
  if (failed) template_failed(now);
}

std::optional<int> Pool::stand_in() const {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [](const auto& worker) {
    return worker && worker->stand_in;
  });
  if (found == slots_.end()) return std::nullopt;
  return static_cast<int>(found - slots_.begin());
}

/// The application cannot be started: clients get an answer all the same, unless an old generation, or
/// other workers, serve them.
void Pool::put_stand_in(Clock::time_point now) {
  if (!has_template() || announce_ || stopping_ || workers_ > 0) return;
  const auto slot = vacant_slot();
  if (!slot || !spawn(*slot, now, true)) return;
  pulse().announce.store(1);  // a worker that serves is to be heard of at once
  log::in_pool(log::Level::warning, config().name,
               "its application cannot be started: clients get 503 until it can");
}

/// It can.
void Pool::dismiss_stand_in() {
  const auto slot = stand_in();
  if (!slot) return;
  Worker& worker = *slots_[static_cast<std::size_t>(*slot)];
  if (worker.asked) return;
  worker.asked = scoreboard::ExitCause::replaced;
  ++asked_;
  signal(worker, SIGQUIT);
}

std::optional<Clock::time_point> Pool::check_template(Clock::time_point now) {
  if (orders_ > 0) return hurry_template(now);
  template_owes_since_.reset();
  // A copy of what all pools share is soon made again.
  const bool copy = config().shared_template;
  const std::chrono::milliseconds timeout = copy ? kCopyRest : config().template_idle_timeout;
  const bool may_go =
      copy || (config().pm == config::ProcessManager::ondemand && timeout.count() > 0);
  if (!template_ || !may_go || (workers_ > 0 && !copy) || owed_ > 0) {
    template_idle_since_.reset();
    return std::nullopt;
  }
  if (!template_idle_since_) template_idle_since_ = now;
  const Clock::time_point end = *template_idle_since_ + timeout;
  if (now < end) return end;
  log::in_pool(log::Level::debug, config().name, "template {} was idle for {} ms, it ends",
               template_->pid(), timeout.count());
  end_template();
  return std::nullopt;
}

/// Workers are wanted, and it still loads, or does not answer. Every answer begins a new wait.
std::optional<Clock::time_point> Pool::hurry_template(Clock::time_point now) {
  if (!template_owes_since_) template_owes_since_ = now;
  const Clock::time_point end =
      *template_owes_since_ + (template_->loaded() ? kOrderPatience : kLoadPatience);
  if (now < end) return end;
  log::in_pool(log::Level::error, config().name, "template {} {} within {} s, it is ended: {}",
               template_->pid(),
               template_->loaded() ? "made no worker" : "did not load the application",
               std::chrono::duration_cast<std::chrono::seconds>(now - *template_owes_since_).count(),
               template_->pid() == 0 ? "it is not there yet"
                                     : log::printable(os::whereabouts(template_->pid())));
  end_template();
  template_failed(now);
  return std::nullopt;
}

/// No worker comes of it.
void Pool::template_failed(Clock::time_point now) {
  start_failed(now);
  put_stand_in(now);
}

/// The template has the logs that are open now, or nobody is there to read them.
bool Pool::send_new_logs_to_template() {
  if (!template_ || template_has_new_logs_) return true;
  const auto sent = log::send_new_logs(template_->channel(), pulse().log_generation.load(),
                                       log::descriptor(), parts_.access_log.get(),
                                       log::output_descriptor(config().name),
                                       parts_.slow_log.get());
  template_has_new_logs_ = sent ? *sent : !passes(sent.error().code);
  return template_has_new_logs_;
}

}  // namespace fpm::master
