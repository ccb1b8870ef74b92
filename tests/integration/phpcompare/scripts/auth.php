<?php
header('Content-Type: text/plain');
foreach (['PHP_AUTH_USER', 'PHP_AUTH_PW', 'PHP_AUTH_DIGEST', 'AUTH_TYPE', 'REMOTE_USER', 'HTTP_AUTHORIZATION', 'REDIRECT_REMOTE_USER'] as $name) {
    echo "$name ", var_export($_SERVER[$name] ?? null, true), ' ', var_export(getenv($name), true), "\n";
}
echo json_encode(getallheaders()), "\n";
