<?php
header('Content-Type: text/plain');
$s = fpm_get_status();
if ($_GET['c'] === 'keys') { echo json_encode(array_keys($s)), json_encode(array_keys($s['procs'][0])), count($s['procs']); }
if ($_GET['c'] === 'pool') echo json_encode([$s['pool'], $s['process-manager'], $s['listen-queue'], $s['active-processes'], $s['total-processes'], $s['idle-processes'], $s['max-children-reached'], $s['slow-requests']]);
if ($_GET['c'] === 'types') echo json_encode(array_map('gettype', $s)), json_encode(array_map('gettype', $s['procs'][0]));
if ($_GET['c'] === 'process') { $p = $s['procs'][0]; echo json_encode([$p['pid'] === getmypid(), $p['state'], $p['request-method'], $p['request-uri'], $p['query-string'], $p['request-length'], $p['user'], $p['script']]); }
