"""What systemd hears from fpm, and the sockets that it hands over."""

import os
import re
import signal
import socket

import fastcgi
import procs
from fastcgi import ask, params_for
from fpm import free_port
from gate import Gate
from notify import Manager

POOL = "ping.path = /ping\ncgi.root = {dir}/cgi\n"
ENVIRONMENT_SCRIPT = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n"

# Makes the sockets that the arguments name (a path, or a port of 127.0.0.1) from descriptor 3 on,
# and becomes the program behind "--" with them, as systemd does. The first argument says how it is
# told: LISTEN_FDS or FPM_SOCKETS. With GATE set it waits there first.
ACTIVATE = """\
#!/usr/bin/env python3
import fcntl, os, socket, sys

split = sys.argv.index("--")
how, places, program = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
made = []
for place in places:
    unix = place.startswith("/")
    one = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    one.bind(place if unix else ("127.0.0.1", int(place)))
    one.listen(16)
    # systemd's are not blocking, unless it is told otherwise.
    one.setblocking(False)
    made.append(fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, 100))
for at, fd in enumerate(made):
    os.dup2(fd, 3 + at, inheritable=True)
if how == "LISTEN_FDS":
    os.environ["LISTEN_FDS"] = str(len(made))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDNAMES"] = ":".join("socket%d" % at for at in range(len(made)))
else:
    keys = [place if place.startswith("/") else "127.0.0.1:" + place for place in places]
    os.environ["FPM_SOCKETS"] = ",".join("%s=%d" % (key, 3 + at) for at, key in enumerate(keys))
if "GATE" in os.environ:
    open(os.environ.pop("GATE")).read()
os.execv(program[0], program)
"""


def notified(case, pool=POOL, global_lines="", **variables):
    manager = Manager(case)
    fpm = case.fpm({"www": pool}, global_lines,
                   environment={"NOTIFY_SOCKET": manager.path, **variables})
    return manager, fpm


def test_ready_comes_when_it_serves_and_stopping_when_it_stops(case):
    manager, fpm = notified(case)
    manager.wait_for(r"\AREADY=1\nSTATUS=Ready to handle connections\n"
                     rf"MAINPID={fpm.pid}\Z")
    assert len(manager.heard) == 1, manager.heard
    fastcgi.ping(fpm.address())
    fpm.stop()
    manager.wait_for(r"^STOPPING=1$")


def test_the_status_line_tells_of_the_workers(case):
    manager, fpm = notified(case, global_lines="systemd_interval = 1s")
    manager.wait_for("READY=1")
    for _ in range(3):
        fastcgi.ping(fpm.address())
    line = manager.wait_for(r"^STATUS=Processes active: (\d+), idle: (\d+), Requests: (\d+), "
                            r"slow: (\d+), Traffic: (\d+\.\d\d)req/sec$")
    assert line.group(2) == "2" and line.group(3) == "3" and line.group(4) == "0", line
    assert float(line.group(5)) == 3.0, line
    fpm.stop()


def test_a_watchdog_is_answered_in_time(case):
    manager, fpm = notified(case, WATCHDOG_USEC="400000")
    manager.wait_for("READY=1")
    for _ in range(3):
        manager.wait_for(r"\AWATCHDOG=1\Z", 0.4)
    # No status line was asked for so soon, and nothing else is said.
    assert set(manager.heard[1:]) == {"WATCHDOG=1"}, manager.heard
    fpm.stop()


def test_a_watchdog_of_another_process_is_not_answered(case):
    manager, fpm = notified(case, WATCHDOG_USEC="20000", WATCHDOG_PID="1",
                            global_lines="systemd_interval = 1s")
    manager.wait_for("^STATUS=Processes")  # a second, that is fifty times the limit
    assert not [one for one in manager.heard if "WATCHDOG" in one], manager.heard
    fpm.stop()


def test_a_manager_that_does_not_read_is_not_waited_for(case):
    manager = Manager(case)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    case.defer(sender.close)
    sender.setblocking(False)
    try:
        while True:
            sender.sendto(b"full", manager.path)
    except BlockingIOError:
        pass
    fpm = case.fpm({"www": POOL}, environment={"NOTIFY_SOCKET": manager.path,
                                               "WATCHDOG_USEC": "20000"})
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_scripts_cannot_speak_for_the_service(case):
    script = case.script("cgi/env", ENVIRONMENT_SCRIPT)
    _, fpm = notified(case, POOL + "clear_env = no\n", WATCHDOG_USEC="60000000", LISTEN_FDS="1",
                      LISTEN_PID="1", LISTEN_FDNAMES="x", FPM_SOCKETS="", INNOCENT="kept")
    seen = ask(fpm.address(), params_for("/env", script)).body.decode()
    assert "INNOCENT=kept" in seen, seen
    assert not re.search("NOTIFY|WATCHDOG|LISTEN_|FPM_SOCKETS", seen), seen
    for worker in fpm.workers():
        environment = procs.environment(worker)
        assert "NOTIFY_SOCKET" not in environment, environment
    fpm.stop()


def activated(case, how, places, pools, **options):
    activate = case.script("activate", ACTIVATE)
    return case.fpm(pools, wrapper=["python3", activate, how, *places, "--"], **options)


def test_sockets_of_systemd_are_used_and_left_to_it(case):
    path, port = f"{case.dir}/lent.sock", free_port()
    case.defer(lambda: os.path.exists(path) and os.unlink(path))
    fpm = activated(case, "LISTEN_FDS", [path, str(port)], {
        "local": POOL + f"listen = {path}\n",
        "net": POOL + f"listen = 127.0.0.1:{port}\n",
    })
    assert fpm.find(rf'NOTICE: using inherited socket fd=3, "{path}"$')
    assert fpm.find(rf'NOTICE: using inherited socket fd=4, "127\.0\.0\.1:{port}"$')
    assert not fpm.find("WARNING"), fpm.text
    # Twice, so that a worker whose accept does not block would be noticed.
    for address in (path, ("127.0.0.1", port)) * 2:
        fastcgi.ping(address)
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit() == 0
    assert os.path.exists(path), "the socket's file is systemd's, but it was unlinked"


def test_a_socket_that_no_pool_wants_is_closed_with_a_warning(case):
    port, other = free_port(), free_port()
    fpm = activated(case, "LISTEN_FDS", [str(other), str(port)],
                    {"net": POOL + f"listen = 127.0.0.1:{port}\n"})
    assert fpm.find(r'WARNING: inherited socket fd=3, "socket0" is closed: no pool listens there$')
    fastcgi.ping(("127.0.0.1", port))
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", other)) != 0, "clients there would wait for ever"
    fpm.stop()


def test_sockets_of_FPM_SOCKETS_are_used_and_become_ours(case):
    path, port = f"{case.dir}/given.sock", free_port()
    fpm = activated(case, "FPM_SOCKETS", [path, str(port)], {
        "local": POOL + f"listen = {path}\n",
        "net": POOL + f"listen = 127.0.0.1:{port}\n",
    })
    assert fpm.find(rf'NOTICE: using inherited socket fd=3, "{path}"$')
    assert fpm.find(rf'NOTICE: using inherited socket fd=4, "127\.0\.0\.1:{port}"$')
    fastcgi.ping(path)
    fastcgi.ping(("127.0.0.1", port))
    fpm.stop()  # checks that the file is gone


def listens(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_a_client_that_came_before_fpm_is_served(case):
    path, gate = f"{case.dir}/early.sock", Gate(case)
    case.defer(lambda: os.path.exists(path) and os.unlink(path))
    fpm = activated(case, "LISTEN_FDS", [path], {"www": POOL + f"listen = {path}\n"}, wait=False,
                    environment={"GATE": str(gate.path)})
    procs.wait_until(lambda: listens(path), "the socket")
    with fastcgi.Connection(path) as early:
        early.send(fastcgi.request(params_for("/ping")))
        gate.open()
        assert early.read_answer().body == b"pong"
    fpm.wait_line("ready to handle connections")
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit() == 0
