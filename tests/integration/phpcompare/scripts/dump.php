<?php
// What the front told PHP, in PHP's own order.
header('Content-Type: text/plain; charset=UTF-8');
function show($name, $value) {
    echo $name, ': ', json_encode($value, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
foreach ($_SERVER as $key => $value) show("SERVER $key", $value);
foreach (['_GET' => $_GET, '_POST' => $_POST, '_COOKIE' => $_COOKIE, '_REQUEST' => $_REQUEST,
          '_ENV' => $_ENV, 'getenv' => getenv(), 'argv' => $argv ?? null, 'argc' => $argc ?? null,
          'filter' => filter_input_array(INPUT_GET)] as $key => $value) show($key, $value);
show('input', file_get_contents('php://input'));
show('cwd', getcwd());
show('file', [__FILE__, get_included_files()]);
