<?php
$file = ini_get('upload_tmp_dir') . '/finish-' . ($_GET['id'] ?? 'x');
switch ($_GET['c']) {
case 'write':
    echo 'answered';
    var_dump(fastcgi_finish_request());
    echo 'not seen';
    file_put_contents($file, 'worked on, ' . connection_status() . ' ' . json_encode(headers_sent()));
    break;
case 'read': echo file_get_contents($file); break;
case 'twice': echo 'a'; $one = fastcgi_finish_request(); $two = fastcgi_finish_request(); file_put_contents($file, json_encode([$one, $two])); break;
case 'headers': header('X-A: 1'); http_response_code(202); fastcgi_finish_request(); header('X-B: 1'); echo 'x'; break;
case 'nothing': fastcgi_finish_request(); file_put_contents($file, 'empty'); break;
case 'buffered': ob_start(); echo 'in a buffer'; ob_start(); echo ' and another'; fastcgi_finish_request(); file_put_contents($file, (string)ob_get_level()); break;
case 'session': session_start(); $_SESSION['a'] = 1; echo session_id(); fastcgi_finish_request(); $_SESSION['a'] = 2; break;
case 'error': echo 'a'; fastcgi_finish_request(); echo $undefined; no_such_function(); break;
case 'error_log': echo 'a'; fastcgi_finish_request(); error_log('after the end'); break;
case 'shutdown': register_shutdown_function(function () use ($file) { file_put_contents($file, 'at the end ' . connection_status()); }); echo 'a'; fastcgi_finish_request(); exit(3);
case 'large': echo str_repeat('y', 300000); fastcgi_finish_request(); file_put_contents($file, 'large'); break;
case 'body': fastcgi_finish_request(); file_put_contents($file, strlen(file_get_contents('php://input'))); break;
case 'in_shutdown': register_shutdown_function('fastcgi_finish_request'); echo 'a'; break;
case 'abort': ignore_user_abort(true); echo 'a'; fastcgi_finish_request(); for ($i = 0; $i < 10; $i++) { echo 'x'; flush(); } file_put_contents($file, connection_aborted() . ' ' . connection_status()); break;
}
