"""CPU time of a request, system calls of a request, and CGI: ours and the peers beside the floor."""

import collections
import contextlib
import subprocess

import measure
import servers
from cpu_group import CpuGroup
from measure import middle
from results import Table

WORKERS = 4
BIG = 1 << 20

# Who answers a request: `name` as the tables have it, the process whose tree is counted, the options of
# fcgi-bench.
Subject = collections.namedtuple("Subject", "name pid address words")
# A row: `subjects` is how many clients, requests a round, and what fcgi-bench is told besides.
Row = collections.namedtuple("Row", "title place clients count words goals")

# Goals are ratios to limit. Answers of 1 MB and bodies: not by the ping page, which reads no body and is short.
ROWS = {
    "unix": Row("One connection a request, UNIX, 8 clients", "unix", 8, 8000, [],
                {"fpm ping": 1.25, "fpm module": 1.25, "fpm php": 2.3, "fpm relay": 2.5}),
    "one": Row("One connection a request, UNIX, 1 client", "unix", 1, 4000, [],
               {"fpm ping": 1.2, "fpm module": 1.2, "fpm php": 2.0, "fpm relay": 2.5}),
    "kept": Row("Kept connections, UNIX, 4 clients, 5 workers", "kept", 4, 8000, ["-k"],
                {"fpm ping": 1.25, "fpm module": 1.25, "fpm php": 2.2}),
    "tcp": Row("One connection a request, TCP, 8 clients", "tcp", 8, 5000, [],
               {"fpm ping": 1.1, "fpm module": 1.1, "fpm php": 1.5}),
    "big": Row("1 MB response, UNIX, 4 clients", "unix", 4, 500, ["big"],
               {"fpm module": 1.15, "fpm php": 1.5}),
    "post": Row("1 MB POST, UNIX, 4 clients", "unix", 4, 500, ["--mix", "POST", "--body", "1M"],
                {"fpm module": 1.2, "fpm php": 3}),
}
PHP = {"hello": "echo 'hello';", "big": "echo str_repeat('x', 1 << 20);",
       "post": "echo 'hello', strlen(file_get_contents('php://input'));"}


def requests(plan):
    """A table for each of ROWS, and one of system calls."""
    tables, calls = [], Table("calls", "System calls a request", ["server", *ROWS])
    counted = collections.defaultdict(dict)
    for place in ("unix", "kept", "tcp"):
        with contextlib.ExitStack() as stack:
            start = Starter(plan, stack, place)
            for name, row in ROWS.items():
                if row.place != place:
                    continue
                subjects = start.subjects(name)
                tables.append(one_row(plan, name, row, subjects))
                if place != "tcp" and not (plan.brief and name != "unix"):
                    for subject in subjects[-1:] if plan.brief else subjects:
                        counted[subject.name][name] = count_calls(plan, subject, row)
    for server, row in counted.items():
        calls.add(server, *(row.get(name) or "" for name in ROWS))
        calls.figures.update({f"calls: {name}: {server}": {"unit": "calls", "values": [value]}
                              for name, value in row.items() if value})
    for server, row, limit in (("fpm ping", "unix", 4), ("fpm module", "unix", 4),
                               ("fpm ping", "kept", 2), ("fpm module", "kept", 2)):
        if counted[server].get(row):
            calls.goal(f"{row}, {server}", counted[server][row], limit + 0.05, "calls",
                       f"limit {counted['limit'].get(row)}")
    return [*tables, calls]


def one_row(plan, name, row, subjects):
    table = Table(name, f"CPU of a request: {row.title}",
                  ["server", "CPU, us", "ratio to limit", "median, us", "p99, us",
                   "fcgi-bench's own CPU, us"])
    count = max(20, row.count // 40) if plan.brief else int(row.count * plan.scale)
    seen = collections.defaultdict(list)
    for subject in subjects:
        if not plan.brief:
            ask(plan, subject, row, max(20, count // 10))  # warm
    for _ in range(plan.ratio_rounds):
        for subject in subjects:
            seen[subject.name].append(ask(plan, subject, row, count))
    floor = [said["server_cpu_us"] for said in seen["limit"]]
    ratios = {}
    for server, said in seen.items():
        cpu = [one["server_cpu_us"] for one in said]
        # Of the same round: what else the machine does changes slowly.
        ratios[server] = [mine / least for mine, least in zip(cpu, floor)]
        table.add(server, table.figure("CPU", server, cpu, "us", 1),
                  table.figure("ratio", server, ratios[server], "times"),
                  table.figure("p50", server, [one["latency_us"]["p50"] for one in said], "us", 0),
                  table.figure("p99", server, [one["latency_us"]["p99"] for one in said], "us", 0),
                  table.figure("client", server, [one["own_cpu_us"] for one in said], "us", 1))
    if "limit, php" in seen:
        table.note("limit, php: the same with PHP's start, run and end of a request between recv and send (engine.c): the floor of "
                   "any PHP worker")
    if "limit, pieces" in seen:
        table.note("limit, pieces: as limit, but the answer is sent 64 KB at a time, as the others write it")
    own = middle([one["own_cpu_us"] / one["server_cpu_us"] for one in seen["limit"]])
    table.note(f"fcgi-bench itself takes {own:.2f} times the CPU of limit"
               + ("; socket, connect, send, recv and close in a bare loop take 1.15 times"
                  if name == "unix" else ""))
    for server, goal in row.goals.items():
        if server in ratios:
            beside = ", ".join(f"{peer} {middle(ratios[peer]):.2f}" for peer in beside_of(server)
                               if peer in ratios)
            table.goal(server, middle(ratios[server]), goal, "times limit", beside, short=name not in ("one", "post"))
    return table


def beside_of(server):
    return {"fpm ping": ["php-fpm ping"], "fpm php": ["limit, php", "php-fpm hello"], "fpm relay": ["limit, relay"]}.get(server, ["libfcgi"])


def ask(plan, subject, row, count):
    words = [word for word in row.words if word != "big"]
    return plan.bench.load(subject.address, "-n", count, "-c", row.clients, "--pid", subject.pid,
                           *words, *subject.words)


def count_calls(plan, subject, row):
    """Of the whole tree, a request; many, for some calls are made once a second."""
    count = 20 if plan.brief else 50 if row.count < 1000 else 1000
    counted = measure.system_calls(plan.bench.folder(), measure.tree(subject.pid),
                                   lambda: ask(plan, subject, row._replace(clients=1), count))
    return None if counted is None else round(counted / count, 2)


class Starter:
    """Starts whoever is installed, at one kind of address, once."""

    def __init__(self, plan, stack, place):
        self.plan, self.bench, self.stack, self.place = plan, plan.bench, stack, place
        self.tcp, self.kept = place == "tcp", place == "kept"
        self.workers = WORKERS + self.kept
        self.lines = f"pm = static\npm.max_children = {self.workers}\nping.path = /ping\n"
        self.scripts = {name: self.bench.php_script(name, text) for name, text in PHP.items()}
        self.limits = {}
        self.hello = self.bench.libfcgi_hello
        peers = place == "unix" or not plan.brief
        self.libfcgi = self.peer("libfcgi", peers and servers.SPAWN_FCGI and self.hello, self.hello,
                                 self.workers)
        self.php_cgi = self.peer("php-cgi", peers and servers.SPAWN_FCGI and servers.PHP_CGI,
                                 servers.PHP_CGI, PHP_FCGI_CHILDREN=str(self.workers),
                                 PHP_FCGI_MAX_REQUESTS="0")
        self.engine = self.enter(peers and servers.engine_server(
            self.bench, self.workers, self.scripts["hello"], *(["kept"] if self.kept else []), tcp=self.tcp))
        self.php_fpm = (self.start("php-fpm", {"www": self.lines})
                        if peers and servers.PHP_FPM else None)
        self.pools = self.our_pools()
        self.fpm = {name: self.start("fpm", {"www": lines}) for name, lines in self.pools.items()}

    def our_pools(self):
        """{what it is: lines}, one fpm each: one pool's workers alone are counted."""
        pools = {"ping": self.lines + f"cgi.program = {self.bench.cgi_script()}\n"}
        others = {"relay": f"handler = fastcgi\nfastcgi.command = {self.hello}\n"
                           "fastcgi.family = libfcgi\n",
                  "php": "handler = php\n"}
        module = self.plan.module()
        if module:
            others["module"] = f"handler = module\nmodule.path = {module}\n"
        for name, lines in others.items():
            if self.bench.has_handler(self.lines + lines):
                pools[name] = self.lines + lines
        return pools

    def start(self, kind, pools):
        server = self.stack.enter_context(self.bench.server(kind, pools, tcp=self.tcp))
        measure.wait_idle(server.pid, self.workers)
        return server

    def peer(self, name, there, *command, **environment):
        """(pid, address), or None where it is not installed."""
        if not there:
            return None
        address = (f"127.0.0.1:{servers.free_port()}" if self.tcp
                   else str(self.bench.folder() / f"{name}.sock"))
        return self.stack.enter_context(
            self.bench.spawn_fcgi(address, *command, **environment)), address

    def limit(self, *more):
        """The floor; with `more`: that of large answers, or of relays."""
        if more not in self.limits:
            how = [*(["kept"] if self.kept else []), *more]
            self.limits[more] = self.enter(servers.limit_server(self.bench, self.workers, *how, tcp=self.tcp))
        return self.limits[more]

    def enter(self, floor):
        """(peer, address) as (pid, address)."""
        return floor and (self.stack.enter_context(floor[0]), floor[1])

    def subjects(self, row):
        """All that can serve the row."""
        large = row in ("big", "post")
        script = self.scripts[row if large else "hello"]
        expect = [] if row == "big" else ["--expect", "hello"]
        uri = ["-u", "/hello?big" if row == "big" else "/hello"]
        php = ["-e", f"SCRIPT_FILENAME={script}", *uri, *expect]
        ping = ["-u", "/ping", "--expect", "pong"]
        found = [Subject("limit", *(self.limit(f"answer={BIG}") if row == "big" else self.limit()),
                         [] if row == "big" else ["--expect", "pong"])]
        if row == "big":  # as the module writes it
            found.append(Subject("limit, pieces", *self.limit(f"answer={BIG}", "piece=65544"), []))
        if self.hello and not large:
            found.append(Subject("limit, relay", *self.limit(f"relay={self.hello}"), [*uri, *expect]))
        if self.engine and not large:
            found.append(Subject("limit, php", *self.engine, [*uri, *expect]))
        if self.libfcgi:
            found.append(Subject("libfcgi", *self.libfcgi, [*uri, *expect]))
        if self.php_cgi:
            found.append(Subject("php-cgi", *self.php_cgi, php))
        if self.php_fpm:
            served = self.php_fpm.pid, self.php_fpm.address()
            found += [] if large else [Subject("php-fpm ping", *served, ping)]
            found.append(Subject("php-fpm hello", *served, php))
        for name, words in (("ping", ping), ("module", [*uri, *expect]), ("relay", [*uri, *expect]),
                            ("php", php)):
            if name in self.fpm and not (large and name == "ping"):
                server = self.fpm[name]
                found.append(Subject(f"fpm {name}", server.pid, server.address(), words))
        return [one for one in found
                if one.name == "limit" or not self.plan.only or self.plan.only in one.name]


CGI = {"hello": ([], ["--expect", "hello"], 2000), "big": (["big"], ["-u", "/?big"], 500),
       "body": (["body"], ["--mix", "POST", "--body", "1M", "--expect", "hello"], 500)}


def cgi(plan):
    """A static program that says hello, answers 1 MB, or reads 1 MB. The floor is what it takes to run the
    program, see spawn.c, and to serve the connection, as limit does: "both", each measured alone. Beside it
    stands runner.c, which does the two things in one process, and what no runner can leave out."""
    table = Table("cgi", "CGI: CPU of a request, a static program, 1 worker, 1 client",
                  ["what", "server", "CPU, us", "ratio to both", "ratio to runner"])
    table.note("both: posix_spawn + limit, each in a loop of its own: no client wakes what starts programs, and the "
               "program starts on the processor that its parent has just used. runner: the least that a CGI runner "
               "behind FastCGI does, with that client, an environment, three pipes and a process group; it blocks in "
               "one thing at a time, and stands still for ever where a program does not read, or does not end")
    script, floor_program = plan.bench.cgi_script(), plan.bench.compiled("spawn", "spawn", "-static")
    limits = {what: servers.limit_server(plan.bench, 1, *([f"answer={BIG}"] if what == "big" else []))
              for what in CGI}
    with contextlib.ExitStack() as stack:
        groups = {name: stack.enter_context(CpuGroup()) for name in ("fpm", "runner", "fcgiwrap")}
        fpm = stack.enter_context(plan.bench.server(
            "fpm", {"www": f"pm = static\npm.max_children = 1\ncgi.program = {script}"}))
        runner, address = servers.runner_server(plan.bench, script)
        subjects = {"fpm": (fpm.pid, fpm.address()), "runner": (stack.enter_context(runner), address)}
        if servers.SPAWN_FCGI and servers.FCGIWRAP:
            address = str(plan.bench.folder() / "wrap.sock")
            subjects["fcgiwrap"] = stack.enter_context(plan.bench.spawn_fcgi(
                address, servers.FCGIWRAP, "-c", 1)), address
        if not groups["fpm"].there:
            # fcgiwrap does not wait for its children, so their time is in no parent's.
            subjects.pop("fcgiwrap", None)
            table.note("fcgiwrap needs control groups to be measured, and they cannot be made here")
        for server, (pid, _) in subjects.items():
            if groups[server].there:
                groups[server].add(measure.tree(pid))
        for what, (floor_words, words, count) in CGI.items():
            count = 10 if plan.brief else int(count * plan.scale)
            seen = collections.defaultdict(list)
            limit = stack.enter_context(limits[what][0]), limits[what][1]
            for _ in range(plan.rounds):
                seen["posix_spawn"].append(float(subprocess.run(
                    [floor_program, str(count), script, *floor_words], capture_output=True, text=True,
                    check=True).stdout))
                seen["limit"].append(plan.bench.load(
                    limit[1], "-n", count, "-c", 1, "--pid", limit[0], *words[:4 if what == "body" else 0])
                    ["server_cpu_us"])
                for server, (pid, address) in subjects.items():
                    group = groups[server]
                    before = group.cpu_us() if group.there else 0
                    said = plan.bench.load(address, "-n", count, "-c", 1, "--pid", pid, "-e",
                                           f"SCRIPT_FILENAME={script}", *words)
                    seen[server].append((group.cpu_us() - before) / count if group.there
                                        else said["server_cpu_us"])
            floor = [sum(both) for both in zip(seen["posix_spawn"], seen["limit"])]
            seen["both"] = floor
            for server, cpu in seen.items():
                ratios = [mine / least for mine, least in zip(cpu, floor)]
                beside = [mine / least for mine, least in zip(cpu, seen["runner"])]
                table.add(what, server, table.figure(f"{what}, CPU", server, cpu, "us", 0),
                          table.figure(f"{what}, ratio", server, ratios, "times"),
                          table.figure(f"{what}, ratio to runner", server, beside, "times"))
                if server == "fpm":
                    peer = seen.get("fcgiwrap")
                    table.goal(what, middle(ratios), 1.1, "times the floor",
                               f"fcgiwrap {middle(peer) / middle(floor):.2f}" if peer else "", short=True)
                    table.goal(f"{what}, beside runner", middle(beside), 1.1, "times runner")
    return [table]
