"""What it costs that a FastCGI program stands behind a worker of fpm."""

import contextlib
import subprocess

import fastcgi
import measure
import procs
from measure import middle, spread
from rows import MORE_PARAMS, Table, system_calls
from servers import HERE, limit_server
from spawnfcgi import spawned

HELLO = fastcgi.params_for("/hello", "/srv/www/hello", **MORE_PARAMS)
WORKERS = 4


def relay(plan):
    """A hello in C with libfcgi, alone under spawn-fcgi and behind fpm."""
    table = Table("relay: a hello of libfcgi, one connection a request, UNIX, 4 workers",
                  ["clients", "server", "CPU a request, us", "ratio to limit", "median request, us",
                   "system calls a request"])
    program = compile_hello(plan.bench)
    lines = (f"pm = static\npm.max_children = {WORKERS}\nhandler = fastcgi\n"
             f"fastcgi.command = {program}\nfastcgi.family = libfcgi")
    with contextlib.ExitStack() as stack:
        floor = stack.enter_context(limit_server(plan.bench, WORKERS))
        alone = stack.enter_context(spawned(plan.bench.folder(), [program], WORKERS))
        server = stack.enter_context(plan.bench.server("fpm", {"www": lines}))
        measure.wait_idle(server.pid, WORKERS)
        all_of = {
            "limit": (floor[1], [floor[0], *measure.workers(floor[0])]),
            "libfcgi, spawn-fcgi": (alone[0], alone[1]),
            "libfcgi behind fpm": (server.address(), tree(server.pid)),
        }
        for clients in (8, 1):
            measure_all(plan, table, all_of, clients)
    return table


def measure_all(plan, table, all_of, clients):
    count = 200 if plan.brief else 20000
    seen = {name: [] for name in all_of}
    for _ in range(plan.rounds):
        for name, (address, pids) in all_of.items():
            seen[name].append(one_round(plan, address, pids, clients, count))
    floor = middle([cpu for cpu, _ in seen["limit"]])
    for name, results in seen.items():
        cpu = [one for one, _ in results]
        address, pids = all_of[name]
        calls = "-"
        if clients == 1:
            calls = system_calls(plan, pids, address, HELLO, expected(address))
        table.add(clients, name, spread(cpu, 1), f"{middle(cpu) / floor:.2f}",
                  spread([request for _, request in results], 0), calls or "not known")
    ours = middle([cpu for cpu, _ in seen["libfcgi behind fpm"]])
    table.goal(f"CPU, {clients} clients, ratio to limit", ours / floor, 2.5, "times")


def one_round(plan, address, pids, clients, count):
    """(CPU of all processes, median time), microseconds a request."""
    plan.bench.ask(address, HELLO, expected(address), clients, max(count // 10, 1))
    before = measure.cpu_ns(pids)
    said = plan.bench.ask(address, HELLO, expected(address), clients, count)
    return (measure.cpu_ns(pids) - before) / 1000 / count, said["median"] * 1000


def expected(address):
    """What that server says."""
    return "pong" if address.endswith("/limit.sock") else "hello"


def tree(master):
    return [master, *(one.pid for one in procs.descendants(master))]


def compile_hello(bench):
    program = bench.dir / "hello"
    if not program.exists():
        subprocess.run(["cc", "-O2", "-o", program, HERE / "hello.c", "-lfcgi"], check=True)
    return program
