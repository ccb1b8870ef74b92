"""The door beside nginx: CPU of a request, of all processes that have a part in it, under wrk."""

import collections
import contextlib
import http.client
import json
import os
import subprocess

import measure
import servers
from door import address_in
from measure import middle
from results import Table

CLIENTS = 32
SECONDS = 2  # of a round
LARGE = 1 << 20

# A request, and what is to come of it.
Ask = collections.namedtuple("Ask", "path status body headers", defaults=[{}])
# Who answers at a port of this machine, and the processes whose trees are counted.
Subject = collections.namedtuple("Subject", "port pids")
# The pool behind both: `kept` connections of nginx to it. Ours holds a worker with a kept connection only
# while others are free, hence the workers beyond those.
Pool = collections.namedtuple("Pool", "title workers kept")
POOLS = {"hello": Pool("a connection a request, 4 workers", 4, 0),
         "hello kept": Pool("fastcgi_keep_conn, keepalive 32, 40 workers", 40, CLIENTS)}
COLUMNS = ["what", "server", "CPU, us", "ratio to nginx", "requests a second"]


def files(plan):
    """A small file, a large one, and a part of it; one process that serves, on each side."""
    table = Table("files", f"Files: CPU of a request, door and nginx, {CLIENTS} connections", COLUMNS)
    root = plan.bench.dir / "www"
    root.mkdir(mode=0o755, exist_ok=True)
    small, large = os.urandom(1024), os.urandom(LARGE)
    for name, content in (("small.bin", small), ("large.bin", large)):
        (root / name).write_bytes(content)
        os.chmod(root / name, 0o644)
    asks = {"1 KB": Ask("/small.bin", 200, small), "1 MB": Ask("/large.bin", 200, large),
            "64 KB of 1 MB": Ask("/large.bin", 206, large[:65536], {"Range": "bytes=0-65535"})}
    with contextlib.ExitStack() as stack:
        subjects = {"fpm": start_door(plan, stack, f"http.root = {root}\npm = ondemand\npm.max_children = 1")}
        if servers.NGINX:
            nginx = start_nginx(plan, stack, f"root {root};")
            subjects["nginx"] = Subject(nginx.port, [nginx.pid])
        for what, ask in asks.items():
            compare(plan, table, what, subjects, ask, 1.5)
    return [tell_missing(table)]


def door(plan):
    """A module's hello through the door, and through nginx from a pool of the same kind."""
    table = Table("door", f"Door: CPU of a module's hello, door + pool and nginx + pool, {CLIENTS} connections",
                  COLUMNS)
    module = plan.module()
    if not module:
        table.note("this fpm has no modules")
        return [table]
    for name, pool in POOLS.items():
        workers = 2 if plan.brief and not pool.kept else pool.workers
        lines = f"pm = static\npm.max_children = {workers}\nhandler = module\nmodule.path = {module}\n"
        with contextlib.ExitStack() as stack:
            subjects = {"fpm": start_door(plan, stack, lines + "http.scripts = all", workers)}
            if servers.NGINX:
                behind = stack.enter_context(plan.bench.server("fpm", {"www": lines}))
                measure.wait_idle(behind.pid, workers)
                nginx = start_nginx(plan, stack, *to_pool(behind.listen, pool.kept))
                subjects["nginx"] = Subject(nginx.port, [nginx.pid, behind.pid])
            compare(plan, table, name, subjects, Ask("/hello", 200, b"hello"), 1.0)
        table.note(f"{name}: {pool.title}")
    return [tell_missing(table)]


def start_door(plan, stack, lines, workers=0):
    server = stack.enter_context(plan.bench.server(
        "fpm", {"www": f"http.listen = 127.0.0.1:0\nhttp.workers = 1\n{lines}"}))
    measure.wait_idle(server.pid, workers)
    return Subject(address_in(server.daemon.text), [server.pid])


def start_nginx(plan, stack, server, upstream=""):
    """One worker process and no access log, as support/nginx.py has it, and nothing that ends wrk's
    connections."""
    return plan.bench.nginx(stack, f"""
      sendfile on;
      keepalive_requests 1000000;
      {upstream}
      server {{ listen 127.0.0.1:{{port}}; {server} }}""")


def to_pool(address, kept):
    """(text of the server, text beside it)"""
    pool = f"""location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_keep_conn {"on" if kept else "off"};
        fastcgi_pass pool;
      }}"""
    keep = f"keepalive {kept}; keepalive_requests 1000000;" if kept else ""
    return pool, f"upstream pool {{ server unix:{address}; {keep} }}"


def compare(plan, table, what, subjects, ask, goal):
    """Adds a line for each subject, and the goal. Every subject's answer is looked at first."""
    for server, subject in subjects.items():
        check(server, subject, ask)
    if not servers.WRK:
        return
    seen = collections.defaultdict(list)
    for number in range(plan.ratio_rounds + (not plan.brief)):
        for server, subject in subjects.items():
            said = load(plan, subject, ask)
            if number or plan.brief:  # the first one warms
                seen[server].append(said)
    ratios = {}
    for server, said in seen.items():
        cpu = [one for one, _ in said]
        cells = [table.figure(f"{what}, CPU", server, cpu, "us", 1), ""]
        if "nginx" in seen:
            # Of the same round: what else the machine does changes slowly.
            ratios[server] = [mine / theirs for mine, (theirs, _) in zip(cpu, seen["nginx"])]
            cells[1] = table.figure(f"{what}, ratio", server, ratios[server], "times")
        table.add(what, server, *cells,
                  table.figure(f"{what}, rate", server, [rate for _, rate in said], "1/s", 0))
    if ratios:
        table.goal(what, middle(ratios["fpm"]), goal, "times nginx" + (" + pool" if table.name == "door" else ""),
                   f"nginx {middle([cpu for cpu, _ in seen['nginx']]):.1f} us", short=True)


def check(server, subject, ask):
    connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", ask.path, headers=ask.headers)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != ask.status or body != ask.body:
        raise servers.Wrong(f"{server}: {ask.path} {ask.headers}: {answer.status}, {len(body)} bytes: {body[:200]}")


def load(plan, subject, ask):
    """(CPU microseconds a request, requests a second). Wrong unless every answer is as long as it should be."""
    seconds = 1 if plan.brief else max(1, round(SECONDS * plan.scale))
    before = sum(map(measure.tree_cpu_s, subject.pids))
    command = [servers.WRK, "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "30s",
               "-s", servers.HERE / "wrk.lua",
               *(word for name, value in ask.headers.items() for word in ("-H", f"{name}: {value}")),
               f"http://127.0.0.1:{subject.port}{ask.path}"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=120, check=False)
    used = sum(map(measure.tree_cpu_s, subject.pids)) - before
    report = next((line for line in done.stdout.splitlines() if line.startswith("{")), None)
    if not report:
        raise servers.Wrong(f"wrk: {done.stdout} {done.stderr}")
    said = json.loads(report)
    # The heads come on top, and of the last answers only a part.
    least, most = (len(ask.body), (len(ask.body) + 1024) * (1 + CLIENTS / max(said["requests"], 1)))
    if said["failed"] or not said["requests"] or not least < said["bytes"] / said["requests"] < most:
        raise servers.Wrong(f"port {subject.port}, {ask.path}: {said}")
    return used * 1e6 / said["requests"], said["requests"] * 1e6 / said["us"]


def tell_missing(table):
    if not servers.NGINX:
        table.note("nginx is not installed")
    if not servers.WRK:
        table.note("wrk is not installed: nothing is measured")
    return table
