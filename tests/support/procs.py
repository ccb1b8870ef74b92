"""Processes as /proc shows them, and waiting for what has no event, always with a bound."""

import os
import select
import signal
import time
from collections import namedtuple

Process = namedtuple("Process", "pid name state parent group session")


def process(pid):
    """The process, or None when there is none of that number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    fields = text[text.rindex(")") + 2:].split()
    return Process(int(pid), name, fields[0], int(fields[1]), int(fields[2]), int(fields[3]))


def processes():
    found = (process(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [one for one in found if one]


def alive(pid):
    """Exists and is no zombie."""
    one = process(pid)
    return one is not None and one.state not in "ZX"


def children(pid):
    """Living children, oldest first."""
    return [one.pid for one in processes() if one.parent == pid and one.state not in "ZX"]


def descendants(pid):
    """Living descendants, without the process itself."""
    by_parent = {}
    for one in processes():
        by_parent.setdefault(one.parent, []).append(one)
    found, queue = [], [pid]
    while queue:
        for one in by_parent.get(queue.pop(), []):
            queue.append(one.pid)
            if one.state not in "ZX":
                found.append(one)
    return found


def group(pgid):
    """Living members of a process group."""
    return [one for one in processes() if one.group == pgid and one.state not in "ZX"]


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = file.read().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def open_files(pid):
    """{descriptor: target} of a process."""
    folder, found = f"/proc/{pid}/fd", {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            pass
    return found


def wait_gone(pid, limit_s=5):
    """Waits for the end of a process that need not be our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(limit_s * 1000):
            raise AssertionError(f"process {pid} ({command_line(pid)}) is still there after "
                                 f"{limit_s} s")
    finally:
        os.close(handle)


def wait_until(condition, what, limit_s=5):
    """Looks again every few milliseconds: only for states of which no event tells.

    Returns what `condition` returned once that is true; AssertionError naming `what` after the
    limit.
    """
    end = time.monotonic() + limit_s
    pause = select.poll()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        pause.poll(5)


def end(pid):
    """Ends a process that we started, for cleaning up."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
