"""template = shared: one process loads PHP for all pools."""

import json
import os
import pwd
import re
import signal

import fastcgi
import php
import procs
from case import needs_root, plain_only
from fpm import run_once

SHARED = "template = shared\n"
WHO = ("$s = opcache_get_status(); echo json_encode([posix_geteuid(), ini_get('user_agent'), getmypid(),"
       "$s['opcache_statistics']['num_cached_scripts'], $s['opcache_statistics']['hits'],"
       "extension_loaded('shmop'), getenv('SECRET'), ini_set('user_agent', 'x')]);")


def ask(fpm, pool, path):
    answer = fastcgi.ask(fpm.address(pool), fastcgi.params_for("/a.php", path))
    assert answer.status == 200, answer
    return json.loads(answer.body)


def loaders(fpm):
    return [one.pid for one in procs.descendants(fpm.pid)
            if "template of all pools" in procs.command_line(one.pid)]


def loader(fpm):
    """The one process that loads, which has its title a moment after it was made."""
    procs.wait_until(lambda: len(loaders(fpm)) == 1, "one process that loads PHP", 10)
    return loaders(fpm)[0]


def pool_templates(fpm):
    return [one.pid for one in procs.descendants(fpm.pid)
            if "template of pool" in procs.command_line(one.pid)]


@plain_only  # opcache is loaded with RTLD_DEEPBIND, which sanitizers refuse
@needs_root
def test_pools_of_several_users_share_one_php_and_one_opcache(case):
    settings = php.settings(case)
    fpm = case.fpm({
        "one": settings + "php_value[user_agent] = first\nenv[SECRET] = s1\n",
        "two": settings + "user = nobody\ngroup = nogroup\nphp_admin_value[user_agent] = second\n"
               "pm = ondemand\n"},
        SHARED)
    path = php.old_script(case, WHO)
    loading = loader(fpm)
    first = ask(fpm, "one", path)
    second = ask(fpm, "two", path)
    assert [first[0], first[1], first[6], first[7]] == [pwd.getpwnam("www-data").pw_uid, "first", "s1",
                                                        "first"], first
    assert [second[0], second[1], second[6], second[7]] == [pwd.getpwnam("nobody").pw_uid, "second",
                                                            False, False], second
    # One cache: the script that the first pool compiled is the second's, too.
    assert first[3:5] == [1, 0] and second[3:5] == [1, 1], (first, second)
    assert loaders(fpm) == [loading]
    # A pool's own template goes when no worker is wanted.
    procs.wait_until(lambda: not pool_templates(fpm), "the pools' templates end", 10)
    assert ask(fpm, "one", path)[2] == first[2], "the worker went with its template"


@plain_only  # extensions are loaded with RTLD_DEEPBIND, which sanitizers refuse
def test_extensions_and_functions_of_a_pool_are_its_own(case):
    settings = php.settings(case)
    fpm = case.fpm({
        "one": settings + "php_admin_value[extension] = shmop\n"
               "php_admin_value[disable_functions] = exec\n",
        "two": settings}, SHARED, options=["-n"])
    text = ("echo json_encode([extension_loaded('shmop'), function_exists('shmop_open'),"
            " function_exists('exec'), extension_loaded('Zend OPcache')]);")
    path = php.script(case, text)
    assert ask(fpm, "one", path) == [True, True, False, False]
    assert ask(fpm, "two", path) == [False, False, True, False]


def test_the_end_of_the_process_costs_nothing_that_runs(case):
    fpm = php.pool(case, global_lines=SHARED)
    path = php.script(case, "echo getmypid();")
    worker = ask(fpm, "www", path)
    loading = loader(fpm)
    os.kill(loading, signal.SIGKILL)
    fpm.wait_line("the template of all pools ended on signal SIGKILL")
    assert ask(fpm, "www", path) == worker
    procs.wait_until(lambda: not pool_templates(fpm), "the pool's template ends", 10)
    os.kill(worker, signal.SIGKILL)
    procs.wait_until(lambda: fpm.workers() and worker not in fpm.workers(), "another worker", 10)
    assert ask(fpm, "www", path) != worker
    assert loader(fpm) != loading


def test_a_reload_loads_php_anew(case):
    ini = case.write("php.ini", "user_agent = old\n")
    fpm = php.pool(case, global_lines=SHARED, options=["-c", ini])
    path = php.script(case, "echo json_encode([ini_get('user_agent'), getmypid()]);")
    before = ask(fpm, "www", path)
    loading = loader(fpm)
    ini.write_text("user_agent = new\n")
    fpm.send(signal.SIGUSR2)
    procs.wait_until(lambda: before[1] not in fpm.workers() and fpm.workers(), "the new workers", 20)
    after = ask(fpm, "www", path)
    assert before[0] == "old" and after[0] == "new", (before, after)
    procs.wait_until(lambda: len(loaders(fpm)) == 1 and loaders(fpm) != [loading], "the new process", 10)


def test_a_time_limit_and_recycling_work_as_ever(case):
    fpm = php.pool(case, "request_terminate_timeout = 400ms\npm.max_requests = 2\n", global_lines=SHARED)
    answer = php.ask(fpm, php.script(case, "while (true);"))
    assert answer.status == 504 and answer.ended, answer
    seen = {ask(fpm, "www", php.script(case, "echo getmypid();", "b.php")) for _ in range(9)}
    assert len(seen) >= 4, seen


def test_output_goes_to_the_log_of_each_pool(case):
    log = case.dir / "two.log"
    settings = php.settings(case)
    fpm = case.fpm({"one": settings + "catch_workers_output = yes\n",
                    "two": settings + f"output_log = {log}\n"}, SHARED)
    path = php.script(case, "fwrite(fopen('php://stderr', 'w'), \"told\\n\"); echo 1;")
    for pool in ("one", "two"):
        assert ask(fpm, pool, path) == 1
    fpm.wait_line(r"\[pool one\] child \d+ said into stderr: \"told\"")
    procs.wait_until(lambda: "told" in log.read_text(), "the line of the other pool")
    assert not fpm.find(r"\[pool two\].*told")


def test_two_versions_are_refused(case):
    settings = php.settings(case)
    config = case.write("two.conf", f"[global]\n{SHARED}[one]\n{settings}user = www-data\n"
                        f"listen = {case.dir}/one\npm = static\n[two]\n{settings}user = www-data\n"
                        f"listen = {case.dir}/two\npm = static\nphp.version = 7.9\n")
    status, lines = run_once(case, ["-t", "-y", config])
    assert status == 78 and any(re.search(r"\[pool two\] handler.*php7\.9", line) for line in lines), lines
