// PHP's own headers, as C++ can read them.
#pragma once

// Sources of this folder that touch PHP include this, behind every header that is not PHP's, since
// PHP defines macros with short names. Some of its headers forget that C++ may read them; those of the
// system that they include must have been read before.
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "fpm/handlers/php/engine.hpp"
#include "fpm/handlers/php/request.hpp"

extern "C" {
#include <main/php.h>

#include <Zend/zend_API.h>
#include <Zend/zend_extensions.h>
#include <Zend/zend_ini.h>
#include <Zend/zend_ini_scanner.h>
#include <Zend/zend_signal.h>
#include <Zend/zend_smart_str.h>
#include <Zend/zend_stream.h>
#include <ext/json/php_json.h>
#include <ext/standard/basic_functions.h>
#include <ext/standard/dl.h>
#include <ext/standard/head.h>
#include <ext/standard/info.h>
#include <main/SAPI.h>
#include <main/fopen_wrappers.h>
#include <main/php_globals.h>
#include <main/php_ini.h>
#include <main/php_main.h>
#include <main/php_output.h>
#include <main/php_variables.h>
}
