<?php
$c = $_GET['c'] ?? 'count';
switch ($c) {
case 'count':
    session_start();
    $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
    echo session_id(), ' ', $_SESSION['n'], ' ', session_status(), ' ', session_name(), "\n";
    break;
case 'destroy':
    session_start();
    echo json_encode($_SESSION);
    session_destroy();
    echo ' ', session_status(), ' ', json_encode($_SESSION), "\n";
    break;
case 'regenerate':
    session_start();
    $before = session_id();
    session_regenerate_id(true);
    echo strlen(session_id()), ' ', var_export($before === session_id(), true), ' ', json_encode($_SESSION), "\n";
    break;
case 'limiter':
    session_cache_limiter($_GET['l']);
    session_cache_expire(30);
    session_start();
    echo session_cache_limiter(), ' ', session_cache_expire(), "\n";
    break;
case 'cookie':
    session_set_cookie_params(['lifetime' => 0, 'path' => '/app', 'domain' => 'www.example',
                               'secure' => true, 'httponly' => true, 'samesite' => 'Lax']);
    session_name('OWN');
    session_start();
    echo json_encode(session_get_cookie_params()), "\n";
    break;
case 'read':
    session_start(['read_and_close' => true]);
    echo json_encode($_SESSION), ' ', session_status(), "\n";
    break;
case 'late':
    echo str_repeat('x', 5000);
    flush();
    session_start();
    break;
case 'handler':
    session_set_save_handler(new class implements SessionHandlerInterface {
        public function open($path, $name): bool { echo "open $name\n"; return true; }
        public function close(): bool { echo "close\n"; return true; }
        public function read($id): string { echo "read\n"; return 'a|i:7;'; }
        public function write($id, $data): bool { echo "write $data\n"; return true; }
        public function destroy($id): bool { return true; }
        public function gc($n): int { return 0; }
    }, true);
    ob_start();
    session_start();
    $_SESSION['b'] = 2;
    break;
case 'trans':
    ini_set('session.use_only_cookies', '0');
    ini_set('session.use_trans_sid', '1');
    session_start();
    echo '<a href="/next.php">next</a><form action="x"></form> ', SID !== '' ? 'SID' : 'no SID';
    break;
case 'abort':
    session_start();
    $_SESSION['before'] = 1;
    session_abort();
    session_start();
    echo json_encode($_SESSION), "\n";
    break;
}
