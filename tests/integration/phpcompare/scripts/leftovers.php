<?php
// What one request leaves to the next of the same worker: `set` changes, `get` looks.
$looks = [
    'ini' => fn() => [ini_get('precision'), ini_get('memory_limit'), ini_get('display_errors'), error_reporting(), get_include_path()],
    'handlers' => fn() => [set_error_handler(null), set_exception_handler(null), spl_autoload_functions(), assert_options(ASSERT_CALLBACK)],
    'wrapper' => fn() => [in_array('odd', stream_get_wrappers()), in_array('odd', stream_get_filters()), stream_context_get_options(stream_context_get_default())],
    'encoding' => fn() => [mb_internal_encoding(), mb_substitute_character(), ini_get('default_charset')],
    'random' => fn() => [mt_rand() === 1387371662, rand() === 1387371662],
    'environment' => fn() => [getenv('PATH'), getenv('TZ'), getenv('LEFT'), trim(shell_exec('echo $LEFT-$PATH-$TZ'))],
    'names' => fn() => [defined('LEFT'), function_exists('left'), class_exists('Left'), class_exists('Aliased')],
    'state' => fn() => [gc_enabled(), ignore_user_abort(), connection_status(), ob_get_level(), headers_list(), http_response_code(), session_status()],
    'locale' => fn() => [sprintf('%f %.2F', 1.5, 2.5), setlocale(LC_NUMERIC, 0), localeconv()['decimal_point'], strtoupper("\xe4")],
    'xml' => fn() => [libxml_use_internal_errors(), libxml_get_errors()],
    'folder' => fn() => [getcwd(), realpath('.'), file_exists('leftovers.php'), trim(shell_exec('pwd'))],
    'zone' => fn() => [date_default_timezone_get(), date('H:i', 0), strftime('%H:%M', 0)],
    'last' => fn() => [error_get_last(), preg_last_error(), json_last_error(), posix_get_last_error() !== 0],
    'limits' => fn() => [ini_get('max_execution_time'), memory_get_usage() < 5e6, memory_get_peak_usage() < 8e6],
    'priority' => fn() => [posix_getrlimit()['soft core'] ?? null, umask(), proc_nice(0)],
    'rewrite' => fn() => ['<a href="x.php?a=1">x</a>'],
    'random_state' => fn() => [lcg_value() >= 0, uniqid() !== uniqid()],
    'iconv' => fn() => [iconv_get_encoding('internal_encoding')],
];
$changes = [
    'ini' => function () { ini_set('precision', '3'); ini_set('memory_limit', '64M'); ini_set('display_errors', '0'); error_reporting(0); set_include_path('/tmp'); },
    'handlers' => function () { set_error_handler(fn() => true); set_exception_handler(fn() => print 'caught'); spl_autoload_register(fn($c) => print "load $c"); assert_options(ASSERT_CALLBACK, 'strlen'); },
    'wrapper' => function () { stream_wrapper_register('odd', 'ArrayObject'); stream_filter_register('odd', 'php_user_filter'); stream_context_set_default(['http' => ['method' => 'PUT']]); stream_wrapper_unregister('http'); },
    'encoding' => function () { mb_internal_encoding('ISO-8859-1'); mb_substitute_character(0x3013); ini_set('default_charset', 'x'); },
    'random' => function () { mt_srand(3); },
    'environment' => function () { putenv('LEFT=here'); putenv('PATH=/bin'); putenv('TZ=Asia/Tokyo'); },
    'names' => function () { define('LEFT', 1); eval('function left() {} class Left {}'); class_alias('ArrayObject', 'Aliased'); },
    'state' => function () { gc_disable(); ignore_user_abort(true); ob_start(); ob_start(); header('X-Left: 1'); http_response_code(202); @session_start(); },
    'locale' => function () { setlocale(LC_ALL, 'de_DE.UTF-8', 'C.UTF-8', 'POSIX'); },
    'xml' => function () { libxml_use_internal_errors(true); @simplexml_load_string('<a'); },
    'folder' => function () { chdir('/tmp'); },
    'zone' => function () { date_default_timezone_set('Asia/Tokyo'); ini_set('date.timezone', 'America/New_York'); },
    'last' => function () { @file_get_contents('/nonexistent'); preg_match('/(?:\D+|<\d+>)*[!?]/', 'foobar foobar foobar'); json_decode('{'); posix_kill(1, 0); },
    'limits' => function () { set_time_limit(7); $GLOBALS['big'] = str_repeat('x', 9 << 20); },
    'priority' => function () { umask(0077); },
    'rewrite' => function () { output_add_rewrite_var('left', '1'); },
    'random_state' => function () { mt_srand(1); },
    'iconv' => function () { iconv_set_encoding('internal_encoding', 'ISO-8859-1'); },
];
$name = $_GET['c'];
if (isset($_GET['set'])) { $changes[$name](); echo 'changed '; }
if (isset($_GET['die'])) no_such_function();
if (isset($_GET['exit'])) exit('left');
echo json_encode(@$looks[$name](), JSON_PARTIAL_OUTPUT_ON_ERROR);
