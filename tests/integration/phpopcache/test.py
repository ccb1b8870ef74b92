"""Opcache serves all workers of a pool from one memory, and each pool has its own.

PHP loads extensions in a way (RTLD_DEEPBIND) that sanitizers refuse: the plain build alone.
"""

import json
import os
import subprocess
import threading

import fastcgi
import front_params
import procs
from case import needs_root, plain_only

STATUS = """<?php
$s = opcache_get_status(true);
if (!is_array($s)) { echo json_encode(['pid' => getmypid(), 'on' => false]); exit; }
$t = $s['opcache_statistics'];
echo json_encode(['pid' => getmypid(), 'on' => $s['opcache_enabled'], 'scripts' => $t['num_cached_scripts'],
    'hits' => $t['hits'], 'misses' => $t['misses'], 'rate' => $t['opcache_hit_rate'], 'start' => $t['start_time'],
    'mine' => array_sum(array_map(fn($one) => $one['hits'], array_filter($s['scripts'],
        fn($one) => basename($one['full_path']) === 'work.php'))),
    'files' => array_map('basename', array_keys($s['scripts'])),
    'memory' => array_sum(array_intersect_key($s['memory_usage'],
        ['used_memory' => 1, 'free_memory' => 1, 'wasted_memory' => 1])),
    'jit' => $s['jit']['on'] ?? false, 'preload' => $s['preload_statistics']['functions'] ?? []]);
"""
WORK = "<?php require __DIR__ . '/part.inc'; echo part(), ' ', getmypid();"
PART = "<?php function part() { return 'part'; }"


EXTENSIONS = ("<?php echo json_encode([extension_loaded('mbstring'), extension_loaded('sqlite3'), "
              "ini_get('precision')]);")


def scripts(case):
    for name, text in {"status.php": STATUS, "work.php": WORK, "part.inc": PART,
                       "ext.php": EXTENSIONS}.items():
        path = case.write(f"www/{name}", text)
        os.utime(path, (1e9, 1e9))  # files of the last seconds are not cached
    return str(case.dir / "www")


def start(case, pools, *options):
    case.needs_php()
    root = scripts(case)
    case.socket = case.dir / "ctl"
    control = "" if case.other_php_fpm else f"control.socket = {case.socket}"
    fpm = case.fpm(pools, control, options=options, program=case.php_fpm)

    def ask(name, pool="www"):
        answer = fastcgi.ask(fpm.address(pool), front_params.nginx(root, "/" + name), limit_s=30)
        assert answer.status == 200, (answer, fpm.text)
        return answer.body

    return fpm, ask, lambda pool="www": json.loads(ask("status.php", pool))


def by_many(ask, count, pool="www"):
    """So many requests from eight clients at a time; pids of the workers that answered."""
    pids, lock = set(), threading.Lock()

    def client():
        for _ in range(count // 8):
            pid = ask("work.php", pool).split()[1]
            with lock:
                pids.add(pid)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return pids


@needs_root
@plain_only
def test_all_workers_use_one_cache(case):
    fpm, ask, status = start(case, {"www": "pm = static\npm.max_children = 4"})
    first = status()
    assert first["on"] is True, "opcache is off"
    ask("work.php")
    before = status()
    pids = by_many(ask, 400)
    after = status()
    # Each request hits work.php and part.inc, whichever worker it came to; nothing is compiled anew.
    # opcache counts without a lock: of two hits at once one is lost.
    assert 390 <= after["mine"] - before["mine"] <= 400, (before, after)
    assert after["misses"] == before["misses"], (before, after)
    assert after["start"] == before["start"], "the workers have different caches"
    assert {"work.php", "part.inc", "status.php"} <= set(after["files"]), after
    assert len(pids) >= 2, "one worker answered all"
    assert after["rate"] > 98, after
    case.say(f"opcache: {after['rate']:.2f} % hits of {after['hits'] + after['misses']}, "
             f"{after['scripts']} scripts, {len(pids)} workers")
    fpm.stop()


@needs_root
@plain_only
def test_the_cache_outlives_its_workers(case):
    fpm, ask, status = start(case, {"www": "pm = static\npm.max_children = 2\n"
                                           "pm.max_requests = 5"})
    ask("work.php")
    before = status()
    pids = by_many(ask, 80)
    after = status()
    assert len(pids) >= 8, pids
    assert after["start"] == before["start"] and after["misses"] == before["misses"], (before, after)
    assert 75 <= after["mine"] - before["mine"] <= 80, (before, after)
    fpm.stop()


@needs_root
@plain_only
def test_pools_have_opcache_and_extensions_of_their_own(case):
    fpm, ask, status = start(case, {
        "small": "php_admin_value[zend_extension] = opcache\nphp_admin_value[extension] = mbstring\n"
                 "php_admin_value[opcache.memory_consumption] = 16\nphp_value[precision] = 5",
        "large": "php_admin_value[zend_extension] = opcache\nphp_admin_value[extension] = sqlite3\n"
                 "php_admin_value[opcache.memory_consumption] = 64",
        "off": "php_admin_value[zend_extension] = opcache\nphp_admin_flag[opcache.enable] = off"},
        "-n")
    assert ask("ext.php", "small") == b'[true,false,"5"]'
    assert ask("ext.php", "large") == b'[false,true,"14"]'
    assert ask("ext.php", "off") == b'[false,false,"14"]'
    ask("work.php", "small")
    small, large = status("small"), status("large")
    assert small["on"] and large["on"] and not status("off")["on"]
    assert small["memory"] <= 16 << 20 < large["memory"] <= 64 << 20, (small, large)
    assert "work.php" in small["files"] and "work.php" not in large["files"], (small, large)
    fpm.stop()


def reload(case, pool):
    done = subprocess.run([case.build / "tools/fpmctl", "-s", case.socket, "reload", pool],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode()


@needs_root
@plain_only
def test_the_reload_of_one_pool_empties_its_cache_alone(case):
    fpm, ask, status = start(case, {name: "pm = static\npm.max_children = 2"
                                    for name in ("one", "other")})
    for pool in ("one", "other"):
        ask("work.php", pool)
        by_many(ask, 16, pool)
    before = {pool: status(pool) for pool in ("one", "other")}
    old = {pid for pid in fpm.wait_workers(4) if procs.command_line(pid).endswith("pool one")}
    assert len(old) == 2, old
    reload(case, "one")
    # The new generation serves when the command returns; an old worker may take one connection more.
    procs.wait_until(lambda: not old & set(fpm.workers()), "the old workers have gone")
    after = {pool: status(pool) for pool in ("one", "other")}
    assert after["one"]["pid"] != before["one"]["pid"]
    assert "work.php" not in after["one"]["files"] and after["one"]["hits"] < before["one"]["hits"], after
    assert after["other"]["start"] == before["other"]["start"], (before, after)
    assert after["other"]["hits"] > before["other"]["hits"], (before, after)
    assert "work.php" in after["other"]["files"], after
    fpm.stop()


@needs_root
@plain_only
def test_preloading_and_jit_and_file_cache(case):
    preload = case.write("www/preload.php", "<?php function preloaded() { return 'yes'; }")
    cache = case.folder("cache")
    fpm, ask, status = start(case, {
        "preload": f"php_admin_value[opcache.preload] = {preload}\n"
                   "php_admin_value[opcache.preload_user] = www-data",
        "jit": "php_admin_value[opcache.jit] = tracing\n"
               "php_admin_value[opcache.jit_buffer_size] = 8M",
        "file": f"php_admin_value[opcache.file_cache] = {cache}"})
    case.write("www/call.php", "<?php echo preloaded();")
    assert ask("call.php", "preload") == b"yes"
    assert "preloaded" in status("preload")["preload"]
    assert status("jit")["jit"] is True and status("file")["jit"] is False
    ask("work.php", "file")
    assert list(cache.rglob("work.php.bin")), list(cache.rglob("*"))
    fpm.stop()
