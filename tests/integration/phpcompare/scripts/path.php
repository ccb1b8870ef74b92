<?php
header('Content-Type: text/plain');
foreach (['SCRIPT_FILENAME', 'SCRIPT_NAME', 'PATH_INFO', 'PATH_TRANSLATED', 'PHP_SELF',
          'REQUEST_URI', 'DOCUMENT_ROOT', 'QUERY_STRING', 'ORIG_PATH_INFO', 'ORIG_SCRIPT_NAME',
          'ORIG_SCRIPT_FILENAME', 'ORIG_PATH_TRANSLATED', 'FCGI_ROLE'] as $name) {
    foreach (['_SERVER' => $_SERVER[$name] ?? null, 'getenv' => getenv($name)] as $where => $value) {
        echo "$name $where ", var_export($value, true), "\n";
    }
}
echo __FILE__, ' ', getcwd(), ' ', getmyinode() > 0 ? 'inode' : '', "\n";
