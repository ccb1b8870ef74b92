<?php
// The log that php.ini, a pool or a script named, without its times.
header('Content-Type: text/plain');
error_log("one\nand two");
error_log("z\0y \x1b[31m");
echo $undefined ?? trigger_error('noticed', E_USER_NOTICE);
// By a name that is not known before: opcache makes a constant of the call else, for all pools that share it.
$file = ini_get($_GET['of']);
echo $file, "\n", preg_replace('/^\[[^]]*\]/m', '[]', (string)@file_get_contents($file));
