"""Figures of running processes, from /proc, and what is made of many of them."""

import os
import pathlib
import re
import select
import shutil
import signal
import statistics
import subprocess
import time

import procs
from fpm import is_door, is_reporter, is_template

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def children(master):
    """Pids of the living children of a master; needs no walk through all of /proc."""
    return [int(word) for word in
            pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def workers(master):
    """Those of them that serve: not a template, which loads an application and forks workers, nor a door."""
    def serves(title):
        return not (is_template(title) or is_door(title))
    return [pid for pid in children(master) if serves(procs.command_line(pid))]


def family(master):
    """A master and all living processes below it, templates and doors too."""
    return [master, *(one.pid for one in procs.descendants(master))]


def beside_reporter(master):
    """The family without the master and its reporter."""
    return [pid for pid in family(master)[1:] if not is_reporter(procs.command_line(pid))]


def cpu_ns(pids):
    """CPU time of living processes so far."""
    total = 0
    for pid in pids:
        try:
            total += int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # it counts as its parent's reaped child
    return total


def tree_cpu_s(master):
    """CPU time of a master, its workers, and all workers that it has reaped."""
    fields = pathlib.Path(f"/proc/{master}/stat").read_text().rpartition(")")[2].split()
    reaped = (int(fields[13]) + int(fields[14])) * TICK_S  # cutime and cstime of proc(5)
    return reaped + cpu_ns([master, *children(master)]) / 1e9


def memory_kb(pid, name):
    """A line of proc(5)'s smaps_rollup."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])


def pss_kb(pid):
    """Memory of a process, pages that it shares counted in parts."""
    return memory_kb(pid, "Pss")


def pss_mb(master):
    """Memory of a master and all that it has started, shared pages counted once."""
    return sum(map(pss_kb, family(master))) / 1024


def wait_idle(master, count, but=(), limit_s=60):
    """Until there are `count` workers, other than `but`, and each of them sleeps: in accept."""
    def all_sleep():
        pids = [pid for pid in workers(master) if pid not in but]
        if len(pids) != count:
            return False
        states = (procs.process(pid) for pid in pids)
        return all(one is not None and one.state == "S" for one in states)
    procs.wait_until(all_sleep, f"{count} idle workers", limit_s)


def pause(seconds):
    """Lets the machine work for a time that is itself a part of what is measured."""
    select.poll().poll(seconds * 1000)


def idle_cpu_ms(pid, seconds):
    """CPU time a second of a process that has nothing to do."""
    before, began = cpu_ns([pid]), time.monotonic()
    pause(seconds)
    return (cpu_ns([pid]) - before) / 1e6 / (time.monotonic() - began)


def system_calls(folder, pids, work):
    """Calls that the processes make while work() runs; None where strace is not to be had."""
    if not shutil.which("strace"):
        return None
    out = folder / "calls"
    command = ["strace", "-f", "-c", "-o", out, *(word for pid in pids for word in ("-p", str(pid)))]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        try:
            if not attached(tracer, len(pids)):
                return None  # it may not
            work()
        finally:
            tracer.send_signal(signal.SIGINT)
            try:
                tracer.wait(20)
            finally:
                tracer.kill()
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", out.read_text(),
                      re.M)
    return int(total.group(1))


def attached(tracer, count, limit_s=20):
    """Whether strace says that it has attached to so many processes."""
    said, end = b"", time.monotonic() + limit_s
    poll = select.poll()
    poll.register(tracer.stderr, select.POLLIN)
    while said.count(b" attached") < count:
        left = end - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return False
        more = os.read(tracer.stderr.fileno(), 4096)
        if not more:
            return False
        said += more
    return True


def tree(pid):
    """A process and its living descendants; all of them have one thread."""
    found = [pid]
    for one in found:
        found += workers(one)
    return found


def middle(values):
    return statistics.median(values)


def spread(values, digits=2):
    """'median (least - most)'."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{middle(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"
