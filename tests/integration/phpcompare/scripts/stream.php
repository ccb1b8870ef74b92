<?php
$n = (int)($_GET['n'] ?? 1);
switch ($_GET['c']) {
case 'size': echo str_repeat('0123456789abcdef', intdiv($n, 16)), substr('0123456789abcdef', 0, $n % 16); break;
case 'bytes': for ($i = 0; $i < $n; $i++) echo 'x'; break;
case 'flush': for ($i = 0; $i < $n; $i++) { echo "part $i\n"; flush(); } break;
case 'ob_flush': for ($i = 0; $i < $n; $i++) { echo "part $i\n"; ob_flush(); flush(); } break;
case 'implicit': ob_implicit_flush(true); while (ob_get_level()) ob_end_flush(); for ($i = 0; $i < $n; $i++) echo "part $i\n"; break;
case 'unbuffered': while (ob_get_level()) ob_end_clean(); echo 'a'; echo 'b'; echo str_repeat('c', $n); break;
case 'flush_first': flush(); echo 'after'; break;
case 'nested': ob_start(); echo 'a'; ob_start(fn($b) => "[$b]"); echo 'b'; ob_end_flush(); echo 'c'; echo ob_get_level(); break;
case 'chunks': ob_start(fn($b) => '<' . strlen($b) . '>', 10); for ($i = 0; $i < 30; $i++) echo 'xy'; break;
case 'clean': ob_start(); echo 'gone'; ob_clean(); echo 'kept'; ob_end_flush(); break;
case 'status': ob_start(); echo json_encode(ob_get_status(true)), json_encode(ob_list_handlers()); break;
case 'rewrite': output_add_rewrite_var('v', '1'); echo '<a href="x.php">x</a>'; break;
case 'passthru': passthru('echo from the shell; exit 3', $code); echo $code; break;
case 'shell': echo shell_exec('echo $FROM_OUTSIDE-$POOL_VALUE-$USER-$HOME; pwd'); break;
case 'readfile': readfile(__DIR__ . '/data.bin'); break;
case 'fpassthru': $f = fopen(__DIR__ . '/data.bin', 'rb'); fseek($f, 100); fpassthru($f); break;
case 'binary': for ($i = 0; $i < 256; $i++) echo chr($i); break;
case 'nothing': break;
case 'newline_only': echo "\n"; break;
case 'crlf': echo "\r\n\r\n"; break;
case 'print_after_headers': header('X-A: 1'); flush(); echo 'b'; flush(); echo 'c'; break;
}
