#include "fpm/policy/exits.hpp"

#include <signal.h>

namespace fpm::policy {

ExitVerdict judge_exit(const WorkerEnd& end) {
  ExitVerdict verdict;
  verdict.failed_start = !end.was_ready && !end.asked;
  const bool orderly = end.signal == SIGQUIT || (end.signal == 0 && end.code == 0);
  if (end.asked && (orderly || end.signal == SIGTERM || end.signal == SIGKILL)) {
    verdict.level = log::Level::debug;
  } else if (orderly) {
    verdict.level = log::Level::notice;
  } else {
    verdict.level = log::Level::warning;
  }
  return verdict;
}

}  // namespace fpm::policy
