#include "fpm/handlers/php/phpinfo.hpp"

#include <algorithm>

#include "fpm/handlers/php/php_headers.hpp"

namespace fpm::handlers::php {
namespace {

std::string g_built_in, g_folder;
zif_handler g_phpinfo = nullptr;

/// Where the built-in folder stands in a phpinfo(), or npos.
std::size_t find_built_in(std::string_view info) {
  constexpr std::string_view kLine = "Configuration File (php.ini) Path";
  constexpr std::size_t kBetween = 40;  // " </td><td class="v">" or " => "
  const std::size_t line = info.find(kLine);
  if (line == info.npos || g_built_in.empty()) return info.npos;
  const std::size_t shown = info.find(g_built_in, line);
  return shown > line + kLine.size() + kBetween ? info.npos : shown;
}

/// The output of one phpinfo() as a whole. No object here has a destructor: PHP's memory may be over.
void correct_output(char* output, std::size_t size, char** to, std::size_t* to_size, int) {
  const std::size_t shown = find_built_in({output, size});
  if (shown == std::string_view::npos) return;  // it stays as it is
  const std::size_t behind = shown + g_built_in.size();
  *to_size = size - g_built_in.size() + g_folder.size();
  *to = static_cast<char*>(emalloc(*to_size + 1));
  char* end = std::copy_n(output, shown, *to);
  end = std::copy_n(g_folder.data(), g_folder.size(), end);
  *std::copy_n(output + behind, size - behind, end) = '\0';
}

void phpinfo_with_folder(INTERNAL_FUNCTION_PARAMETERS) {
  constexpr std::string_view kName = "phpinfo";
  php_output_start_internal(kName.data(), kName.size(), correct_output, 0,
                            PHP_OUTPUT_HANDLER_STDFLAGS);
  g_phpinfo(INTERNAL_FUNCTION_PARAM_PASSTHRU);
  php_output_end();
}

}  // namespace

void show_settings_folder(std::string_view built_in, std::string_view folder) {
  g_built_in = built_in;
  g_folder = folder;
  auto* const function = static_cast<zend_internal_function*>(
      zend_hash_str_find_ptr(CG(function_table), "phpinfo", sizeof "phpinfo" - 1));
  if (function == nullptr) return;
  g_phpinfo = function->handler;
  function->handler = phpinfo_with_folder;
}

void correct_info(std::string& info) {
  const std::size_t shown = find_built_in(info);
  if (shown != info.npos) info.replace(shown, g_built_in.size(), g_folder);
}

}  // namespace fpm::handlers::php
