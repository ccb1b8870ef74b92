"""Figures of running processes, from /proc, and what is made of many of them."""

import os
import pathlib
import statistics

import procs

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def workers(master):
    """Pids of the living children of a master; needs no walk through all of /proc."""
    return [int(word) for word in
            pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()]


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
    return reaped + cpu_ns([master, *workers(master)]) / 1e9


def pss_mb(master):
    """Memory of a master and its workers, shared pages counted once."""
    total = 0
    for pid in [master, *workers(master)]:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
    return total / 1024


def wait_idle(master, count, but=(), limit_s=30):
    """Until there are `count` workers, other than `but`, and each of them sleeps: in accept."""
    def all_sleep():
        pids = [pid for pid in workers(master) if pid not in but]
        if len(pids) != count:
            return False
        states = [procs.process(pid) for pid in pids]
        return all(one is not None and one.state == "S" for one in states)
    procs.wait_until(all_sleep, f"{count} idle workers", limit_s)


def middle(values):
    return statistics.median(values)


def spread(values, digits=2):
    """'median (least - most)'."""
    return f"{middle(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"
