#include "fpm/policy/emergency.hpp"

#include <signal.h>

namespace fpm::policy {

bool EmergencyRestart::worker_ended(int signal, TimePoint now) {
  if (threshold_ <= 0 || interval_.count() <= 0) return false;
  if (signal != SIGSEGV && signal != SIGBUS) return false;
  crashes_.push_back(now);
  while (now - crashes_.front() > interval_) crashes_.pop_front();
  if (crashes_.size() < static_cast<std::size_t>(threshold_)) return false;
  // Deaths that the same damage still causes count for the next reload, not for this one again.
  crashes_.clear();
  return true;
}

}  // namespace fpm::policy
