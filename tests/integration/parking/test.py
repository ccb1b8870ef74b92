"""Large pools: the same few workers serve while the load is small, and nobody is lost."""

import json
import os
import random
import signal
import subprocess
import time

import fastcgi
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in
from procs import wait_until

POOL = """
    pm = static
    pm.max_children = 40
    ping.path = /ping
    pm.status_path = /status
"""


def ping(fpm):
    answer = fastcgi.ask(fpm.address(), fastcgi.params_for("/ping", ""), limit_s=5)
    assert answer.body == b"pong", answer


def status(fpm):
    params = fastcgi.params_for("/status", "", QUERY_STRING="json&full")
    return json.loads(fastcgi.ask(fpm.address(), params).body)


def wait_idle(fpm, count=40):
    """All workers have reached accept; the one that answers is not idle itself."""
    wait_until(lambda: status(fpm)["idle processes"] == count - 1, f"{count} workers", 20)


def test_few_workers_serve_a_small_load(case):
    fpm = case.fpm({"www": POOL})
    wait_idle(fpm)
    before = {one["pid"]: one["requests"] for one in status(fpm)["processes"]}
    for _ in range(200):
        ping(fpm)
    served = [one for one in status(fpm)["processes"] if one["requests"] > before[one["pid"]] + 1]
    assert 1 <= len(served) <= 12, [(one["pid"], one["requests"]) for one in served]
    fpm.stop()


def test_all_workers_serve_a_large_one(case):
    script, _ = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL + f"cgi.root = {case.dir}/cgi\n env[GATE] = {case.dir}/gate"})
    wait_idle(fpm)
    clients = [fastcgi.Connection(fpm.address(), 20) for _ in range(40)]
    for client in clients:
        case.defer(client.close)
        client.send(fastcgi.request(fastcgi.params_for("/wait", script)))
    # Each has said its first line: all are under way together.
    pids = {pid_in(client.read_answer(until=first_line_read)) for client in clients}
    assert len(pids) == 40
    fpm.stop()


def test_workers_killed_in_accept_are_not_missed(case):
    fpm = case.fpm({"www": POOL})
    wait_idle(fpm)
    seed = time.time_ns()
    print("seed", seed)
    choose = random.Random(seed)
    bench = case.build / "tools" / "fcgi-bench"
    with subprocess.Popen([bench, fpm.address(), "-u", "/ping", "-c", "24", "-t", "3", "--json"],
                          stdout=subprocess.PIPE) as load:
        while load.poll() is None:
            workers = fpm.workers()
            if workers:
                os.kill(choose.choice(workers), signal.SIGKILL)
            try:
                load.wait(0.01)
            except subprocess.TimeoutExpired:
                pass
        said = json.loads(load.stdout.read())
    lost = sum(said["failures"][kind] for kind in ("reset", "unanswered", "truncated"))
    assert said["failed"] == lost and said["failures"]["timeout"] == 0, said
    wait_idle(fpm)
    began = time.monotonic()
    for _ in range(100):
        ping(fpm)
    assert time.monotonic() - began < 5, "pings wait for the master's tick"
    fpm.stop()


def test_parked_workers_hear_signals(case):
    fpm = case.fpm({"www": POOL + f"access.log = {case.dir}/access.log"})
    wait_idle(fpm)
    os.rename(case.dir / "access.log", case.dir / "access.log.1")
    fpm.send(signal.SIGUSR1)
    fpm.wait_line("access log file re-opened")
    ping(fpm)
    wait_until(lambda: "/ping" in (case.dir / "access.log").read_text(), "a line in the new log")
    old = set(fpm.workers())
    fpm.send(signal.SIGUSR2)
    wait_until(lambda: len(fpm.workers()) == 40 and not old & set(fpm.workers()), "a new generation",
               20)
    ping(fpm)
    fpm.stop(signal.SIGQUIT)
