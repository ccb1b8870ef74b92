<?php
header('Content-Type: text/plain');
function child($command, $pipes = [1 => ['pipe', 'w']], $env = null) {
    $p = proc_open($command, $pipes, $ends, null, $env);
    $text = stream_get_contents($ends[1]);
    return [$text, proc_close($p)];
}
switch ($_GET['c']) {
case 'environment': echo shell_exec('env | grep -v "^\(_\|SHLVL\|OLDPWD\)=" | sort'); break;
case 'environment_given': echo json_encode(child('env | grep -v "^\(_\|SHLVL\|OLDPWD\|PWD\)=" | sort', [1 => ['pipe', 'w']], ['A' => '1'])); break;
case 'fds': echo json_encode(array_map(fn($l) => preg_replace('/\d+\]/', 'N]', $l), explode("\n", shell_exec('for f in 1 2; do readlink /proc/self/fd/$f; done')))); break;
case 'fd_count': echo shell_exec('ls /proc/self/fd | wc -l'); break;
case 'own_fds': echo is_resource(@fopen('php://fd/3', 'r')) ? 'open' : 'closed'; break;
case 'signals': echo shell_exec('grep "^Sig[BIC]" /proc/self/status'); break;
case 'limits': echo shell_exec('cat /proc/self/limits'); break;
case 'nice': echo shell_exec('nice; cat /proc/self/oom_score_adj; umask; ulimit -c'); break;
case 'capabilities': echo shell_exec('grep "^Cap\|^NoNewPrivs\|^Groups\|^Uid\|^Gid\|^Seccomp:" /proc/self/status'); break;
case 'groups': echo json_encode([posix_getgroups(), posix_getuid(), posix_getegid(), posix_getlogin() === false, get_current_user()]); break;
case 'exit_code': exec('exit 7', $out, $code); system('exit 3', $other); echo $code, $other, json_encode(child('exit 9')); break;
case 'killed': echo json_encode(child('kill -9 $$')); $p = popen('kill -TERM $$', 'r'); echo pclose($p); break;
case 'status': $p = proc_open(['sleep', '5'], [], $x); $s = proc_get_status($p); echo json_encode([$s['running'], $s['command']]); proc_terminate($p); proc_close($p); break;
case 'stdin': $p = proc_open('cat', [['pipe', 'r'], ['pipe', 'w'], ['pipe', 'w']], $ends); fwrite($ends[0], str_repeat('z', 100000) . "\n"); fclose($ends[0]); echo md5(stream_get_contents($ends[1])); proc_close($p); break;
case 'stderr': echo json_encode([exec('echo out; echo err >&2'), shell_exec('echo both 2>&1')]); break;
case 'popen': $p = popen('cat >/dev/null', 'w'); fwrite($p, 'x'); echo pclose($p); break;
case 'background': exec('sleep 1 >/dev/null 2>&1 &'); echo 'at once'; break;
case 'missing': echo json_encode([@exec('no_such_program_here 2>/dev/null', $o, $c), $c, @proc_open(['/no/such/file'], [], $p)]); break;
case 'title': echo json_encode([function_exists('cli_set_process_title'), function_exists('setproctitle')]); break;
case 'timer': $t = hrtime(true); time_nanosleep(0, 30000000); echo hrtime(true) - $t > 30000000 ? 'slept' : 'woken'; break;
case 'uname': echo php_uname(), ' ', gethostname(), ' ', PHP_OS_FAMILY; break;
case 'own': echo json_encode([getmyuid(), getmygid(), getmyinode() === fileinode(__FILE__), getlastmod() === filemtime(__FILE__), get_current_user(), getmypid() === posix_getpid()]); break;
case 'pgrp': echo json_encode([posix_getpgrp() > 1, posix_getsid(0) > 1, posix_ttyname(0), posix_isatty(1), posix_ctermid()]); break;
case 'self_status': echo preg_replace('/(\d+)/', 'N', implode(preg_grep('/^(Umask|State|TracerPid|Threads|SigQ|NoNewPrivs|Seccomp)/', file('/proc/self/status')))); break;
case 'self_signals': echo implode(preg_grep('/^(SigBlk|SigIgn)/', file('/proc/self/status'))); break;
case 'socket': $s = stream_socket_server('tcp://127.0.0.1:0', $no, $text); $c = stream_socket_client('tcp://' . stream_socket_get_name($s, false)); $d = stream_socket_accept($s); fwrite($c, "hello\n"); echo fgets($d); break;
case 'pair': [$a, $b] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0); fwrite($a, "x\n"); echo fgets($b); break;
case 'temporary': $f = tmpfile(); fwrite($f, 'abc'); rewind($f); echo fread($f, 9), sys_get_temp_dir(), strlen(basename(tempnam('', 'a'))); break;
case 'lock': $f = fopen(sys_get_temp_dir() . '/fpm-odd-' . getmypid(), 'c'); echo json_encode([flock($f, LOCK_EX | LOCK_NB), flock($f, LOCK_UN)]); unlink(stream_get_meta_data($f)['uri']); break;
case 'dns': echo gethostbyname('localhost'), ' ', json_encode(gethostbynamel('localhost')), getservbyname('http', 'tcp'); break;
case 'disk': echo is_float(disk_free_space('/')), is_array(stat(__FILE__)), is_writable(__FILE__) ? 'writable' : 'fixed'; break;
}
