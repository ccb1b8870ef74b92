#include "fpm/handlers/php/working_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {
namespace {

int g_own = -1;         // the worker's folder
std::string g_entered;  // where the process is; empty: in the worker's, or not known
bool g_may_stay = true;
zif_handler g_chdir = nullptr;

/// chdir() of a script: the next one has to be brought to its folder again.
void chdir_noticed(INTERNAL_FUNCTION_PARAMETERS) {
  g_entered.clear();
  g_chdir(INTERNAL_FUNCTION_PARAM_PASSTHRU);
}

bool something_runs_later() {
  const int own_level = PG(output_buffering) != 0 || PG(output_handler) != nullptr ? 1 : 0;
  return BG(user_shutdown_function_names) != nullptr || EG(objects_store).top > 1 ||
         php_output_get_level() > own_level;
}

}  // namespace

void start_in_folder() {
  g_own = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  auto* const function = static_cast<zend_internal_function*>(
      zend_hash_str_find_ptr(CG(function_table), "chdir", sizeof "chdir" - 1));
  // Code that PHP does not see may change the folder, too.
  const char* const ffi = zend_ini_string("ffi.enable", sizeof "ffi.enable" - 1, 0);
  const bool foreign = ffi != nullptr && *ffi == '1';
  g_may_stay = g_own >= 0 && function != nullptr && !foreign;
  if (function != nullptr && function->type == ZEND_INTERNAL_FUNCTION) {
    g_chdir = function->handler;
    function->handler = chdir_noticed;
  }
}

void enter_folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return;
  const std::string_view folder = path.substr(0, slash == 0 ? 1 : slash);
  if (folder == g_entered) return;
  g_entered = folder;
  if (::chdir(g_entered.c_str()) != 0) g_entered.clear();
}

void leave_folder() {
  if (g_may_stay && !g_entered.empty() && !something_runs_later()) return;
  go_home();
}

void go_home() {
  if (g_own >= 0) (void)!::fchdir(g_own);
  g_entered.clear();
}

}  // namespace fpm::handlers::php
