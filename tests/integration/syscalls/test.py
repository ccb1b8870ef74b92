"""What a ping costs the worker in system calls: accept, one recv, one send, close."""

import os
import re
import shutil

import fastcgi
import procs
from case import plain_only

PINGS = 200
CALL = re.compile(r"^(\w+)\(")


def calls_in(file):
    """Names of the calls in a trace of strace; interrupted and signal lines are none."""
    return [match.group(1) for match in map(CALL.match, file.read_text().splitlines()) if match]


@plain_only
def test_four_calls_a_ping(case):
    if not shutil.which("strace"):
        case.skip("strace is not installed")
    traces = case.folder("traces")
    # -D: the tracer stays beside fpm, so that fpm is our child as ever.
    tracer = ["strace", "-D", "-ff", "-qq", "-s", "0", "-o", traces / "trace"]
    fpm = case.fpm({"www": "cgi.root = {dir}\nping.path = /ping\npm.max_children = 1"},
                   wrapper=tracer)
    (worker,) = fpm.wait_workers(1)
    for _ in range(PINGS):
        fastcgi.ping(fpm.address())
    fpm.stop()
    trace = traces / f"trace.{worker}"
    procs.wait_until(lambda: "exit" in trace.read_text()[-400:] or "killed" in
                     trace.read_text()[-400:], "the end of the trace")

    calls = calls_in(trace)
    places = [at for at, name in enumerate(calls) if name in ("accept", "accept4")]
    assert len(places) >= PINGS, f"{len(places)} calls of accept"
    odd = {}
    for begin, end in list(zip(places, places[1:]))[:PINGS - 1]:
        one = [re.sub("^(accept4?|recv|send).*", r"\1", name) for name in calls[begin:end]]
        one[0] = "accept"
        if one != ["accept", "recv", "send", "close"]:
            key = " ".join(calls[begin:end])
            odd[key] = odd.get(key, 0) + 1
    # The first ones may still warm something up.
    assert sum(odd.values()) <= 2, f"of {PINGS} pings: {odd}"


@plain_only
def test_idle_master_and_workers_sleep(case):
    fpm = case.fpm({"www": "cgi.root = {dir}\npm.max_children = 4"})
    for pid in [fpm.pid, *fpm.workers()]:
        procs.wait_until(lambda pid=pid: procs.process(pid).state == "S", f"{pid} sleeps")
    threads = len(os.listdir(f"/proc/{fpm.pid}/task"))
    assert threads == 1, f"the master has {threads} threads"
    fpm.stop()


@plain_only
def test_each_pool_more_costs_few_calls(case):
    """5,000 pools are to start as fast as they can: no name service, no look into /proc for each."""
    if not shutil.which("strace"):
        case.skip("strace is not installed")
    traces = case.folder("traces")
    counts = {}
    for number in (10, 60):
        trace = traces / str(number)
        pools = {f"p{i}": "cgi.root = {dir}\npm = ondemand\npm.max_children = 5" for i in range(number)}
        fpm = case.fpm(pools, wrapper=["strace", "-D", "-qq", "-s", "0", "-o", trace])
        fpm.stop()
        procs.wait_until(lambda t=trace: "exit" in t.read_text()[-400:], "the end of the trace")
        counts[number] = len(trace.read_text().splitlines())
    each = (counts[60] - counts[10]) / 50
    assert each <= 25, f"{each} calls for each pool: {counts}"
