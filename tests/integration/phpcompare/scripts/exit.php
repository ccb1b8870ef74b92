<?php
switch ($_GET['c']) {
case 'zero': exit(0);
case 'three': exit(3);
case 'max': exit(255);
case 'big': exit(300);
case 'negative': exit(-1);
case 'text': exit("good bye\n");
case 'empty': exit;
case 'in_function': (function () { exit(4); })();
case 'shutdown': register_shutdown_function(function () { echo 'after '; exit(5); }); exit(2);
case 'shutdown_order': register_shutdown_function(fn() => print('a')); register_shutdown_function(fn() => print('b')); exit(1);
case 'buffered': ob_start(); echo 'kept'; exit(1);
case 'buffered_twice': ob_start(); echo 'one '; ob_start(); echo 'two '; exit(1);
case 'destructor': $o = new class { function __destruct() { echo 'destructed'; } }; exit(6);
case 'finally': try { exit(1); } finally { echo 'not reached'; }
case 'include': include __DIR__ . '/returns.php'; echo 'on';
    break;
case 'die': die('dead');
case 'output_then': echo 'out'; flush(); exit(9);
case 'halt': __halt_compiler_test();
case 'return': return 7;
case 'generator': foreach ((function () { yield 1; exit(3); })() as $x) echo $x;
}
function __halt_compiler_test() { echo 'function'; }
