"""php-fpm's user changes one path: options, texts, Debian's configuration and systemd's unit."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import fastcgi
import front_params
import procs
from case import needs_root, plain_only
from daemon import Daemon
from notify import Manager

UNIT = pathlib.Path("/lib/systemd/system/php8.2-fpm.service")
DEBIAN = pathlib.Path("/etc/php/8.2/fpm/php-fpm.conf")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}


def run(case, command):
    """(exit status, text) of what ends by itself."""
    done = subprocess.run([str(word) for word in command], cwd=case.dir, check=False, timeout=60,
                          env={**ENVIRONMENT, **case.sanitizer_environment()},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def both(case, *arguments):
    case.needs_php()
    return run(case, [case.debians_php_fpm, *arguments]), run(case, [case.php_fpm, *arguments])


# The command line ------------------------------------------------------------------------------


@plain_only  # extensions are loaded in a way that sanitizers refuse
def test_version_and_modules_are_what_php_fpm_prints(case):
    for arguments in (["-v"], ["-n", "-v"], ["-m"], ["-n", "-m"], ["-dmemory-limit=1G", "-v"],
                      ["--version"], ["-d", "foo=bar", "-n", "-v"]):
        theirs, ours = both(case, *arguments)
        assert ours == theirs, f"{arguments}\nphp-fpm: {theirs}\nours: {ours}"
        assert ours[0] == 0


@plain_only  # extensions are loaded in a way that sanitizers refuse
def test_phpinfo_is_what_php_fpm_prints(case):
    # Of this process, of this moment: its environment, its number, its time.
    own = re.compile(r"(?m)^(_|\$_SERVER\['(?:_|REQUEST_TIME|REQUEST_TIME_FLOAT|argv|PHP_SELF|"
                     r"SCRIPT_NAME)'\]|LastModified|Opcode Caching|.*(?:memory|Memory|time|Time).*) "
                     r"=> .*\n")
    for arguments in (["-i"], ["-n", "-i"], ["-n", "-d", "precision=5", "-i"]):
        theirs, ours = both(case, *arguments)
        texts = [own.sub("", text).splitlines() for _, text in (theirs, ours)]
        differing = [pair for pair in zip(*texts) if pair[0] != pair[1]]
        assert len(texts[0]) == len(texts[1]) and not differing, (arguments, differing[:5],
                                                                  len(texts[0]), len(texts[1]))
        assert len(texts[0]) > 300 and theirs[0] == ours[0] == 0


def test_wrong_options_are_answered_with_the_usage(case):
    for arguments in (["--memory-limit=1G"], ["-x"], ["stray"], ["-y"], ["-F", "stray"]):
        theirs, ours = both(case, *arguments)
        assert ours[0] == theirs[0] == 64, (arguments, theirs, ours)
        assert ours[1].startswith("Usage: "), ours
    status, text = run(case, [case.php_fpm, "-h"])
    assert status == 0 and text.startswith("Usage: "), text


def test_the_dump_of_debians_configuration_is_php_fpms(case):
    if not DEBIAN.exists():
        case.skip("there is no configuration of Debian's")
    for arguments in (["-tt"], ["-n", "-tt", "-y", DEBIAN], ["-t"]):
        theirs, ours = both(case, *arguments)
        lines = [[re.sub(r"^\[.*?\] ", "", line) for line in text.splitlines() if line]
                 for _, text in (theirs, ours)]
        known = {"NOTICE: \tlog_level = unknown value": "NOTICE: \tlog_level = NOTICE",
                 "NOTICE: \tprocess_control_timeout = 0s":
                 "NOTICE: \tprocess_control_timeout = 30s"}
        if case.other_php_fpm:
            known = {}
        assert lines[1] == [known.get(line, line) for line in lines[0]], arguments
        assert theirs[0] == ours[0] == 0


def test_a_wrong_configuration_ends_with_php_fpms_last_words(case):
    case.write("wrong.conf", "[www]\nlisten = x.sock\npm = sometimes\npm.max_children = 1\n")
    for file in ("wrong.conf", "missing.conf"):
        theirs, ours = both(case, "-n", "-t", "-y", file)
        assert ours[0] == theirs[0] == 78, (theirs, ours)
        last = [[re.sub(r"^\[.*?\] ", "", line) for line in text.splitlines() if line][-2:]
                for _, text in (theirs, ours)]
        assert [line.split("'")[0] for line in last[0]] == [line.split("'")[0] for line in last[1]]


def test_options_may_stand_in_any_order(case):
    config = configuration(case)
    for arguments in (["-n", "-y", config, "-O", "-F", "-t"],
                      ["-t", "-O", "-dprecision=5", "-F", "--fpm-config", config],
                      ["--test", f"--fpm-config={config}", "-R", "-d", "a", "-p", case.dir, "-e"]):
        status, text = run(case, [case.php_fpm, *arguments])
        assert status == 0 and "test is successful" in text, (arguments, text)


# Running ---------------------------------------------------------------------------------------


def configuration(case, pool="", global_lines="", pid="pid = {dir}/php-fpm.pid"):
    return case.write("php-fpm.conf", f"""[global]
{pid.replace("{dir}", str(case.dir))}
error_log = {case.dir}/error.log
{global_lines}
[unconfined]
user = www-data
group = www-data
listen = {case.dir}/php.sock
listen.mode = 0666
pm = dynamic
pm.max_children = 5
pm.start_servers = 1
pm.min_spare_servers = 1
pm.max_spare_servers = 3
pm.status_path = /status
ping.path = /ping
{pool}
""")


def start(case, *options, wait=True, **lines):
    case.needs_php()
    config = configuration(case, **lines)
    command = [case.php_fpm, *(options or ["-n", "-F", "-O"]), "-y", config]
    daemon = Daemon(case, "php-fpm", command, cwd=case.dir,
                    env={**ENVIRONMENT, **case.sanitizer_environment()})
    case.defer(lambda: end(daemon))
    if wait:
        daemon.wait_line("ready to handle connections", 30)
    return daemon


def end(daemon):
    if daemon.running():
        daemon.process.terminate()
        daemon.wait_exit(20)
    daemon.wait_closed(10)


def script(case, text, name="script.php"):
    return case.write(f"www/{name}", text)


def ask(case, path, **more):
    params = front_params.nginx(str(case.dir / "www"), "/" + path.name, **more)
    return fastcgi.ask(str(case.dir / "php.sock"), params, limit_s=30)


STAMP = r"^\[\d\d-\w\w\w-\d{4} \d\d:\d\d:\d\d\] "


@needs_root
def test_the_log_of_a_whole_life(case):
    hello = script(case, "<?php echo 'hello';")
    daemon = start(case)
    daemon.wait_line(STAMP + rf"NOTICE: fpm is running, pid {daemon.pid}$")
    daemon.wait_line(STAMP + "NOTICE: ready to handle connections$")
    assert (case.dir / "php-fpm.pid").read_text() == str(daemon.pid)
    assert ask(case, hello).body == b"hello"
    assert procs.command_line(daemon.pid) == f"php-fpm: master process ({case.dir}/php-fpm.conf)"
    assert workers(daemon)
    mark = daemon.mark()
    os.kill(daemon.pid, signal.SIGUSR2)
    for line in (r"NOTICE: Reloading in progress \.\.\.$", r"NOTICE: reloading: .*",
                 rf'NOTICE: using inherited socket fd=\d+, "{case.dir}/php\.sock"$',
                 r"NOTICE: fpm is running, pid \d+$", "NOTICE: ready to handle connections$"):
        daemon.wait_line(STAMP + line, 20, mark)
    assert ask(case, hello).body == b"hello"
    os.kill(daemon.pid, signal.SIGUSR1)
    daemon.wait_line(STAMP + "NOTICE: error log file re-opened$")
    daemon.process.terminate()
    assert daemon.wait_exit(20) == 0
    daemon.wait_closed(10)
    daemon.wait_line(STAMP + r"NOTICE: Terminating \.\.\.$")
    daemon.wait_line(STAMP + "NOTICE: exiting, bye-bye!$")
    assert not (case.dir / "php-fpm.pid").exists() and not (case.dir / "php.sock").exists()


@needs_root
def test_the_pid_file_of_the_configuration_comes_before_that_of_the_option(case):
    daemon = start(case, "-n", "-F", "-O", "-g", case.dir / "option.pid")
    assert (case.dir / "php-fpm.pid").read_text() == str(daemon.pid)
    assert not (case.dir / "option.pid").exists()
    end(daemon)
    daemon = start(case, "-n", "-F", "-O", "-g", case.dir / "option.pid", pid="")
    assert (case.dir / "option.pid").read_text() == str(daemon.pid)


@needs_root
def test_a_start_and_a_stop_without_incident_are_silent_at_warning(case):
    hello = script(case, "<?php echo 'hello';")
    daemon = start(case, global_lines="log_level = warning", wait=False)
    procs.wait_until(lambda: answers(case.dir / "php.sock"), "an answer", 20)
    assert ask(case, hello).body == b"hello"
    end(daemon)
    assert daemon.text == "", daemon.text


def answers(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@needs_root
def test_what_a_script_prints_is_caught(case):
    both_streams = script(case, "<?php file_put_contents('php://stderr', \"to stderr\\n\");"
                                "error_log('logged'); echo 'done';")
    daemon = start(case, pool="catch_workers_output = yes\nphp_admin_flag[log_errors] = on")
    answer = ask(case, both_streams)
    assert answer.body == b"done"
    assert answer.stderr == b"PHP message: logged", answer
    start_of = STAMP + r"WARNING: \[pool unconfined\] child \d+ said into stderr: "
    daemon.wait_line(start_of + '"to stderr"$')
    daemon.wait_line(start_of + '"NOTICE: PHP message: logged"$')


@needs_root
def test_output_without_a_newline_ends_with_its_request(case):
    first = script(case, "<?php file_put_contents('php://stderr', 'not ended');", "first.php")
    second = script(case, "<?php file_put_contents('php://stderr', \"next\\n\");", "second.php")
    daemon = start(case, pool="catch_workers_output = yes\npm.max_children = 1\npm.max_spare_servers = 1")
    ask(case, first)
    daemon.wait_line(r'child \d+ said into stderr: "not ended"$', 5)
    ask(case, second)
    daemon.wait_line(r'child \d+ said into stderr: "next"$')


@needs_root
def test_output_without_decoration_is_as_it_was(case):
    plain = script(case, "<?php file_put_contents('php://stderr', '{\"a\": 1}' . \"\\n\");")
    daemon = start(case, pool="catch_workers_output = yes\ndecorate_workers_output = no")
    ask(case, plain)
    daemon.wait_line('^{"a": 1}$')


def workers(daemon):
    return [pid for pid in procs.children(daemon.pid)
            if procs.command_line(pid) == "php-fpm: pool unconfined"]


@needs_root
def test_a_child_that_dies_is_named(case):
    daemon = start(case)
    worker = procs.wait_until(lambda: workers(daemon), "a worker")[0]
    os.kill(worker, signal.SIGKILL)
    daemon.wait_line(STAMP + rf"WARNING: \[pool unconfined\] child {worker} exited on signal 9 "
                     r"\(SIGKILL\) after \d+\.\d+ seconds from start$")
    daemon.wait_line(STAMP + r"NOTICE: \[pool unconfined\] child \d+ started$")


@needs_root
def test_the_access_log_has_php_fpms_lines(case):
    hello = script(case, "<?php echo 'hello';")
    daemon = start(case, pool=f"access.log = {case.dir}/access.log\n"
                              "access.format = \"'%m %r%Q%q' %s %f %l\"")
    log = case.dir / "access.log"
    assert ask(case, hello).body == b"hello"
    procs.wait_until(lambda: log.read_text().count("\n") == 1, "a line")
    fastcgi.ask(str(case.dir / "php.sock"), front_params.nginx("/x", "/ping?test=output"))
    procs.wait_until(lambda: log.read_text().count("\n") == 2, "two lines")
    assert ask(case, case.dir / "www/gone.php").status == 404
    procs.wait_until(lambda: log.read_text().count("\n") == 3, "three lines")
    written = log.read_text()
    assert written == (f"'GET /script.php' 200 {hello} 0\n'GET /ping?test=output' 200 - 0\n"
                       "'GET /gone.php' 404 - 0\n"), written
    end(daemon)


@needs_root
def test_a_missing_script_is_told_to_the_front(case):
    start(case)
    answer = ask(case, case.dir / "www/gone.php")
    assert answer.stderr == b"Primary script unknown", answer
    assert "Status: 404 Not Found" in answer.head and answer.body == b"File not found.\n", answer


@needs_root
def test_a_socket_path_that_is_too_long_is_cut(case):
    longer = f"{case.dir}/{'x' * 120}.sock"
    fits = longer[:107]
    daemon = start(case, pool=f"listen = {longer}")
    text = (rf"\[pool unconfined\] cannot bind to UNIX socket '{longer}' as path is too long "
            r"\(found length: \d+, maximal length: \d+\)")
    daemon.wait_line(STAMP + rf"WARNING: {text}, trying cut socket path instead '{fits}'$")
    case.defer(lambda: os.path.exists(fits) and os.unlink(fits))
    assert fastcgi.ask(fits, front_params.nginx("/x", "/ping")).body == b"pong"
    _, said = run(case, [case.php_fpm, "-n", "-t", "-y", case.dir / "php-fpm.conf"])
    assert re.search(text + "$", said, re.M) and "test is successful" in said, said
    end(daemon)
    assert not os.path.exists(fits)


@needs_root
@plain_only
def test_settings_of_the_command_line_reach_the_scripts(case):
    seen = script(case, "<?php echo json_encode([ini_get('precision'), ini_get('memory_limit'), "
                        "php_ini_loaded_file(), extension_loaded('Zend OPcache'), "
                        "ini_set('precision', 3) !== false]);")
    ini = case.write("own/php.ini", "memory_limit = 77M\n")
    for options, expected in {
            ("-n", "-d", "precision=5"): '["5","128M",false,false,true]',
            ("-n", "-dprecision=6", "-d", "memory_limit=9M"): '["6","9M",false,false,true]',
            ("-c", str(ini)): f'["14","77M","{ini}",true,true]'.replace("/", r"\/"),
            ("-c", str(ini.parent)): f'["14","77M","{ini}",true,true]'.replace("/", r"\/"),
            ("-n", "-d", "zend_extension=opcache"): '["14","128M",false,true,true]'}.items():
        daemon = start(case, *options, "-F", "-O")
        answer = ask(case, seen)
        assert answer.body.decode() == expected, (options, answer)
        end(daemon)


# Debian's own files ----------------------------------------------------------------------------


@needs_root
@plain_only
def test_debians_unit_runs_debians_configuration_untouched(case):
    if not UNIT.exists() or not DEBIAN.exists():
        case.skip("php8.2-fpm of Debian is not installed")
    case.needs_php()
    unit = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M))
    assert unit["Type"] == "notify" and unit["ExecReload"] == "/bin/kill -USR2 $MAINPID", unit
    command = shlex.split(unit["ExecStart"])
    assert command[0] == case.debians_php_fpm, command
    # Its folders are its own in a mount namespace, so that nothing of this machine is touched.
    notify = Manager(case)
    inside = ("mount -t tmpfs tmpfs /run && mkdir /run/php && chown www-data /run/php && "
              "mount -t tmpfs tmpfs /var/log && exec \"$@\"")
    probe = subprocess.run(["unshare", "-m", "true"], check=False, stderr=subprocess.PIPE)
    if probe.returncode != 0:
        case.skip(f"no mount namespace: {probe.stderr.decode().strip()}")
    daemon = Daemon(case, "php-fpm", ["unshare", "-m", "sh", "-ec", inside, "sh", str(case.php_fpm),
                                      *command[1:]], cwd="/",
                    env={**ENVIRONMENT, **case.sanitizer_environment(),
                         "NOTIFY_SOCKET": notify.path})
    case.defer(lambda: end(daemon))
    notify.wait_for(rf"READY=1\nSTATUS=Ready to handle connections\nMAINPID={daemon.pid}", 30)
    place = f"/proc/{daemon.pid}/root/run/php/php8.2-fpm.sock"
    hello = script(case, "<?php echo ini_get('memory_limit'), php_ini_loaded_file();")
    seen = fastcgi.ask(place, front_params.nginx(str(case.dir / "www"), "/" + hello.name), limit_s=30)
    assert seen.body == b"128M/etc/php/8.2/fpm/php.ini", seen
    info = os.stat(place)
    assert info.st_mode & 0o777 == 0o660 and info.st_uid == shutil._get_uid("www-data"), info
    os.kill(daemon.pid, signal.SIGUSR2)
    notify.wait_for("READY=1", 30)
    procs.wait_until(lambda: "using inherited socket" in log_of(daemon), "the reload", 20)
    seen = fastcgi.ask(place, front_params.nginx(str(case.dir / "www"), "/" + hello.name), limit_s=30)
    assert seen.body.startswith(b"128M"), seen
    notify.wait_for(r"STATUS=Processes active: \d+, idle: \d+, Requests: \d+, slow: \d+, "
                    r"Traffic: \d+\.\d+req/sec", 30)
    daemon.process.terminate()
    assert daemon.wait_exit(20) == 0
    daemon.wait_closed(10)


def log_of(daemon):
    return pathlib.Path(f"/proc/{daemon.pid}/root/var/log/php8.2-fpm.log").read_text()
