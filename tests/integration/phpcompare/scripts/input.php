<?php
header('Content-Type: text/plain');
switch ($_GET['c']) {
case 'all': $x = file_get_contents('php://input'); echo strlen($x), ' ', md5($x), "\n"; break;
case 'twice': echo file_get_contents('php://input'), '|', file_get_contents('php://input'), "\n"; break;
case 'seek': $f = fopen('php://input', 'rb'); echo fread($f, 3), '|'; fseek($f, 0); echo stream_get_contents($f), '|', ftell($f), feof($f), "\n"; break;
case 'small': $f = fopen('php://input', 'rb'); $n = 0; while (!feof($f)) { $s = fread($f, 7); $n += strlen($s); } echo $n, "\n"; break;
case 'post': echo json_encode($_POST), ' ', json_encode($_FILES), ' ', strlen(file_get_contents('php://input')), "\n"; break;
case 'part': $f = fopen('php://input', 'rb'); echo strlen(fread($f, 100)), "\n"; break;
case 'none': echo "unread\n"; break;
case 'stat': $f = fopen('php://input', 'rb'); echo json_encode(array_intersect_key(stream_get_meta_data($f), ['mode' => 1, 'seekable' => 1, 'stream_type' => 1, 'eof' => 1])), "\n"; break;
case 'copy': $to = fopen('php://memory', 'w+'); echo stream_copy_to_stream(fopen('php://input', 'rb'), $to), "\n"; break;
case 'after_finish': echo 'a'; fastcgi_finish_request(); break;
case 'raw': echo json_encode($GLOBALS['HTTP_RAW_POST_DATA'] ?? null), "\n"; break;
case 'length': echo json_encode($_SERVER['CONTENT_LENGTH'] ?? null), json_encode($_SERVER['CONTENT_TYPE'] ?? null), strlen(file_get_contents('php://input')), "\n"; break;
}
