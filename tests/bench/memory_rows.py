"""Pools of PHP beside php-fpm's: the memory of idle ones, of those with a worker and of a worker, and the
first request after idle. Each server is alone while its memory is read: who else runs PHP shares pages."""

import collections
import contextlib
import os
import time

import fastcgi
import measure
import procs
from measure import middle
from results import Table
from servers import Wrong

PHP = "handler = php\n"
# Who has a pool of PHP: fpm or php-fpm, lines for [global].
SUBJECTS = {"fpm": ("fpm", ""), "fpm shared": ("fpm", "template = shared"), "php-fpm": ("php-fpm", "")}
# What is left of an ondemand pool after idle, and the goal of its first request (ms), if it has one.
Idle = collections.namedtuple("Idle", "kind lines global_lines processes goal")
IDLE = {"fpm, no template": Idle("fpm", PHP + "template.idle_timeout = 100ms", "", 0, 60),
        "fpm, template": Idle("fpm", PHP, "", 1, 3),
        "fpm, template shared": Idle("fpm", PHP, "template = shared", 1, None),
        "php-fpm": Idle("php-fpm", "", "", 0, None)}


def php_idle(plan):
    """Pools that nobody has asked anything."""
    count = 20 if plan.brief else 1000
    table = Table("php_idle", f"Memory: {count} idle ondemand pools of PHP",
                  ["server", "ready, ms", "processes beside master and reporter", "memory (PSS), MB"])
    lines = "pm = ondemand\npm.max_children = 5\n"
    seen = collections.defaultdict(list)
    kinds = kinds_with_php(plan, table)
    for _ in range(plan.rounds):
        for kind in kinds:
            more = PHP if kind == "fpm" else ""
            with plan.bench.server(kind, {f"p{i}": lines + more for i in range(count)}) as server:
                seen[kind].append((server.ready_ms, len(measure.beside_reporter(server.pid)),
                                   measure.pss_mb(server.pid)))
    for kind, rounds in seen.items():
        ready, processes, memory = zip(*rounds)
        table.add(kind, table.figure("ready", kind, ready, "ms", 0),
                  table.figure("processes", kind, processes, "processes", 0),
                  table.figure("memory", kind, memory, "MB", 1))
    if seen:
        table.goal("processes", max(number for _, number, _ in seen["fpm"]), 0, "processes")
    if "php-fpm" in seen:
        for at, what, unit in ((0, "ready", "ms"), (2, "memory", "MB")):
            ours, theirs = (middle([one[at] for one in seen[kind]]) for kind in ("fpm", "php-fpm"))
            table.goal(what, ours, theirs, unit, f"php-fpm {theirs:.1f}", short=True)
    return [table]


def php_pools(plan):
    """Each pool has been asked once, and has its worker still."""
    count = 4 if plan.brief else 200
    table = Table("php_pools", f"Memory: {count} ondemand pools of PHP with a worker each",
                  ["server", "processes", "memory (PSS), MB", "of a pool, MB"])
    seen = collections.defaultdict(list)
    kinds = kinds_with_php(plan, table)
    for _ in range(min(plan.rounds, 3)):
        for subject, (kind, global_lines) in SUBJECTS.items():
            if kind in kinds:
                seen[subject].append(asked_pools(plan, kind, global_lines, count))
    for subject, rounds in seen.items():
        processes, memory = zip(*rounds)
        table.add(subject, measure.spread(processes, 0),
                  table.figure("memory", subject, memory, "MB", 0),
                  table.figure("a pool", subject, [one / count for one in memory], "MB"))
    if seen:
        table.note("fpm has a template beside each pool's worker; shared: those have ended, one is there for all")
    if "php-fpm" in seen:
        ours, theirs = (middle([memory for _, memory in seen[subject]]) for subject in ("fpm shared", "php-fpm"))
        alone = middle([memory for _, memory in seen["fpm"]])
        table.goal("template = shared", ours, theirs, "MB", f"php-fpm {theirs:.0f}; template = pool {alone:.0f}",
                   short=True)
    return [table]


def asked_pools(plan, kind, global_lines, count):
    """(processes, PSS MB)"""
    lines = "pm = ondemand\npm.max_children = 1\npm.process_idle_timeout = 600s\n" + (PHP if kind == "fpm" else "")
    path = old_script(plan, "hello", "echo 'hello';")
    with plan.bench.server(kind, {f"p{i}": lines for i in range(count)},
                           global_lines=global_lines) as server:
        for address in server.addresses.values():
            ask(address, path, b"hello")
        measure.wait_idle(server.pid, count)
        if global_lines:
            procs.wait_until(lambda: len(measure.children(server.pid)) == count + 1, "an end of the templates", 30)
        return len(measure.family(server.pid)), measure.pss_mb(server.pid)


def php_worker(plan):
    """Of four workers that have served 100 requests each."""
    count = 5 if plan.brief else 100
    table = Table("php_worker", f"Memory: an idle worker of PHP after {count} requests",
                  ["server", "PSS, MB", "private and written to, MB"])
    seen, opcache = collections.defaultdict(list), {}
    kinds = kinds_with_php(plan, table)
    for _ in range(plan.rounds):
        for kind in kinds:
            *memory, opcache[kind] = one_worker(plan, kind, count)
            seen[kind].append(memory)
    if len(set(opcache.values())) > 1:
        raise Wrong(f"opcache is not the same in both: {opcache}")
    for kind, rounds in seen.items():
        table.add(kind, *(table.figure(what, kind, values, "MB")
                          for what, values in zip(("PSS", "private"), zip(*rounds))))
        table.note(f"opcache in {kind}: {opcache[kind]}")
    if "php-fpm" in seen:
        for at, what in enumerate(("PSS", "private")):
            ours, theirs = (middle([one[at] for one in seen[kind]]) for kind in ("fpm", "php-fpm"))
            table.goal(what, ours, theirs, "MB", f"php-fpm {theirs:.2f}", short=True)
    return [table]


def one_worker(plan, kind, count):
    """(PSS MB, private MB, whether opcache is on): medians of four workers."""
    lines = "pm = static\npm.max_children = 4\n" + (PHP if kind == "fpm" else "")
    path = old_script(plan, "pid", "echo getmypid();")
    about = old_script(plan, "opcache", "echo function_exists('opcache_get_status') && opcache_get_status(false)"
                                        " ? 'on' : 'off';")
    with plan.bench.server(kind, {"www": lines}) as server:
        measure.wait_idle(server.pid, 4)
        opcache = ask(server.listen, about).decode()
        served = collections.Counter()
        # They take turns in accept, more or less.
        while len(served) < 4 or min(served.values()) < count:
            served[int(ask(server.listen, path))] += 1
            if served.total() > 40 * count:
                raise Wrong(f"{kind}: not every worker gets its {count} requests: {served}")
        measure.wait_idle(server.pid, 4)
        if set(served) != set(measure.workers(server.pid)):
            raise Wrong(f"{kind}: workers {measure.workers(server.pid)} and not {served}")
        return (*(middle([measure.memory_kb(pid, name) for pid in served]) / 1024
                  for name in ("Pss", "Private_Dirty")), opcache)


def php_cold(plan):
    """An ondemand pool is asked when its worker, and what else may end, has ended; all servers up together."""
    table = Table("php_cold", "Cold: the first request of an ondemand pool of PHP after idle",
                  ["what is left", "first request, ms"])
    kinds = kinds_with_php(plan, table)
    path = old_script(plan, "hello", "echo 'hello';")
    words = ["-n", 1, "-c", 1, "-u", "/hello", "-e", f"SCRIPT_FILENAME={path}", "--expect", "hello"]
    seen = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        up = {}
        for name, idle in IDLE.items():
            if idle.kind in kinds:
                lines = f"pm = ondemand\npm.max_children = 1\npm.process_idle_timeout = 1s\n{idle.lines}"
                up[name] = stack.enter_context(plan.bench.server(idle.kind, {"www": lines},
                                                                 global_lines=idle.global_lines))
                ask(up[name].listen, path, b"hello")  # a template starts with the first one
        for _ in range(1 if plan.brief else 4 * plan.rounds):
            for name, server in up.items():
                processes = IDLE[name].processes
                procs.wait_until(lambda pid=server.pid, left=processes: len(measure.children(pid)) == left
                                 and not measure.workers(pid), f"{name}: {processes} processes", 20)
                said = plan.bench.load(server.address(), *words)
                seen[name].append(said["latency_us"]["max"] / 1000)
    peer = f"php-fpm {middle(seen['php-fpm']):.2f}" if "php-fpm" in seen else ""
    for name, times in seen.items():
        table.add(name, table.figure("first", name, times, "ms"))
        if IDLE[name].goal:
            table.goal(name, middle(times), IDLE[name].goal, "ms", peer, short=True)
    return [table]


def kinds_with_php(plan, table):
    """plan.kinds; none, and a note, where this fpm runs no PHP."""
    if plan.has_php():
        return plan.kinds
    table.note("this fpm has no handler php")
    return []


def old_script(plan, name, text):
    """opcache takes no file of the last two seconds."""
    path = plan.bench.php_script(name, text)
    os.utime(path, (time.time() - 60,) * 2)
    return path


def ask(address, path, expected=None):
    """The body."""
    answer = fastcgi.ask(address, fastcgi.params_for(f"/{path.name}", path), limit_s=30)
    if answer.status != 200 or expected not in (None, answer.body):
        raise Wrong(f"{address} {path}: {answer}")
    return answer.body
