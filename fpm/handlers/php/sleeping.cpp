#include "fpm/handlers/php/sleeping.hpp"

#include <time.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {
namespace {

zif_handler g_sleep = nullptr, g_usleep = nullptr, g_nanosleep = nullptr;

constexpr zend_long kSecond = 1'000'000'000;

timespec now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time;
}

/// Until so long after `start`.
void sleep_the_rest(const timespec& start, zend_long seconds, zend_long nanoseconds) {
  timespec end{start.tv_sec + seconds, start.tv_nsec + nanoseconds};
  end.tv_sec += end.tv_nsec / kSecond;
  end.tv_nsec %= kSecond;
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, nullptr) == EINTR) {
  }
}

// PHP's own functions look at their arguments and sleep first. Only time_nanosleep() tells exactly
// whether that was long enough: of a part of a second sleep() says nothing.

void whole_sleep(INTERNAL_FUNCTION_PARAMETERS) {
  const timespec start = now();
  errno = 0;
  g_sleep(INTERNAL_FUNCTION_PARAM_PASSTHRU);
  if (errno != EINTR || EG(exception) != nullptr) return;
  sleep_the_rest(start, static_cast<unsigned>(zval_get_long(ZEND_CALL_ARG(execute_data, 1))), 0);
  ZVAL_LONG(return_value, 0);
}

void whole_usleep(INTERNAL_FUNCTION_PARAMETERS) {
  const timespec start = now();
  errno = 0;
  g_usleep(INTERNAL_FUNCTION_PARAM_PASSTHRU);
  if (errno != EINTR || EG(exception) != nullptr) return;
  const auto micro = static_cast<unsigned>(zval_get_long(ZEND_CALL_ARG(execute_data, 1)));
  sleep_the_rest(start, micro / 1'000'000, micro % 1'000'000 * 1000L);
}

void whole_nanosleep(INTERNAL_FUNCTION_PARAMETERS) {
  const timespec start = now();
  g_nanosleep(INTERNAL_FUNCTION_PARAM_PASSTHRU);
  if (EG(exception) != nullptr || Z_TYPE_P(return_value) != IS_ARRAY) return;
  sleep_the_rest(start, zval_get_long(ZEND_CALL_ARG(execute_data, 1)),
                 zval_get_long(ZEND_CALL_ARG(execute_data, 2)));
  zval_ptr_dtor(return_value);
  ZVAL_TRUE(return_value);
}

zif_handler replace(std::string_view name, zif_handler by) {
  auto* const function = static_cast<zend_internal_function*>(
      zend_hash_str_find_ptr(CG(function_table), name.data(), name.size()));
  return function == nullptr ? nullptr : std::exchange(function->handler, by);
}

}  // namespace

void make_sleeps_whole() {
  g_sleep = replace("sleep", whole_sleep);
  g_usleep = replace("usleep", whole_usleep);
  g_nanosleep = replace("time_nanosleep", whole_nanosleep);
}

}  // namespace fpm::handlers::php
