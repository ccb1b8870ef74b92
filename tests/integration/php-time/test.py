"""Time limits, the slow log, opcache in all workers, reload and stop of PHP pools."""

import json
import re
import signal
import subprocess
import time

import fastcgi
import php
import procs
from fastcgi import Connection, params_for, request
from case import plain_only

LIMIT = "request_terminate_timeout = 400ms\n"


def is_504(answer):
    return answer.status == 504 and answer.ended and b"504 Gateway Timeout" in answer.body


def test_a_loop_and_a_sleep_get_a_whole_504(case):
    fpm = php.pool(case, LIMIT)
    for text in ("while (true);", "sleep(60);", "usleep(60000000);",
                 "register_shutdown_function(fn() => sleep(60)); while (true);",
                 "function f($n) { if ($n) f($n - 1); else while (true); } f(50);"):
        start = time.monotonic()
        answer = php.ask(fpm, php.script(case, text))
        assert is_504(answer), (text, answer)
        assert time.monotonic() - start < (10 if case.sanitized else 3), "it took too long"
        fpm.wait_line(r"script '\S+/www/a.php' \(request: \"GET /a.php\"\) execution timed out")
    assert php.run(case, fpm, "echo 'next';") == "next"


def test_a_client_that_stops_sending_gets_it_too(case):
    fpm = php.pool(case, LIMIT)
    path = php.script(case, "echo strlen(stream_get_contents(fopen('php://input', 'r')));")
    for method, kind in (("PUT", ""), ("POST", "application/x-www-form-urlencoded")):
        with Connection(fpm.address()) as client:
            params = params_for("/a.php", path, method, CONTENT_LENGTH=100, CONTENT_TYPE=kind)
            client.send(request(params, b"short")[:-8])
            assert is_504(client.read_answer()), method
    assert php.run(case, fpm, "echo 'next';") == "next"


def test_an_answer_that_was_begun_is_cut_and_not_mixed(case):
    fpm = php.pool(case, LIMIT)
    path = php.script(case, "echo str_repeat('x', 1 << 20); ob_flush(); flush(); sleep(60);")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/a.php", path)))
        try:
            answer = client.read_answer()
            stdout, ended = answer.stdout, answer.ended and answer.app_status == 0
        except fastcgi.Closed as closed:
            stdout, ended = str(closed).encode(), False
    assert b"504" not in stdout.replace(b"x" * 100, b""), stdout[-300:]
    assert not ended, "half an answer looks like a whole one"


def test_slow_requests_give_php_s_stack_and_go_on(case):
    fpm = php.pool(case, "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 200ms\n"
                   "pm.status_path = /status\n")
    case.write("www/inc.php", "<?php\nclass K {\n  static function deep() { usleep(900000); }\n}\n"
               "function outer() {\n  array_map(function ($x) { K::deep(); }, [1]);\n}\nouter();\n")
    text = php.run(case, fpm, "include __DIR__ . '/inc.php';\necho 'went on';")
    assert text == "went on", text
    log = case.dir / "slow.log"
    procs.wait_until(lambda: log.exists() and "a.php:2" in log.read_text(), "the entry")
    lines = log.read_text().strip().split("\n")
    assert re.fullmatch(r"\[\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\]  \[pool www\] pid \d+", lines[0]), lines
    www = f"{case.dir}/www"
    assert lines[1] == f"script_filename = {www}/a.php", lines
    frames = [re.sub(r"^\[0x[0-9a-f]{16}\] ", "", line) for line in lines[2:]]
    assert frames == [f"usleep() {www}/inc.php:3", f"deep() {www}/inc.php:6",
                      f"{{closure}}() {www}/inc.php:6", f"array_map() {www}/inc.php:6",
                      f"outer() {www}/inc.php:8", f"[INCLUDE_OR_EVAL]() {www}/a.php:2"], lines
    # A loop that calls nothing has a place, too.
    php.run(case, fpm, "$end = hrtime(true) + 700000000; $i = 0;\nwhile (true) { $i++;\n"
            "if ($i % 1000 == 0 && hrtime(true) > $end) break; }")
    procs.wait_until(lambda: log.read_text().count("script_filename") == 2, "the second entry")
    assert f"{www}/a.php:" in log.read_text().split("script_filename")[2]
    status = fastcgi.ask(fpm.address(), params_for("/status?json", "/x"))
    assert json.loads(status.body)["slow requests"] == 2, status


def test_the_slow_log_never_shortens_a_sleep(case):
    fpm = php.pool(case, "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 100ms\n")
    for text, expected in (("usleep(400000);", "null"), ("$r = sleep(1);", "0"),
                           ("$r = time_nanosleep(0, 400000000);", "true"),
                           ("$r = time_sleep_until(microtime(true) + 0.4);", "true")):
        seconds = 1 if "sleep(1)" in text else 0.4
        seen = php.run(case, fpm, f"$t = hrtime(true); $r = null; {text}\n"
                       "echo json_encode($r), ' ', (hrtime(true) - $t) / 1e9;")
        result, slept = seen.split()
        assert result == expected and float(slept) >= seconds, (text, seen)
    log = (case.dir / "slow.log").read_text()
    assert log.count("script_filename") == 4 and "usleep()" in log, log


@plain_only  # sanitizers refuse the way in which PHP loads extensions
def test_all_workers_share_one_opcache_and_a_reload_of_another_pool_leaves_it(case):
    settings = php.settings(case) + "pm.max_children = 2\n"
    fpm = case.fpm({"one": settings, "two": settings}, f"control.socket = {case.dir}/ctl")
    text = ("usleep(20000); $s = opcache_get_status(); echo json_encode([getmypid(), "
            "$s['opcache_statistics']['num_cached_scripts'], $s['opcache_statistics']['hits']]);")
    path = php.old_script(case, text)

    def look(pool, times):
        """Two at a time, so that both workers answer."""
        seen = []
        for _ in range(times // 2):
            clients = [Connection(fpm.address(pool)) for _ in range(2)]
            for client in clients:
                client.send(request(params_for("/a.php", path)))
            for client in clients:
                with client:
                    seen.append(json.loads(client.read_answer().body))
        return seen

    first = {pool: look(pool, 20) for pool in ("one", "two")}
    for pool, seen in first.items():
        assert len({pid for pid, _, _ in seen}) == 2, (pool, seen)
        # More than a worker's own 10. Not 18: opcache counts without a lock, and of two hits at once one is lost.
        assert seen[-1][1] == 1 and max(hits for _, _, hits in seen) > 10, (pool, seen)
    before = set(fpm.workers())
    reload_pool(case, "one")
    procs.wait_until(lambda: len(set(fpm.workers()) - before) == 2 and len(fpm.workers()) == 4,
                     "the new workers of one", 20)
    again = {pool: look(pool, 2) for pool in ("one", "two")}
    assert max(hits for _, _, hits in again["one"]) <= 2, again  # a new cache
    assert max(hits for _, _, hits in again["two"]) > 10, again  # the old one


def reload_pool(case, pool):
    subprocess.run([case.build / "tools/fpmctl", "-s", f"{case.dir}/ctl", "reload", pool], check=True,
                   timeout=30)


def test_a_graceful_end_never_shortens_a_sleep(case):
    fpm = php.pool(case)
    path = php.script(case, "echo 'begun'; ob_flush(); flush(); $t = microtime(true); usleep(1500000);"
                      "echo '|', round(microtime(true) - $t, 1) >= 1.5 ? 'slept' : 'woken';")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/a.php", path)))
        client.read_answer(until=lambda answer: answer.body)
        fpm.send(signal.SIGUSR2)
        fpm.wait_line("ready to handle connections", 20)
        assert client.read_answer().stdout.endswith(b"|slept")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/a.php", path)))
        client.read_answer(until=lambda answer: answer.body)
        fpm.send(signal.SIGQUIT)
        assert client.read_answer().stdout.endswith(b"|slept")
    assert fpm.wait_exit(20) == 0


def test_max_requests_and_a_new_worker_from_the_template(case):
    fpm = php.pool(case, "pm.max_requests = 3\n")
    seen = [int(php.run(case, fpm, "echo getmypid();")) for _ in range(12)]
    assert len(set(seen)) >= 4, seen
    assert fpm.wait_templates(1)
