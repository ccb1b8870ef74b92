<?php
class Thrown extends Exception {}
function deep($n) { return $n > 0 ? deep($n - 1) : throw new Thrown("deep <b> & \"quotes\"\nsecond line", 7); }
if (isset($_GET['html'])) ini_set('html_errors', $_GET['html']);
if (isset($_GET['display'])) ini_set('display_errors', $_GET['display']);
if (isset($_GET['log'])) ini_set('log_errors', $_GET['log']);
if (isset($_GET['level'])) error_reporting((int)$_GET['level']);
if (isset($_GET['before'])) { echo "before\n"; }
if (isset($_GET['flushed'])) { ob_end_flush(); echo "flushed\n"; flush(); }
switch ($_GET['c']) {
case 'notice': echo $undefined; break;
case 'warning': echo 1; array_combine([1], $x ?? [1]); file_get_contents('/nonexistent/file'); break;
case 'deprecated': strlen(null); break;
case 'user_error': trigger_error('mine', E_USER_ERROR); echo 'not reached'; break;
case 'user_warning': trigger_error('mine', E_USER_WARNING); echo 'reached'; break;
case 'user_notice': trigger_error("two\nlines", E_USER_NOTICE); break;
case 'user_deprecated': trigger_error('old', E_USER_DEPRECATED); break;
case 'exception': deep(3);
case 'type_error': strlen([]); break;
case 'arguments': deep(); break;
case 'undefined_function': no_such_function(); break;
case 'undefined_class': new NoSuchClass; break;
case 'undefined_method': (new Thrown)->nothing(); break;
case 'division': echo 1 % 0; break;
case 'match': echo match (5) { 1 => 2 }; break;
case 'nested': try { deep(1); } catch (Thrown $e) { throw new LogicException('outer', 1, $e); } break;
case 'require': require 'nonexistent.php'; break;
case 'include': include 'nonexistent.php'; echo 'goes on'; break;
case 'parse_include': include __DIR__ . '/syntax.php'; break;
case 'eval': eval('this is no php'); break;
case 'memory': $s = str_repeat('x', 64 << 20); break;
case 'memory_slow': $a = []; while (true) $a[] = str_repeat('x', 1 << 20); break;
case 'abstract': eval('class A { abstract function f(); }'); break;
case 'redeclare': function deep2() {} eval('function deep2() {}'); break;
case 'compile': eval('const A = 1; class B extends NoSuch {}'); break;
case 'silenced': echo @$undefined, @file_get_contents('/nonexistent'); echo 'quiet'; break;
case 'handler': set_error_handler(function ($no, $text) { echo "handled $no $text\n"; }); echo $undefined; break;
case 'exception_handler': set_exception_handler(function ($e) { echo 'handled ', get_class($e), "\n"; }); deep(1); break;
case 'handler_throws': set_exception_handler(function ($e) { throw new Exception('again'); }); deep(1); break;
case 'shutdown': register_shutdown_function(function () { echo json_encode(error_get_last()); }); no_such_function(); break;
case 'shutdown_throws': register_shutdown_function(function () { throw new Exception('at the end'); }); echo 'body'; break;
case 'shutdown_fatal_twice': register_shutdown_function(function () { other_missing(); }); no_such_function(); break;
case 'destructor': $o = new class { function __destruct() { throw new Exception('destructor'); } }; break;
case 'ob_callback': ob_start(function ($b) { return strtoupper($b) . error_get_last()['message'] ?? ''; }); echo $undefined; break;
case 'ob_callback_fatal': ob_start(function ($b) { no_such_function(); }); echo 'lost?'; break;
case 'error_log': error_log('one'); error_log("two\nlines"); error_log(str_repeat('long ', 400)); echo 'done'; break;
case 'error_log_many': for ($i = 0; $i < 60; $i++) error_log("line $i"); echo 'done'; break;
case 'error_log_binary': error_log("a\0b\x01\xff"); echo 'done'; break;
case 'error_log_sapi': error_log('sapi', 4); echo 'done'; break;
case 'error_log_file': error_log("file\n", 3, ini_get('upload_tmp_dir') . '/log'); echo file_get_contents(ini_get('upload_tmp_dir') . '/log'); break;
case 'error_log_own': ini_set('error_log', ini_get('upload_tmp_dir') . '/own'); error_log('into own'); echo preg_replace('/^\[.*?\] /', '', file_get_contents(ini_get('upload_tmp_dir') . '/own')); break;
case 'error_prepend': ini_set('error_prepend_string', '<i>'); ini_set('error_append_string', '</i>'); echo $undefined; break;
case 'track': ini_set('xmlrpc_errors', '1'); echo $undefined; break;
case 'stderr': file_put_contents('php://stderr', "to stderr\n"); echo 'done'; break;
case 'stdout': file_put_contents('php://stdout', "to stdout\n"); echo 'done'; break;
case 'stdin': echo var_export(defined('STDIN'), true), json_encode(file_get_contents('php://stdin')); break;
case 'output_stream': file_put_contents('php://output', "to output\n"); break;
case 'time_limit': set_time_limit(1); while (true); break;
case 'time_limit_ini': ini_set('max_execution_time', '1'); for ($i = 0;; $i++); break;
case 'assert': ini_set('assert.exception', '1'); var_dump(assert(false)); break;
case 'readonly': $o = new class { public function __construct(public readonly int $x = 1) {} }; $o->x = 2; break;
case 'enum': echo json_encode(['r' => fopen('php://memory', 'r')]), json_last_error_msg(); break;
case 'stack': function f($a) { return f($a + 1); } ini_set('memory_limit', '8M'); f(0); break;
case 'backtrace': debug_print_backtrace(); deep2b(); function deep2b() { debug_print_backtrace(); } break;
}
