"""What grows with the number of workers and of pools, and how fast."""

import contextlib

import fastcgi
import measure
import servers
from measure import middle
from results import Table

PING = ["-u", "/ping", "--expect", "pong"]


def workers(plan):
    """Pings beside more and more idle workers; memory of each."""
    table = Table("workers", "Growth: pings (UNIX, a connection a request, 8 clients) with so many workers",
                  ["workers", "server", "CPU a request, us", "times that of the fewest", "p50, us",
                   "p99, us", "PSS of a worker, MB"])
    numbers = [2, 20] if plan.brief else [4, 500, 2000]
    seen = {}
    with contextlib.ExitStack() as stack:
        up = {(number, kind): start(plan, stack, kind, number)
              for number in numbers for kind in ["limit", *plan.kinds]}
        memory = {key: measure.pss_kb(measure.workers(pid)[-1]) / 1024
                  for key, (pid, _) in up.items()}
        for _ in range(plan.rounds):
            for key, (pid, address) in up.items():
                seen.setdefault(key, []).append(plan.bench.load(
                    address, "-n", 50 if plan.brief else int(8000 * plan.scale), "-c", 8, "--pid", pid, *PING))
    for (number, kind), said in seen.items():
        cpu = [one["server_cpu_us"] for one in said]
        fewest = [one["server_cpu_us"] for one in seen[numbers[0], kind]]
        ratios = [now / then for now, then in zip(cpu, fewest)]
        table.add(number, kind, table.figure(f"{number}, CPU", kind, cpu, "us", 1),
                  table.figure(f"{number}, growth", kind, ratios, "times"),
                  table.figure(f"{number}, p50", kind, [one["latency_us"]["p50"] for one in said], "us", 0),
                  table.figure(f"{number}, p99", kind, [one["latency_us"]["p99"] for one in said], "us", 0),
                  table.figure(f"{number}, memory", kind, [memory[number, kind]], "MB"))
        if kind == "fpm" and number == numbers[-1] and not plan.brief:
            peer = (lambda what: f"php-fpm {what:.2f}") if "php-fpm" in plan.kinds else lambda what: ""
            theirs = [one["server_cpu_us"] for one in seen.get((number, "php-fpm"), said)]
            few = [one["server_cpu_us"] for one in seen.get((numbers[0], "php-fpm"), said)]
            table.goal(f"CPU with {number}", middle(ratios), 1.3, f"times that with {numbers[0]}",
                       peer(middle(theirs) / middle(few)), short=True)
            table.goal("memory of an idle worker", memory[number, "fpm"], 0.3, "MB",
                       peer(memory.get((number, "php-fpm"), 0)), short=True)
    return [table]


def start(plan, stack, kind, number):
    """(pid, address) of a server whose workers are all idle."""
    if kind == "limit":
        peer, address = servers.limit_server(plan.bench, number)
        pid = stack.enter_context(peer)
    else:
        server = stack.enter_context(plan.bench.server(
            kind, {"www": f"pm = static\npm.max_children = {number}\nping.path = /ping"}))
        pid, address = server.pid, server.address()
    measure.wait_idle(pid, number)
    plan.bench.load(address, "-n", 50, *PING)
    return pid, address


def status(plan):
    """The page with a line for each worker."""
    table = Table("status", "Growth: a full status page",
                  ["workers", "server", "text, ms", "json, ms", "bytes, json"])
    numbers = [2, 20] if plan.brief else [4, 500, 2000]
    for number in numbers:
        seen, sizes = {kind: {} for kind in [*plan.kinds, "fpm's reporter"]}, {}
        with contextlib.ExitStack() as stack:
            up = {}
            for kind in plan.kinds:
                lines = f"pm = static\npm.max_children = {number}\npm.status_path = /status"
                reporter = servers.free_port()
                server = stack.enter_context(plan.bench.server(
                    kind, {"www": lines}, global_lines=
                    f"status.listen = 127.0.0.1:{reporter}" if kind == "fpm" else ""))
                up[kind] = server.address(), "/status"
                if kind == "fpm":
                    up["fpm's reporter"] = f"127.0.0.1:{reporter}", "/status/www"
                measure.wait_idle(server.pid, number + (kind == "fpm"))
            for _ in range(plan.rounds):
                for kind, (address, uri) in up.items():
                    for form in ("full&text", "full&json"):
                        sizes[kind] = check_page(address, uri, form, number)
                        seen[kind].setdefault(form, []).append(time_page(plan, address, uri, form))
        for kind, times in seen.items():
            table.add(number, kind,
                      table.figure(f"{number}, text", kind, times["full&text"], "ms"),
                      table.figure(f"{number}, json", kind, times["full&json"], "ms"),
                      sizes[kind])
            if number == 2000 and kind != "php-fpm":
                for form in times:
                    peer = seen.get("php-fpm", {}).get(form)
                    table.goal(f"{form[5:]}, {number} workers, {kind}", middle(times[form]), 5, "ms",
                               f"php-fpm {middle(peer):.1f}" if peer else "",
                               short=form == "full&json")
    return [table]


def time_page(plan, address, uri, form):
    """The median of ten, milliseconds."""
    said = plan.bench.load(address, "-n", 2 if plan.brief else 10, "-c", 1, "-u", f"{uri}?{form}")
    return said["latency_us"]["p50"] / 1000


def check_page(address, uri, form, number):
    """Its size in bytes."""
    host, _, port = address.rpartition(":")
    params = fastcgi.params_for(f"{uri}?{form}", uri)  # php-fpm wants a SCRIPT_FILENAME
    answer = fastcgi.ask((host, int(port)) if host else address, params, limit_s=30)
    if answer.status != 200 or answer.body.count(b"request uri") + answer.body.count(b"request URI") < number:
        raise servers.Wrong(f"{address} {uri}?{form}: {answer.stdout[:300]}")
    return len(answer.body)


def pools(plan):
    table = Table("pools", "Growth: idle ondemand pools",
                  ["pools", "server", "ready, ms", "memory (PSS), MB", "CPU idle, ms/s", "stop, ms"])
    for count in ([1, 20] if plan.brief else [1, 100, 1000, 5000]):
        seen = {kind: [] for kind in plan.kinds}
        for _ in range(min(plan.rounds, 5)):
            for kind in plan.kinds:
                seen[kind].append(idle_pools(plan, kind, count))
        medians = {}
        for kind, rounds in seen.items():
            ready, memory, idle, stop = zip(*rounds)
            medians[kind] = [middle(figure) for figure in zip(*rounds)]
            table.add(count, kind, table.figure(f"{count}, ready", kind, ready, "ms", 0),
                      table.figure(f"{count}, memory", kind, memory, "MB", 1),
                      table.figure(f"{count}, idle", kind, idle, "ms/s"),
                      table.figure(f"{count}, stop", kind, stop, "ms", 0))
        if count < 1000:
            continue
        table.goal(f"CPU idle, {count}", medians["fpm"][2], 1, "ms/s",
                   f"php-fpm {medians['php-fpm'][2]:.2f}" if "php-fpm" in medians else "", short=count == 1000)
        if "php-fpm" in medians:
            for at, what, unit in ((0, "ready", "ms"), (1, "memory", "MB")):
                table.goal(f"{what}, {count}", medians["fpm"][at], medians["php-fpm"][at], unit,
                           f"php-fpm {medians['php-fpm'][at]:.1f}", short=True)
    return [table]


def idle_pools(plan, kind, count):
    """(ready ms, PSS MB, CPU ms a second, stop ms)."""
    lines = "pm = ondemand\npm.max_children = 5\npm.process_idle_timeout = 10s"
    with plan.bench.server(kind, {f"p{i}": lines for i in range(count)}) as server:
        memory = measure.pss_mb(server.pid)
        used = measure.idle_cpu_ms(server.pid, 0.3 if plan.brief else 3)
    return server.ready_ms, memory, used, server.stop_ms
