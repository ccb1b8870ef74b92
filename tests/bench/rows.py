"""The figures, one function a row: each measures fpm and its peer by turns and returns a Table."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import fastcgi
import measure
import procs
from measure import middle, spread
from servers import Wrong, limit_server

# What nginx sends besides what every request of the tests has.
MORE_PARAMS = {
    "REQUEST_SCHEME": "http", "REDIRECT_STATUS": "200", "DOCUMENT_ROOT": "/srv/www",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5", "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_CONNECTION": "keep-alive",
}


def brief(value):
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


class Table:
    """A row's figures as RESULTS.md shows them."""

    def __init__(self, title, columns):
        self.title, self.columns = title, columns
        self.lines, self.goals = [], []

    def add(self, *cells):
        self.lines.append([str(cell) for cell in cells])

    def goal(self, what, value, limit, unit):
        """`value` is to be at most `limit`."""
        how = "reached"
        if value > limit:
            how = f"MISSED by {brief(value - limit)} {unit}"
        self.goals.append(f"{what}: {brief(value)} {unit}, goal {brief(limit)} {unit}: {how}")

    def text(self):
        rows = [self.columns, ["---"] * len(self.columns), *self.lines]
        return "\n".join([f"### {self.title}", "", *("| " + " | ".join(row) + " |" for row in rows),
                          "", *(f"* {goal}" for goal in self.goals)])


class Plan:
    """How much is measured. `kinds`: fpm and, where it is to be had, php-fpm."""

    def __init__(self, bench, kinds, rounds, brief):
        self.bench, self.kinds, self.rounds, self.brief = bench, kinds, rounds, brief

    def request(self, kind, sleep_ms=0):
        return fastcgi.params_for("/hello", self.bench.script(kind, sleep_ms), **MORE_PARAMS)


# php-fpm looks for its ping page only if there is a SCRIPT_FILENAME.
PING = fastcgi.params_for("/ping", "/srv/www/ping", **MORE_PARAMS)


def burst(plan):
    table = Table("burst: 50 requests of 200 ms at once",
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
        seen = {kind: [] for kind in plan.kinds}
        for _ in range(plan.rounds):
            for kind in plan.kinds:
                seen[kind].append(one_burst(plan, kind, lines, at_start, count))
        for kind, results in seen.items():
            wall = [said["wall"] for said, _ in results]
            table.add(name, kind, spread(wall, 0), spread([said["median"] for said, _ in results], 0),
                      spread([workers for _, workers in results], 0))
            if kind == "fpm" and name != "static":
                table.goal(f"{name}", middle(wall) / 1000, 0.25, "s")
    return table


def one_burst(plan, kind, lines, at_start, count):
    with plan.bench.server(kind, {"www": lines}) as server:
        measure.wait_idle(server.pid, at_start)
        said = plan.bench.ask(server.address(), plan.request(kind, 200), "hello", count, count)
        return said, len(measure.workers(server.pid))


def cold(plan):
    table = Table("cold: the first request of an ondemand pool after idle",
                  ["pools", "server", "cold, ms", "warm, ms", "difference, ms"])
    for count in ([1, 20] if plan.brief else [1, 1000]):
        seen = cold_and_warm(plan, count)
        for kind, pairs in seen.items():
            extra = [first - then for first, then in pairs]
            table.add(count, kind, spread([first for first, _ in pairs]),
                      spread([then for _, then in pairs]), spread(extra))
            if kind == "fpm":
                table.goal(f"difference, {count} pools", middle(extra), 1, "ms")
    return table


def cold_and_warm(plan, count):
    """{kind: [(cold, warm)]}: each with a request at a time, all servers up together."""
    lines = "pm = ondemand\npm.max_children = 5\npm.process_idle_timeout = 1s"
    pools = {f"p{i}": lines for i in range(count)}
    seen = {kind: [] for kind in plan.kinds}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(plan.bench.server(kind, pools)) for kind in plan.kinds]
        for i in range(1 if plan.brief else 4 * plan.rounds):
            for server in servers:
                measure.wait_idle(server.pid, 0)
                times = [plan.bench.ask(server.address(f"p{i % count}"),
                                        plan.request(server.kind), "hello")["wall"]
                         for _ in range(4)]
                seen[server.kind].append((times[0], middle(times[1:])))
    return seen


def pools(plan):
    table = Table("pools: idle ondemand pools",
                  ["pools", "server", "ready, ms", "memory (PSS), MB", "CPU idle, ms/s", "stop, ms"])
    for count in ([20] if plan.brief else [1000, 5000]):
        seen = {kind: [] for kind in plan.kinds}
        for _ in range(plan.rounds):
            for kind in plan.kinds:
                seen[kind].append(idle_pools(plan, kind, count))
        medians = {}
        for kind, rounds in seen.items():
            figures = list(zip(*rounds))
            medians[kind] = [middle(figure) for figure in figures]
            table.add(count, kind, spread(figures[0], 0), spread(figures[1], 1),
                      spread(figures[2]), spread(figures[3], 0))
        if count == 1000:
            table.goal("CPU idle, 1,000 pools", medians["fpm"][2], 1, "ms/s")
        if "php-fpm" in medians:
            table.goal(f"ready, {count} pools", medians["fpm"][0], medians["php-fpm"][0], "ms")
            table.goal(f"memory, {count} pools", medians["fpm"][1], medians["php-fpm"][1], "MB")
    return table


def idle_pools(plan, kind, count):
    """(ready ms, PSS MB, CPU ms a second, stop ms)."""
    lines = "pm = ondemand\npm.max_children = 5\npm.process_idle_timeout = 10s"
    window = 0.5 if plan.brief else 10
    with plan.bench.server(kind, {f"p{i}": lines for i in range(count)}) as server:
        memory = measure.pss_mb(server.pid)
        before, began = measure.cpu_ns([server.pid]), time.monotonic()
        server.stays(window)
        used = (measure.cpu_ns([server.pid]) - before) / 1e6 / (time.monotonic() - began)
    return server.ready_ms, memory, used, server.stop_ms


def turnover(plan):
    table = Table("turnover: a worker's life (pm.max_requests = 1, pings)",
                  ["server", "CPU a life, ms", "wall a life, ms", "ratio of CPU"])
    count = 20 if plan.brief else 500
    lines = "pm = static\npm.max_children = 4\npm.max_requests = 1\nping.path = /ping"
    seen = {kind: [] for kind in plan.kinds}
    for _ in range(plan.rounds):
        for kind in plan.kinds:
            with plan.bench.server(kind, {"www": lines}) as server:
                measure.wait_idle(server.pid, 4)
                before = measure.tree_cpu_s(server.pid)
                said = plan.bench.ask(server.address(), PING, "pong", 4, count)
                measure.wait_idle(server.pid, 4)
                used = measure.tree_cpu_s(server.pid) - before
                seen[kind].append((used * 1000 / count, said["wall"] / count))
    floor = middle([cpu for cpu, _ in seen["fpm"]])
    for kind, results in seen.items():
        cpu = [one for one, _ in results]
        table.add(kind, spread(cpu), spread([wall for _, wall in results]),
                  f"{middle(cpu) / floor:.2f}")
    table.goal("CPU a life", floor, 0.8, "ms")
    return table


def ping(plan):
    table = Table("ping: one connection a request, UNIX, 8 clients, 4 workers",
                  ["server", "CPU a ping, us", "ratio to limit", "median request, us",
                   "system calls a ping"])
    count = 200 if plan.brief else 20000
    lines = "pm = static\npm.max_children = 4\nping.path = /ping"
    seen = {kind: [] for kind in ["limit", *plan.kinds]}
    with limit_server(plan.bench, 4) as (limit_pid, limit_address):
        for _ in range(plan.rounds):
            seen["limit"].append(pings(plan, limit_pid, limit_address, count))
            for kind in plan.kinds:
                with plan.bench.server(kind, {"www": lines}) as server:
                    measure.wait_idle(server.pid, 4)
                    plan.bench.ask(server.address(), PING, "pong", 8, count // 10)
                    seen[kind].append(pings(plan, server.pid, server.address(), count))
        calls = {"limit": system_calls(plan, family(limit_pid), limit_address)}
    for kind in plan.kinds:
        with plan.bench.server(kind, {"www": lines}) as server:
            measure.wait_idle(server.pid, 4)
            calls[kind] = system_calls(plan, family(server.pid), server.address())
    floor = middle([cpu for cpu, _ in seen["limit"]])
    for kind, results in seen.items():
        cpu = [one for one, _ in results]
        table.add(kind, spread(cpu, 1), f"{middle(cpu) / floor:.2f}",
                  spread([request for _, request in results], 0), calls[kind] or "not known")
    table.goal("CPU, ratio to limit", middle([cpu for cpu, _ in seen["fpm"]]) / floor, 1.25, "times")
    if calls["fpm"]:
        table.goal("system calls", calls["fpm"], 4.05, "calls")
    return table


def pings(plan, master, address, count):
    """(CPU of the whole tree, median time of a request), microseconds a ping."""
    tree = [master, *measure.workers(master)]
    before = measure.cpu_ns(tree)
    said = plan.bench.ask(address, PING, "pong", 8, count)
    if sorted(tree[1:]) != sorted(measure.workers(master)):
        raise Wrong("workers have changed while they were measured")
    return (measure.cpu_ns(tree) - before) / 1000 / count, said["median"] * 1000


def family(master):
    """A master and its workers."""
    return [master, *measure.workers(master)]


def system_calls(plan, pids, address, params=PING, expected="pong", count=200):
    """Calls a request of these processes together; None where strace is not to be had."""
    if not shutil.which("strace"):
        return None
    out = plan.bench.folder() / "calls"
    command = ["strace", "-f", "-c", "-o", out, *(word for pid in pids for word in ("-p", str(pid)))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            attached = 0
            while attached < len(pids):
                line = tracer.stderr.readline()
                if not line:
                    return None  # it may not
                attached += "attached" in line
            plan.bench.ask(address, params, expected, 1, count)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(10)
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", out.read_text(),
                      re.M)
    return round(int(total.group(1)) / count, 2)


def kill(plan):
    table = Table("kill: 50 workers killed at once (SIGKILL)",
                  ["server", "50 new ones are there, ms", "and wait in accept, ms"])
    count = 5 if plan.brief else 50
    lines = f"pm = static\npm.max_children = {count}\nping.path = /ping"
    seen = {kind: [] for kind in plan.kinds}
    for _ in range(plan.rounds):
        for kind in plan.kinds:
            with plan.bench.server(kind, {"www": lines}) as server:
                measure.wait_idle(server.pid, count)
                seen[kind].append(kill_all(server, count))
                plan.bench.ask(server.address(), PING, "pong", count, count)
    for kind, results in seen.items():
        table.add(kind, spread([one for one, _ in results], 1), spread([one for _, one in results], 1))
    if "php-fpm" in seen:
        table.goal("whole again", middle([one for _, one in seen["fpm"]]),
                   middle([one for _, one in seen["php-fpm"]]), "ms")
    return table


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


def timeout(plan):
    table = Table("timeout: request_terminate_timeout = 1s and a script of 10 s",
                  ["server", "the client hears of it after, ms", "what it gets"])
    lines = "pm = static\npm.max_children = 1\nrequest_terminate_timeout = 1s"
    seen = {kind: [] for kind in plan.kinds}
    for _ in range(plan.rounds):
        for kind in plan.kinds:
            with plan.bench.server(kind, {"www": lines}) as server:
                measure.wait_idle(server.pid, 1)
                seen[kind].append(time_out(server, plan.request(kind, 10000)))
    for kind, results in seen.items():
        table.add(kind, spread([took for took, _ in results], 0),
                  ", ".join(sorted({what for _, what in results})))
    if {what for _, what in seen["fpm"]} != {"a complete 504"}:
        raise Wrong(f"timeout: {seen['fpm']}")
    table.goal("after the limit", max(took for took, _ in seen["fpm"]) - 1000, 20, "ms")
    return table


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


ROWS = {function.__name__: function for function in (burst, cold, pools, turnover, ping, kill,
                                                     timeout)}
