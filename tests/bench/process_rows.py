"""How processes are managed: each function measures fpm and php-fpm by turns and returns its tables."""

import contextlib
import os

import signal
import socket
import threading
import time

import fastcgi
import measure
import procs
from measure import middle
from results import Table
from servers import Wrong

PING = ["-u", "/ping", "--expect", "pong"]


def hello(plan, kind, sleep_ms=0):
    """Words of fcgi-bench: asks for what says hello after a while."""
    return ["-u", "/hello", "-e", f"SCRIPT_FILENAME={plan.bench.script(kind, sleep_ms)}",
            "--expect", "hello"]


def burst(plan):
    table = Table("burst", "Burst: 50 requests of 200 ms at once",
                  ["pm", "server", "until the last answer, ms", "median request, ms", "workers"])
    count = 10 if plan.brief else 50
    pools = {
        "static": ("pm = static", count),
        "ondemand": ("pm = ondemand", 0),
        "dynamic": ("pm = dynamic\npm.start_servers = 2\npm.min_spare_servers = 1\n"
                    "pm.max_spare_servers = 3", 2),
    }
    for name, (lines, at_start) in pools.items():
        lines += f"\npm.max_children = {count}"
        seen = {subject: [] for subject in plan.scripted()}
        for _ in range(plan.rounds):
            for subject in seen:
                seen[subject].append(one_burst(plan, subject, lines, at_start, count))
        peer = ""
        for subject, results in reversed(seen.items()):
            wall = [said["latency_us"]["max"] / 1000 for said, _ in results]
            table.add(name, subject, table.figure(f"{name}, last answer", subject, wall, "ms", 0),
                      table.figure(f"{name}, median", subject,
                                   [said["latency_us"]["p50"] / 1000 for said, _ in results], "ms", 0),
                      measure.spread([workers for _, workers in results], 0))
            if subject == "php-fpm":
                peer = f"php-fpm {middle(wall) / 1000:.2f} s"
            if subject != "php-fpm" and name != "static":
                table.goal(f"{name}, {subject}", middle(wall) / 1000,
                           0.30 if subject == "fpm php" else 0.25, "s", peer, short=True)
    return [table]


def one_burst(plan, subject, lines, at_start, count):
    kind, more = plan.scripted()[subject]
    with plan.bench.server(kind, {"www": lines + more}) as server:
        if subject == "fpm php":  # from a living template
            plan.bench.load(server.address(), "-n", 1, "-c", 1, *hello(plan, "php-fpm"))
        else:
            measure.wait_idle(server.pid, at_start)
        said = plan.bench.load(server.address(), "-n", count, "-c", count,
                               *hello(plan, "php-fpm" if "php" in subject else kind, 200))
        return said, len(measure.workers(server.pid))


def cold(plan):
    table = Table("cold", "Cold: the first request of an ondemand pool after idle",
                  ["pools", "server", "cold, ms", "warm, ms", "difference, ms"])
    for count in ([1, 20] if plan.brief else [1, 1000]):
        seen = cold_and_warm(plan, count)
        peer = ""
        for kind, pairs in reversed(seen.items()):
            extra = [first - then for first, then in pairs]
            first = [first for first, _ in pairs]
            table.add(count, kind, table.figure(f"{count} pools, cold", kind, first, "ms"),
                      table.figure(f"{count} pools, warm", kind, [then for _, then in pairs], "ms"),
                      table.figure(f"{count} pools, difference", kind, extra, "ms"))
            if kind == "php-fpm":
                peer = f"php-fpm {middle(extra):.2f}"
            else:
                table.goal(f"{count} pools, {kind}", middle(extra), 3 if kind == "fpm php" else 1,
                           "ms more than warm", peer, short=True)
    return [table]


def cold_and_warm(plan, count):
    """{subject: [(cold, warm)]}: each with a request at a time, all servers up together."""
    lines = "pm = ondemand\npm.max_children = 5\npm.process_idle_timeout = 1s"
    subjects = plan.scripted(and_module=True)
    seen = {subject: [] for subject in subjects}
    with contextlib.ExitStack() as stack:
        up = {}
        for subject, (kind, more) in subjects.items():
            pools = {f"p{i}": lines for i in range(count)}
            pools["p0"] += more
            up[subject] = stack.enter_context(plan.bench.server(kind, pools))
        for _ in range(1 if plan.brief else 4 * plan.rounds):
            for subject, server in up.items():
                measure.wait_idle(server.pid, 0)
                words = hello(plan, "php-fpm" if "php" in subject else "fpm")
                times = [plan.bench.load(server.address("p0"), "-n", 1, "-c", 1, *words)
                         ["latency_us"]["max"] / 1000 for _ in range(4)]
                seen[subject].append((times[0], middle(times[1:])))
    # The very first one of a handler with a template starts that, too.
    return {subject: pairs[1:] if len(pairs) > 1 else pairs for subject, pairs in seen.items()}


def turnover(plan):
    table = Table("turnover", "Turnover: a worker's life (pm.max_requests = 1)",
                  ["server", "CPU a life, ms", "wall a life, ms"])
    count = 20 if plan.brief else 500
    lines = "pm = static\npm.max_children = 4\npm.max_requests = 1\nping.path = /ping"
    subjects = {kind: (kind, "") for kind in plan.kinds}
    subjects.update({name: what for name, what in plan.scripted(and_module=True).items()
                     if name in ("fpm php", "fpm module")})
    seen = {subject: [] for subject in subjects}
    forks = []
    for _ in range(plan.rounds):
        if "fpm php" in subjects or plan.brief:
            forks.append(plan.bench.php_fork(count))
        for subject, (kind, more) in subjects.items():
            with plan.bench.server(kind, {"www": lines + more}) as server:
                words = PING if subject == kind else hello(plan, "php-fpm")
                plan.bench.load(server.address(), "-n", 8, "-c", 4, *words)
                before = measure.tree_cpu_s(server.pid)
                said = plan.bench.load(server.address(), "-n", count, "-c", 4, *words)
                used = measure.tree_cpu_s(server.pid) - before
                seen[subject].append((used * 1000 / count, said["seconds"] * 1000 / count))
    for subject, results in seen.items():
        cpu = [one for one, _ in results]
        table.add(subject, table.figure("CPU", subject, cpu, "ms"),
                  table.figure("wall", subject, [wall for _, wall in results], "ms"))
    if forks and None not in forks:
        table.note(f"a process that has loaded PHP with its extensions takes {middle(forks) / 1000:.2f} ms for a "
                   "fork whose child ends at once: the floor of a PHP worker's life")
    peer = f"php-fpm {middle([cpu for cpu, _ in seen['php-fpm']]):.2f}" if "php-fpm" in seen else ""
    for subject in seen:
        if subject != "php-fpm":
            table.goal(f"CPU a life, {subject}", middle([cpu for cpu, _ in seen[subject]]),
                       1.5 if subject == "fpm php" else 0.8, "ms", peer, short=True)
    return [table]


def kill(plan):
    table = Table("kill", "Kill: workers killed at once (SIGKILL)",
                  ["workers", "server", "new ones are there, ms", "and wait in accept, ms"])
    for count in ([5] if plan.brief else [50, 500]):
        lines = f"pm = static\npm.max_children = {count}\nping.path = /ping"
        seen = {kind: [] for kind in plan.kinds}
        for _ in range(plan.rounds):
            for kind in plan.kinds:
                with plan.bench.server(kind, {"www": lines}) as server:
                    measure.wait_idle(server.pid, count)
                    seen[kind].append(kill_all(server, count))
                    plan.bench.load(server.address(), "-n", count, "-c", min(count, 64), *PING)
        for kind, results in seen.items():
            table.add(count, kind,
                      table.figure(f"{count}, there", kind, [one for one, _ in results], "ms", 1),
                      table.figure(f"{count}, idle", kind, [one for _, one in results], "ms", 1))
        if "php-fpm" in seen:
            peer = middle([one for _, one in seen["php-fpm"]])
            table.goal(f"{count} workers whole again", middle([one for _, one in seen["fpm"]]), peer,
                       "ms", f"php-fpm {peer:.1f}", short=count == 500)
    return [table]


def kill_all(server, count):
    """Milliseconds until `count` new workers are there, and until all of them wait."""
    old = set(measure.workers(server.pid))
    began = time.monotonic()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    procs.wait_until(lambda: len(set(measure.workers(server.pid)) - old) == count, "new workers", 30)
    there = time.monotonic()
    measure.wait_idle(server.pid, count, old)
    return (there - began) * 1000, (time.monotonic() - began) * 1000


def killing(plan):
    """A worker is killed every 10 ms while requests of 1 ms come."""
    seconds = 1 if plan.brief else 10
    table = Table("killing", f"Killing: a worker every 10 ms for {seconds} s (SIGKILL), 200 requests a second "
                  "of 5 ms", ["server", "killed", "sent", "lost", "of them unread", "named in the log"])
    lines = "pm = static\npm.max_children = 8"
    for kind in plan.kinds:
        with plan.bench.server(kind, {"www": lines}) as server:
            measure.wait_idle(server.pid, 8)
            killed, said = kill_for(plan, server, seconds)
            named = len(server.daemon.find("exited on signal 9 .*(with the request|while it read a request)"))
            lost = said["failed"]
            # A worker that is killed in accept still takes a connection with it; nobody has read its request.
            unread = said["failures"]["reset"]
            table.add(kind, killed, said["sent"], lost, unread, named if kind == "fpm" else "none")
            table.figures[f"killing: lost: {kind}"] = {"unit": "requests", "values": [lost]}
            if kind == "fpm" and lost > killed:
                raise Wrong(f"{lost} requests lost by {killed} kills")
            if kind == "fpm":
                table.goal("lost in service and not named in the log",
                           max(0, lost - unread - named), 0, "requests")
    return [table]


def kill_for(plan, server, seconds):
    """(kills, what the load says)."""
    said = []
    load = threading.Thread(target=lambda: said.append(plan.bench.load(
        server.address(), "-r", 200, "-t", seconds, "-c", 8, *hello(plan, server.kind, 5),
        check=False)))
    load.start()
    killed, number = 0, 0
    while load.is_alive():
        measure.pause(0.01)
        pids = measure.workers(server.pid)
        number += 1
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[number % len(pids)], signal.SIGKILL)
                killed += 1
    load.join()
    if not said:
        raise Wrong("the load has no report")
    return killed, said[0]


def timeout(plan):
    table = Table("timeout", "Timeout: request_terminate_timeout = 2s and a script of 10 s",
                  ["server", "the client hears of it after, ms", "what it gets"])
    limit_ms = 1000 if plan.brief else 2000
    lines = f"pm = static\npm.max_children = 1\nrequest_terminate_timeout = {limit_ms // 1000}s"
    seen = {subject: [] for subject in plan.scripted()}
    for _ in range(plan.rounds):
        for subject, (kind, more) in plan.scripted().items():
            with plan.bench.server(kind, {"www": lines + more}) as server:
                script = plan.bench.script("php-fpm" if "php" in subject else kind, 10000)
                measure.wait_idle(server.pid, 1)
                seen[subject].append(time_out(server, fastcgi.params_for("/slow", script)))
    for subject, results in seen.items():
        table.add(subject, table.figure("heard", subject, [took for took, _ in results], "ms", 0),
                  ", ".join(sorted({what for _, what in results})))
        if subject == "php-fpm":
            continue
        if {what for _, what in results} != {"a complete 504"}:
            raise Wrong(f"timeout: {subject}: {results}")
        table.goal(f"after the limit, {subject}", max(took for took, _ in results) - limit_ms, 20, "ms",
                   f"php-fpm {middle([took for took, _ in seen['php-fpm']]) - limit_ms:.0f}"
                   if "php-fpm" in seen else "", short=True)
    return [table]


def time_out(server, params):
    """(milliseconds, what came)."""
    with fastcgi.Connection(server.address(), 30) as client:
        began = time.monotonic()
        client.send(fastcgi.request(params))
        try:
            answer = client.read_answer()
            what = f"a complete {answer.status}"
        except (fastcgi.Closed, ConnectionError):
            what = "a closed connection"
        except socket.timeout:
            what = "nothing"
        return (time.monotonic() - began) * 1000, what
