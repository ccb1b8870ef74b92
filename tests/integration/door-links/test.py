"""The connections to its pool that a door keeps: they hold no worker from others, and cost no answer."""

import os
import signal
import time

import fastcgi
import procs
from door import Door

PID = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\necho $PPID\n"
# Its worker dies before it has said anything, each time; how often it ran is in a file.
DIES = "#!/bin/sh\necho run >>\"$RUNS\"\nkill -9 $PPID\nread line <\"$GATE\"\n"


def start(case, lines="", **options):
    case.script("www/pid.cgi", PID)
    case.script("www/dies.cgi", DIES)
    runs = case.write("runs", "", 0o666)
    case.fifo("gate")
    return Door(case, f"http.scripts = extension\nenv[RUNS] = {runs}\nenv[GATE] = {case.dir}/gate\n" + lines,
                **options)


def worker_of(door):
    status, _, body = door.get("/pid.cgi")
    assert status == 200, body
    return int(body)


def sockets_of(pid):
    return {target for target in procs.open_files(pid).values() if target.startswith("socket:")}


def test_a_worker_that_is_kept_serves_whoever_comes(case):
    door = start(case, f"listen = {case.dir}/web.sock\nlisten.mode = 0666\npm.max_children = 1\n"
                 "ping.path = /ping\n")
    for _ in range(20):
        (worker,) = door.fpm.wait_workers(1)
        assert worker_of(door) == worker
        began = time.monotonic()
        fastcgi.ping(f"{case.dir}/web.sock")
        assert time.monotonic() - began < 0.5, "it waited for a connection that the door keeps"


def test_two_doors_share_one_worker(case):
    door = start(case, "pm.max_children = 1\nhttp.workers = 2\n")
    seen = {worker_of(door) for _ in range(40)}
    assert seen == set(door.fpm.workers())


def test_workers_that_end_while_they_are_kept_lose_no_request(case):
    door = start(case, "pm.max_children = 3\n")
    for _ in range(12):
        worker = worker_of(door)
        os.kill(worker, signal.SIGKILL)
        # At once, and often before the door has seen the end of the connection.
        assert worker_of(door) != worker
        assert door.ask("POST", "/pid.cgi", b"x")[0] == 200


def test_a_recycled_worker_loses_no_request(case):
    door = start(case, "pm.max_children = 2\npm.max_requests = 2\n")
    workers = [worker_of(door) for _ in range(60)]
    assert len(set(workers)) >= 25, workers


def test_a_script_that_kills_its_worker_runs_twice_at_most(case):
    door = start(case, "pm.max_children = 3\n")
    for _ in range(3):
        worker_of(door)  # there is a connection that is kept
        (case.dir / "runs").write_text("")
        status, _, _ = door.ask("GET", "/dies.cgi")
        assert status == 502
        assert len((case.dir / "runs").read_text().split()) == 2
        (case.dir / "runs").write_text("")
        assert door.ask("POST", "/dies.cgi", b"x")[0] == 502
        assert len((case.dir / "runs").read_text().split()) == 1, "a POST was repeated"


def test_they_are_closed_after_a_second_and_by_a_reload(case):
    door = start(case, "pm.max_children = 2\n")
    [pid] = door.fpm.doors()
    assert door.get("/none")[0] == 404  # it listens
    before = sockets_of(pid)
    worker_of(door)
    procs.wait_until(lambda: not sockets_of(pid) - before, "the door lets it go", 5)
    old = worker_of(door)
    door.fpm.reload()
    assert worker_of(door) != old, "a worker of before has served"
    procs.wait_gone(old)

