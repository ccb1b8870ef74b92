"""fpm as containers run it: process 1, an ordinary user, a user without a name."""

import os
import pathlib
import pwd
import signal
import subprocess

import fastcgi
import procs
from case import needs_root
from daemon import Daemon
from fastcgi import ask, params_for
from fpm import SERVICE_USER, free_port
from gate import Gate

POOL = "ping.path = /ping\ncgi.root = {dir}/cgi\n"
HELLO = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid -u\n"
# A new namespace of process numbers, in which what follows is process 1, with its own /proc.
AS_PROCESS_1 = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
NAMELESS = 12345

# docker.conf, www.conf and zz-docker.conf of the official PHP image (docker-library/php), as one.
# The port, the process manager and what runs are the test's.
OFFICIAL = """
[global]
error_log = /proc/self/fd/2

; https://github.com/docker-library/php/pull/725#issuecomment-443540114
log_limit = 8192

[www]
user = www-data
group = www-data
listen = 127.0.0.1:9000
pm = dynamic
pm.max_children = 5
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3

; php-fpm closes STDOUT on startup, so sending logs to /proc/self/fd/1 does not work.
; https://bugs.php.net/bug.php?id=73886
access.log = /proc/self/fd/2

clear_env = no

; Ensure worker stdout and stderr are sent to the main error log.
catch_workers_output = yes
decorate_workers_output = no

[global]
daemonize = no

[www]
listen = {port}
cgi.root = {dir}/cgi
"""


def process_1(fpm):
    """The pid, seen from here, of the process that is 1 there."""
    return procs.wait_until(lambda: procs.children(fpm.pid), "process 1")[0]


def stop(fpm, number=signal.SIGTERM):
    """Ends what `docker stop` ends, and checks that it went well."""
    os.kill(process_1(fpm), number)
    fpm.wait_gone_cleanly()


@needs_root
def test_as_process_1_it_serves_and_stops(case):
    script = case.script("cgi/hello", HELLO)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        fpm = case.fpm({"www": POOL}, wrapper=AS_PROCESS_1)
        assert fpm.find("fpm is running, pid 1$"), fpm.text
        assert fpm.pid_file.read_text() == "1"
        assert ask(fpm.address(), params_for("/hello", script)).status == 200
        stop(fpm, number)


@needs_root
def test_process_1_reaps_the_orphans_of_strangers(case):
    fpm = case.fpm({"www": POOL}, wrapper=AS_PROCESS_1)
    gate, master = Gate(case), process_1(fpm)
    # As `docker exec` does: a shell that leaves a child behind.
    subprocess.run(["nsenter", "-t", str(master), "-p", "-m", "sh", "-c",
                    f"(read line <{gate.path}) & exit 0"],
                   stdin=subprocess.DEVNULL, timeout=10, check=True)
    workers = {pid for pid in procs.children(master)
               if procs.command_line(pid).startswith("fpm: ")}
    orphans = set(procs.children(master)) - workers
    assert len(orphans) == 1, orphans
    orphan = orphans.pop()
    gate.open()
    # Gone, not only dead: a zombie would still be listed.
    procs.wait_until(lambda: procs.process(orphan) is None, "the orphan was reaped")
    fastcgi.ping(fpm.address())
    stop(fpm)


@needs_root
def test_process_1_goes_with_its_namespace_and_leaves_no_worker(case):
    fpm = case.fpm({"www": POOL}, wrapper=AS_PROCESS_1)
    master = process_1(fpm)
    workers = procs.children(master)
    os.kill(master, signal.SIGKILL)
    fpm.wait_exit()
    for worker in workers:
        procs.wait_gone(worker)


@needs_root
def test_the_configuration_of_the_official_image_runs_as_it_is(case):
    script = case.script("cgi/say", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                                    "echo \"$FROM_COMPOSE\"; echo 'a line of the script' >&2\n")
    port = free_port()
    config = case.write("www.conf", OFFICIAL.replace("{port}", str(port))
                        .replace("{dir}", str(case.dir)))
    fpm = Daemon(case, "fpm", [*AS_PROCESS_1, case.program, "-y", config], cwd=case.dir,
                 env=dict(os.environ, FROM_COMPOSE="a value", **case.sanitizer_environment()))
    case.defer(fpm.kill)
    fpm.wait_line("ready to handle connections", 20)
    answer = ask(("127.0.0.1", port), params_for("/say", script))
    assert answer.status == 200 and answer.body == b"a value\n", answer
    # The access log and what the script said are in the container's log.
    fpm.wait_line(r'^127\.0\.0\.1 - .* "GET /say" 200$')
    fpm.wait_line(r"a line of the script")
    os.kill(process_1(fpm), signal.SIGQUIT)  # the image's STOPSIGNAL
    assert fpm.wait_exit() == 0
    fpm.wait_closed(5)
    assert fpm.find("exiting, bye-bye!"), fpm.text


@needs_root
def test_an_ordinary_user_runs_it(case):
    script = case.script("cgi/hello", HELLO)
    fpm = case.fpm({"www": POOL + "user = root\n"}, as_user="nobody")
    assert fpm.find(r"NOTICE: \[pool www\] 'user' directive is ignored when FPM is not running as "
                    r"root$"), fpm.text
    uid = int(ask(fpm.address(), params_for("/hello", script)).body)
    assert uid == pwd.getpwnam("nobody").pw_uid
    fpm.stop()


@needs_root
def test_a_user_without_a_name_runs_it_as_process_1(case):
    # Kubernetes and OpenShift give a container a number that its /etc/passwd does not know.
    assert not any(entry.pw_uid == NAMELESS for entry in pwd.getpwall())
    os.chmod(case.dir, 0o777)
    script = case.script("cgi/hello", HELLO)
    fpm = case.fpm({"www": POOL}, wrapper=(
        *AS_PROCESS_1, "setpriv", f"--reuid={NAMELESS}", f"--regid={NAMELESS}", "--clear-groups"))
    answer = ask(fpm.address(), params_for("/hello", script))
    assert answer.body == b"%d\n" % NAMELESS, answer
    assert pathlib.Path(fpm.address()).stat().st_uid == NAMELESS
    stop(fpm)


@needs_root
def test_a_pool_may_run_as_a_user_without_a_name(case):
    script = case.script("cgi/hello", HELLO)
    fpm = case.fpm({"www": POOL + f"user = {NAMELESS}\ngroup = {NAMELESS}\n"})
    assert ask(fpm.address(), params_for("/hello", script)).body == b"%d\n" % NAMELESS
    fpm.stop()


@needs_root
def test_it_runs_without_any_capability_but_those_of_a_container(case):
    # Docker's default set, without CAP_SYS_RESOURCE and CAP_SYS_NICE, and no new privileges.
    kept = "+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service"
    script = case.script("cgi/hello", HELLO)
    fpm = case.fpm({"www": POOL + "rlimit_core = unlimited\n"}, wrapper=(
        *AS_PROCESS_1, "setpriv", f"--bounding-set=-all,{kept}", "--no-new-privs"))
    uid = int(ask(fpm.address(), params_for("/hello", script)).body)
    assert uid == pwd.getpwnam(SERVICE_USER).pw_uid
    stop(fpm)
