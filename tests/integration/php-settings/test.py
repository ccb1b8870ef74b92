"""PHP's settings: from php.ini, the command line, the pool, folders and requests; each pool its own."""

import json
import os

import fastcgi
import php
from case import plain_only

SHOW = "echo json_encode([ini_get('precision'), ini_set('precision', '5'), ini_get('precision')]);"


def test_values_of_the_pool_may_be_changed_and_admin_values_not(case):
    fpm = php.pool(case, "php_value[precision] = 9\n")
    assert json.loads(php.run(case, fpm, SHOW)) == ["9", "9", "5"]
    assert json.loads(php.run(case, fpm, SHOW)) == ["9", "9", "5"], "it stayed"
    fpm.stop()
    admin = php.pool(case, "php_admin_value[precision] = 9\nphp_admin_flag[log_errors] = off\n"
                     "php_flag[short_open_tag] = on\n")
    assert json.loads(php.run(case, admin, SHOW)) == ["9", False, "9"]
    text = php.run(case, admin, "var_dump(ini_get('log_errors'), ini_get('short_open_tag'));")
    assert text.split() == ['string(1)', '"0"', 'string(1)', '"1"'] or '""' in text, text
    assert '"1"' in text.split("\n")[1]


def test_functions_are_disabled_beside_those_of_php_ini(case):
    ini = case.write("php.ini", "disable_functions = passthru\n")
    fpm = php.pool(case, "php_admin_value[disable_functions] = exec,system\n", options=["-c", ini])
    text = php.run(case, fpm, "foreach (['passthru', 'exec', 'system', 'popen'] as $f)"
                   " echo function_exists($f) ? 1 : 0;")
    assert text == "0001", text


def test_a_value_that_php_does_not_know_is_told(case):
    fpm = php.pool(case, "php_value[no.such] = 1\ncatch_workers_output = yes\n")
    fpm.wait_line("Unable to set php_value 'no.such'")
    assert php.run(case, fpm, "echo 'runs';") == "runs"


def test_options_of_the_command_line_come_before_the_pool(case):
    ini = case.write("php.ini", "precision = 7\nserialize_precision = 8\nuser_agent = file\n")
    fpm = php.pool(case, "php_value[serialize_precision] = 11\n",
                   options=["-c", ini, "-d", "user_agent=option", "-d", "memory_limit=77M",
                            "-d", "serialize_precision=10"])
    shown = php.run(case, fpm, "foreach (['precision', 'user_agent', 'memory_limit',"
                    " 'serialize_precision'] as $n) echo ini_get($n), ' ';"
                    "echo php_ini_loaded_file();")
    assert shown == f"7 option 77M 11 {ini}", shown
    fpm.stop()
    none = php.pool(case, options=["-n"])
    shown = php.run(case, none, "var_dump(ini_get('precision'), php_ini_loaded_file(),"
                    " extension_loaded('Zend OPcache'));")
    assert shown.split("\n")[:3] == ['string(2) "14"', "bool(false)", "bool(false)"], shown


def test_folders_have_settings_of_their_own(case):
    case.write("www/.user.ini", "precision = 6\nuser_agent = top\n")
    case.write("www/sub/.user.ini", "user_agent = sub\nmemory_limit = 1M\n")
    fpm = php.pool(case, "php_admin_value[memory_limit] = 99M\n")
    show = "<?php echo ini_get('precision'), ' ', ini_get('user_agent'), ' ', ini_get('memory_limit');"
    for name, expected in [("a.php", "6 top 99M"), ("sub/a.php", "6 sub 99M")]:
        answer = php.ask(fpm, php.script(case, show, name))
        assert answer.body.decode() == expected, (name, answer)
    # Outside of the document root the script's own folder alone.
    answer = php.ask(fpm, case.dir / "www/sub/a.php", DOCUMENT_ROOT="/elsewhere")
    assert answer.body.decode() == "14 sub 99M", answer


def test_parameters_of_a_request_change_that_request_alone(case):
    fpm = php.pool(case)
    path = php.script(case, SHOW)
    assert json.loads(php.ask(fpm, path, PHP_VALUE="precision=3\nuser_agent=x").body) == ["3", "3", "5"]
    answer = php.ask(fpm, path, PHP_ADMIN_VALUE="precision=3")
    assert json.loads(answer.body) == ["3", False, "3"]
    assert json.loads(php.ask(fpm, path).body) == ["14", "14", "5"], "it outlived its request"
    fpm.stop()
    deaf = php.pool(case, "php.ini_parameters = no\n")
    assert json.loads(php.ask(deaf, path, PHP_VALUE="precision=3", PHP_ADMIN_VALUE="precision=3")
                      .body) == ["14", "14", "5"]


@plain_only  # sanitizers refuse the way in which PHP loads extensions
def test_two_pools_have_different_extensions_and_opcaches(case):
    settings = php.settings(case)
    fpm = case.fpm({
        "one": settings + "php_admin_value[opcache.memory_consumption] = 16\n"
               "php_admin_value[extension] = shmop\n",
        "two": settings + "php_admin_value[opcache.memory_consumption] = 32\n"
               "php_admin_flag[opcache.validate_timestamps] = off\n"}, options=["-n", "-d",
               "zend_extension=opcache"])
    text = """
      $s = opcache_get_status(true);
      echo json_encode([extension_loaded('shmop'), $s['opcache_statistics']['num_cached_scripts'],
                        ($s['memory_usage']['used_memory'] + $s['memory_usage']['free_memory']) >> 20,
                        $s['opcache_statistics']['hits'], ini_get('opcache.validate_timestamps')]);"""
    path = php.old_script(case, text)
    seen = {}
    for pool in ("one", "two"):
        for _ in range(3):
            answer = fastcgi.ask(fpm.address(pool), fastcgi.params_for("/a.php", path))
            seen[pool] = json.loads(answer.body)
    assert seen["one"] == [True, 1, 16, 2, "1"], seen
    assert seen["two"] == [False, 1, 32, 2, "0"], seen


@plain_only  # sanitizers refuse the way in which PHP loads extensions
def test_opcache_serves_scripts(case):
    settings = php.settings(case)
    fpm = case.fpm({"one": settings, "two": settings})
    text = ("$s = opcache_get_status(); echo json_encode([getmypid(), "
            "$s['opcache_statistics']['num_cached_scripts'], $s['opcache_statistics']['hits'], "
            "isset($s['scripts'][__FILE__])]);")
    path = php.old_script(case, text)

    def look(pool):
        return json.loads(fastcgi.ask(fpm.address(pool), fastcgi.params_for("/a.php", path)).body)

    for pool in ("one", "two"):
        seen = [look(pool) for _ in range(20)]
        _, cached, hits, here = seen[-1]
        assert cached == 1 and here and hits >= 10, (pool, seen)


def test_scripts_lie_below_the_root(case):
    outside = case.write("outside.php", "<?php echo 'outside';")
    www = case.folder("www")
    fpm = php.pool(case, f"php.root = {www}\n")
    link = www / "link.php"
    os.symlink(outside, link)
    assert php.run(case, fpm, "echo 'inside';") == "inside"
    for path in (outside, link):
        answer = php.ask(fpm, path)
        assert (answer.status, answer.body) == (403, b"Access denied.\n"), (path, answer)
        assert b"(see php.root)" in answer.stderr, answer


def test_other_suffixes_run_when_the_pool_says_so(case):
    path = php.script(case, "<?php echo 'ran';", "a.html")
    fpm = php.pool(case, "security.limit_extensions = .php .html\n")
    assert php.ask(fpm, path).body == b"ran"
    fpm.stop()
    anything = php.pool(case, "security.limit_extensions = no\n")
    assert php.ask(anything, php.script(case, "<?php echo 'ran';", "plain")).body == b"ran"
