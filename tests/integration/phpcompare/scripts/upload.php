<?php
header('Content-Type: text/plain');
foreach ($_FILES as $field => $file) {
    echo "$field: ";
    $file['content'] = array_map(function ($name) {
        return $name === '' ? '' : (is_uploaded_file($name) ? 'uploaded ' : 'no upload ')
            . (is_file($name) ? filesize($name) . ' ' . md5_file($name) : 'gone');
    }, (array)$file['tmp_name']);
    echo json_encode($file, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
echo 'post: ', json_encode($_POST), "\n";
echo 'input: ', strlen(file_get_contents('php://input')), "\n";
if (isset($_GET['move'])) {
    $to = ini_get('upload_tmp_dir') . '/../out/moved';
    foreach ($_FILES as $file) {
        var_dump(move_uploaded_file($file['tmp_name'], $to), is_file($file['tmp_name']), md5_file($to));
        var_dump(move_uploaded_file($file['tmp_name'], $to), fileperms($to) & 0777);
    }
}
