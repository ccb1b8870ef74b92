<?php
header('Content-Type: text/plain');
function keys($array) { $out = []; foreach ($array as $k => $v) $out[$k] = is_array($v) ? keys($v) : gettype($v); return $out; }
switch ($_GET['c']) {
case 'phpinfo': header('Content-Type: text/html'); phpinfo(INFO_ALL & ~INFO_VARIABLES & ~INFO_ENVIRONMENT); break;
case 'phpinfo_general': phpinfo(INFO_GENERAL); break;
case 'phpinfo_variables': phpinfo(INFO_VARIABLES); break;
case 'phpinfo_environment': phpinfo(INFO_ENVIRONMENT); break;
case 'phpinfo_configuration': phpinfo(INFO_CONFIGURATION); break;
case 'phpinfo_modules': phpinfo(INFO_MODULES); break;
case 'phpinfo_license': var_dump(phpinfo(INFO_LICENSE)); break;
case 'phpinfo_buffered': ob_start(); phpinfo(INFO_GENERAL); $t = ob_get_clean(); echo strlen($t) > 1000, ' ', ob_get_level(), $t; break;
case 'phpinfo_callback': ob_start(fn($b) => strrev(strrev($b))); phpinfo(INFO_GENERAL); ob_end_flush(); break;
case 'phpcredits': phpcredits(); break;
case 'cfg': foreach (['cfg_file_path', 'memory_limit', 'precision', 'date.timezone', 'display_errors', 'extension', 'no.such', 'error_log', 'opcache.enable', 'user.unknown'] as $n) echo $n, ' ', var_export(get_cfg_var($n), true), "\n"; break;
case 'internal_functions': $f = get_defined_functions()['internal']; sort($f); echo implode("\n", $f); break;
case 'functions_order': echo implode("\n", get_defined_functions()['internal']); break;
case 'classes': $c = get_declared_classes(); echo implode("\n", $c), implode("\n", get_declared_interfaces()); break;
case 'constants': echo json_encode(array_map('array_keys', get_defined_constants(true))); break;
case 'constant_values': foreach (get_defined_constants() as $k => $v) if (is_scalar($v) && !is_nan((float)$v)) echo "$k=", $v, "\n"; break;
case 'extension': echo new ReflectionExtension('cgi-fcgi'), phpversion('cgi-fcgi'); break;
case 'extensions': foreach (get_loaded_extensions() as $e) echo $e, ' ', phpversion($e), ' ', count(get_extension_funcs($e) ?: []), "\n"; break;
case 'transports': echo json_encode([stream_get_transports(), hash_algos(), array_keys(get_resources())]); break;
case 'opcache_keys': echo json_encode([keys(opcache_get_status(false)), opcache_get_configuration()]); break;
case 'opcache_file': $f = __DIR__ . '/returns.php'; echo json_encode([opcache_is_script_cached($f), opcache_compile_file($f), opcache_is_script_cached($f), opcache_invalidate($f, true), opcache_is_script_cached($f)]); break;
case 'opcache_reset': echo json_encode(opcache_reset()); break;
case 'realpath': include __DIR__ . '/sub/included.inc'; echo json_encode([array_keys(realpath_cache_get()), realpath_cache_size() > 0]); break;
case 'filter': echo json_encode([filter_input(INPUT_SERVER, 'SCRIPT_NAME'), filter_input(INPUT_SERVER, 'REQUEST_URI'), filter_input(INPUT_ENV, 'PATH'), filter_input_array(INPUT_COOKIE), filter_has_var(INPUT_GET, 'c'), filter_input(INPUT_SERVER, 'REQUEST_TIME') !== null]); break;
case 'getenv': echo json_encode(getenv()), json_encode($_ENV), json_encode([getenv('HOME'), getenv('HOME', true), getenv('SCRIPT_NAME'), getenv('SCRIPT_NAME', true), apache_getenv_exists()]); break;
case 'putenv': putenv('SCRIPT_NAME=mine'); echo json_encode([getenv('SCRIPT_NAME'), getenv('SCRIPT_NAME', true), getenv()['SCRIPT_NAME'] ?? null, $_SERVER['SCRIPT_NAME']]); break;
case 'streams': foreach (['php://stdin', 'php://input', 'php://output', 'php://stderr', 'php://memory', 'php://fd/0', 'php://fd/99', 'php://filter/read=string.toupper/resource=data:,abc'] as $s) { $f = @fopen($s, 'r'); echo $s, ' ', $f ? json_encode([stream_get_meta_data($f)['mode'], stream_isatty($f), posix_isatty($f), @fstat($f)['size'] ?? null]) : 'no', "\n"; } break;
case 'std_constants': echo json_encode([defined('STDIN'), defined('STDOUT'), defined('STDERR'), isset($argv), isset($argc), ini_get('register_argc_argv')]); break;
case 'sleep': echo sleep(0), usleep(1), time_sleep_until(microtime(true) + 0.01); break;
case 'gc': gc_collect_cycles(); echo json_encode(gc_status()['runs']), json_encode(array_keys(gc_status())); break;
case 'memory': echo memory_get_usage(true), ' ', memory_reset_peak_usage(), memory_get_peak_usage(true), ' ', memory_get_usage() < 400000; break;
case 'server_keys': echo json_encode(array_keys($_SERVER)); break;
case 'request_time': echo json_encode([abs($_SERVER['REQUEST_TIME_FLOAT'] - microtime(true)) < 5, is_int($_SERVER['REQUEST_TIME'])]); break;
case 'dl': echo json_encode([function_exists('dl'), ini_get('enable_dl')]); var_dump(@dl('ctype')); var_dump(@dl('/nonexistent.so')); break;
case 'fibers': $f = new Fiber(function () { $x = Fiber::suspend('one'); echo $x; }); echo $f->start(); $f->resume('two'); break;
case 'ffi': echo json_encode([extension_loaded('FFI'), ini_get('ffi.enable')]); try { FFI::cdef('int getpid();'); echo 'allowed'; } catch (Throwable $e) { echo $e->getMessage(); } break;
case 'ini_parse': echo json_encode([ini_get('cgi.rfc2616_headers'), ini_set('cgi.nph', '0'), ini_set('cgi.fix_pathinfo', '0'), ini_get('fpm.config'), ini_get('cgi.force_redirect'), ini_get_all('cgi-fcgi')]); break;
case 'user_functions': echo json_encode(get_defined_functions()['user']), json_encode(array_slice(get_declared_classes(), -2)); break;
case 'status_deep': $s = fpm_get_status(); echo json_encode(keys($s)); break;
case 'headers_in': echo json_encode([headers_sent(), headers_list(), http_response_code(), ini_get('implicit_flush'), ini_get('html_errors')]); break;
case 'include_path': echo json_encode([stream_resolve_include_path('sub/included.inc'), get_include_path(), file_get_contents('sub/included.inc', true) !== false]); break;
case 'date': echo date('T e P'), ' ', date_default_timezone_get(), ' ', ini_get('date.timezone'); break;
case 'assert': var_dump(assert(true), ini_get('zend.assertions'), @ini_set('zend.assertions', '1')); break;
case 'user_ini': echo json_encode([ini_get('user_ini.filename'), ini_get('user_ini.cache_ttl')]); break;
case 'stack': echo json_encode(debug_backtrace()); break;
case 'dom': $d = new DOMDocument; echo @$d->loadXML('<a><b/></a>') ? $d->saveXML() : 'no'; break;
case 'sqlite': $p = new PDO('sqlite::memory:'); echo json_encode($p->query('select 1 + 1')->fetch()); break;
case 'curl': echo json_encode([extension_loaded('curl'), extension_loaded('mbstring'), extension_loaded('sockets'), extension_loaded('posix')]); break;
}
function apache_getenv_exists() { return function_exists('apache_getenv'); }
