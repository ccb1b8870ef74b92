"""status.listen and pm.status_listen: what pools do, for people and monitors, at any time."""

import json
import os
import re
import signal
import stat
import subprocess
import threading
import time

import fastcgi
import procs
from case import needs_root
from fastcgi import Connection, params_for, request
from fpm import SERVICE_USER, free_port
from gate import WAITING_SCRIPT, Gate
from reporter import POOL, Http, Reporter, connect, fill, read_all, release, status_of

FORMATS = ["", "json", "html", "xml", "openmetrics", "full", "json&full", "html&full", "xml&full",
           "json&extended", "full&extended"]


# Pages.

def test_addresses(case):
    reporter = Reporter(case, {"www": POOL, "other": POOL})
    for ask in (reporter.get, reporter.ask):
        pools = json.loads(ask("/status").body)["pools"]
        assert [pool["pool"] for pool in pools] == ["www", "other"]
        assert pools[0]["idle processes"] == 2 and pools[0]["max children"] == 2, pools[0]
        assert "processes" not in pools[0]
        assert len(json.loads(ask("/status?full").body)["pools"][1]["processes"]) == 2
        assert [one["pool"] for one in json.loads(ask("/status?pool=other").body)["pools"]] == \
            ["other"]
        assert json.loads(ask("/status/other").body)["pool"] == "other"
        assert ask("/status/other?text").body.startswith(b"pool:                 other\n")
        assert ask("/ready").body == b"www: ready\nother: ready\n"
        assert ask("/ping").body == b"pong"
        page = ask("/")
        assert page.headers["content-type"] == "text/html;charset=UTF-8"
        assert b"<!DOCTYPE html>" in page.body
        assert not re.search(rb"(src|href)\s*=", page.body), "it needs something from elsewhere"
        metrics = ask("/metrics?pool=www")
        assert metrics.body.endswith(b"# EOF\n") and b'pool="other"' not in metrics.body
        for path in ("/index.php", "/status/none", "/ready?pool=none", "/statusx"):
            assert ask(path).status == 404, path
        assert ask("/status", method="POST").status == 405
        head = ask("/status", method="HEAD")
        assert head.status == 200 and head.body == b""
        assert "no-store" in page.headers["cache-control"]
    reporter.fpm.stop()


def counted(page):
    """A page without its numbers, which differ from one moment to the next."""
    return re.sub(rb"\d+(\.\d+)?", b"N", page)


def test_a_second_address_has_the_very_page_of_the_pool(case):
    reporter = Reporter(case, {"www": POOL + "pm.status_listen = {dir}/www.status.sock"})
    second = f"{case.dir}/www.status.sock"
    reporter.fpm.wait_workers(2)
    for query in FORMATS:
        uri = "/status?" + query
        own = fastcgi.ask(reporter.fpm.address(), params_for(uri))
        its = fastcgi.ask(second, params_for(uri))
        assert own.head == its.head, (query, own.head, its.head)
        # The worker that answers is seen in its own page as running, in ours as idle.
        if "full" not in query:
            assert counted(own.body) == counted(its.body), (query, own.body, its.body)
        else:
            assert len(own.body.splitlines()) == len(its.body.splitlines()), query
    one, other = (json.loads(fastcgi.ask(address, params_for("/status?json")).body)
                  for address in (reporter.fpm.address(), second))
    assert list(one) == list(other)
    for key in ("accepted conn", "start time", "listen queue len", "total processes"):
        assert one[key] == other[key], key
    own = fastcgi.ask(reporter.fpm.address(), params_for("/ping"))
    its = fastcgi.ask(second, params_for("/ping"))
    assert (own.stdout, own.status) == (its.stdout, its.status)
    reporter.fpm.stop()
    assert not os.path.exists(second)


def test_a_second_address_runs_nothing(case):
    """php-fpm's runs any script that is sent there, outside of the pool's limits."""
    case.script("cgi/hello", f"#!/bin/sh\ntouch {case.dir}/ran\nprintf 'Status: 200\\r\\n\\r\\n'\n")
    case.folder("x")
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\npm.status_listen = {dir}/second.sock"})
    second = f"{case.dir}/second.sock"
    procs.wait_until(lambda: fastcgi.ask(second, params_for("/")).status == 200,
                     "the status page is at / without pm.status_path", 10)
    answer = fastcgi.ask(second, params_for("/hello", f"{case.dir}/cgi/hello"))
    assert answer.status == 404 and not (case.dir / "ran").exists()
    for uri in ("/metrics", "/ready", "/status/www", ""):
        assert fastcgi.ask(second, params_for(uri)).status == 404, uri
    client = connect(second)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert read_all(client) == b"", "it speaks FastCGI only"
    fpm.stop()


@needs_root
def test_a_second_address_has_the_owner_and_mode_of_the_first(case):
    fpm = case.fpm({"www": f"cgi.root = {{dir}}/cgi\nlisten.owner = {SERVICE_USER}\n"
                           "listen.group = nogroup\nlisten.mode = 0640\n"
                           "pm.status_listen = {dir}/second.sock"})
    first, second = (os.stat(path) for path in (fpm.address(), f"{case.dir}/second.sock"))
    for field in ("st_uid", "st_gid", "st_mode"):
        assert getattr(first, field) == getattr(second, field), field
    assert stat.S_IMODE(second.st_mode) == 0o640
    fpm.stop()


def test_clients_that_are_not_allowed_are_dropped(case):
    port, second = free_port(), free_port()
    fpm = case.fpm({"www": POOL + f"listen = 127.0.0.1:{free_port()}\n"
                                  "listen.allowed_clients = 10.0.0.0/8\n"
                                  f"pm.status_listen = 127.0.0.1:{second}"},
                   f"status.listen = 127.0.0.1:{port}\nstatus.allowed_clients = 127.0.0.0/30")
    procs.wait_until(lambda: status_of(port) == 200, "127.0.0.1 is allowed", 10)
    client = connect(("127.0.0.1", second))
    client.sendall(request(params_for("/status")))
    assert read_all(client) == b"", "127.0.0.1 is not in 10.0.0.0/8"
    fpm.stop()


def test_over_a_unix_socket_for_every_user(case):
    fpm = case.fpm({"www": POOL}, f"status.listen = {case.dir}/status.sock")
    path = f"{case.dir}/status.sock"
    procs.wait_until(lambda: Http(path).get("/ping", close=True).body == b"pong", "an answer", 10)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    fpm.stop()
    assert not os.path.exists(path)


# While the pools are in trouble.

def test_answers_at_once_while_every_worker_is_busy(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": POOL + "status.ready_queue = 2"})
    busy = fill(reporter.fpm, case, 2)
    waiting = []
    slowest = 0
    for count in range(1, 4):
        waiting.append(Connection(reporter.fpm.address()))
        waiting[-1].send(request(params_for("/wait", case.dir / "cgi/wait")))
        for ask in (reporter.get, reporter.ask):
            began = time.monotonic()
            pool = json.loads(ask("/status/www").body)
            slowest = max(slowest, time.monotonic() - began)
            assert (pool["active processes"], pool["idle processes"]) == (2, 0), pool
            assert pool["listen queue"] == count, pool
        assert reporter.get("/ready").status == (200 if count <= 2 else 503)
    assert reporter.get("/ready").body == b"www: not ready, 3 connections wait, more than 2\n"
    assert case.sanitized or slowest < 0.05, f"{slowest * 1000:.0f} ms"
    release(gate, busy + waiting)
    procs.wait_until(lambda: reporter.get("/ready").status == 200, "the queue is empty")
    reporter.fpm.stop()


def test_the_queue_of_a_tcp_pool_too(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": POOL + f"listen = 127.0.0.1:{free_port()}"})
    busy = fill(reporter.fpm, case, 2)
    waiting = [Connection(reporter.fpm.address()) for _ in range(3)]
    procs.wait_until(lambda: reporter.pool()["listen queue"] == 3, "three wait")
    for one in waiting:
        one.close()
    release(gate, busy)
    reporter.fpm.stop()


def test_answers_while_the_master_stands_still(case):
    reporter = Reporter(case, {"www": POOL})
    reporter.fpm.send(signal.SIGSTOP)
    try:
        assert reporter.pool()["pool"] == "www"
    finally:
        reporter.fpm.send(signal.SIGCONT)
    reporter.fpm.stop()


def test_not_ready_while_requests_wait_too_long(case):
    case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhello'\n")
    reporter = Reporter(case, {"www": POOL + "status.ready_wait = 500ms"})

    def ask(seconds_ago):
        params = params_for("/hello", case.dir / "cgi/hello",
                            FPM_QUEUED_AT=f"{time.time() - seconds_ago:.3f}")
        assert fastcgi.ask(reporter.fpm.address(), params).body == b"hello"
    ask(0.1)
    assert reporter.get("/ready").status == 200
    for _ in range(5):
        ask(2)
    procs.wait_until(lambda: reporter.get("/ready").status == 503, "it is not ready")
    answer = reporter.get("/ready")
    assert re.fullmatch(rb"www: not ready, requests wait for (1[89]|2\d)\d\d ms \(p99 of the last 10 s\), "
                        rb"longer than 500 ms\n", answer.body), answer.body
    # The client has its answer a moment before the worker has counted.
    page = procs.wait_until(lambda: (now := reporter.pool("www", "extended"))["queue wait count"] == 6
                            and now, "six waits are known")
    assert 1.8e6 < page["queue wait p90"] < 3e6, page
    reporter.fpm.stop()


def test_not_ready_without_the_workers_it_should_have(case):
    reporter = Reporter(case, {"www": POOL, "lazy": POOL + "pm = ondemand",
                               "bad": POOL + "apparmor_hat = none_such"})
    procs.wait_until(lambda: reporter.get("/ready").body ==
                     b"www: ready\nlazy: ready\nbad: not ready, its workers do not start\n",
                     "the pool that fails is told", 10)
    assert reporter.get("/ready").status == 503
    assert reporter.get("/ready?pool=lazy").status == 200
    reporter.fpm.stop()


# A script that writes over the shared memory of its worker, which is its parent.
SCRIBBLER = """\
#!/usr/bin/python3
import os, re, sys, time
maps = open(f"/proc/{os.getppid()}/maps").read()
spans = [tuple(int(x, 16) for x in m.groups()) for m in
         re.finditer(r"^([0-9a-f]+)-([0-9a-f]+) rw.. .*memfd:fpm-", maps, re.M)]
try:
    memory = open(f"/proc/{os.getppid()}/mem", "r+b", 0)
except PermissionError:
    sys.exit("may not")
end, rounds = time.monotonic() + 5, 0
while time.monotonic() < end:
    for begin, stop in spans:
        memory.seek(begin)
        memory.write(os.urandom(stop - begin))
    rounds += 1
    if rounds % 10 == 0:
        with open(os.environ["OUT"] + "/rounds", "w") as out:
            out.write(f"{rounds} {len(spans)}")
print("Content-Type: text/plain\\n\\ndone")
"""


class Load:
    """Requests for a script of a pool until `end`."""

    def __init__(self, case, fpm, pool, script):
        self.path = case.dir / f"load-{pool}.json"
        command = [case.build / "tools" / "fcgi-bench", fpm.address(pool), "-u", f"/{script.name}",
                   "-e", f"SCRIPT_FILENAME={script}", "-c", 4, "-r", 20 if case.sanitized else 100,
                   "-t", 60, "--json"]
        with open(self.path, "w", encoding="utf-8") as out:
            self.process = subprocess.Popen([str(word) for word in command], stdout=out,
                                            env=dict(os.environ, **case.sanitizer_environment()))
        case.defer(self.kill)

    def end(self):
        """What it says of the requests."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return json.loads(self.path.read_text())

    def kill(self):
        self.process.kill()
        self.process.wait()


def pages_of_a_scribbled_pool(case, reporter):
    """Everybody who shows it: valid in every format, and about the others right."""
    for query in ("json&full&extended", "xml&full&extended", "json", "xml", "xml&full"):
        page = reporter.get(f"/status/bad?{query}")
        assert page.status == 200
        if query.startswith("json"):
            json.loads(page.body)
        else:
            parse_xml(page.body)
    for path in ("/status?full", "/metrics?full", "/ready", "/status/bad?html&full"):
        assert reporter.get(path).status in (200, 503)
    json.loads(reporter.get("/status?full").body)
    assert reporter.pool("good")["pool"] == "good"
    done = subprocess.run([case.build / "tools" / "fpmctl", "-s", f"{case.dir}/ctl", "status",
                           "--json"], capture_output=True, timeout=20, check=False,
                          env=dict(os.environ, **case.sanitizer_environment()))
    assert done.returncode == 0, done
    assert [pool["pool"] for pool in json.loads(done.stdout)["pools"]] == ["bad", "good"]


def test_a_worker_that_writes_random_bytes_over_its_memory_harms_only_its_pool(case):
    scribbler, out = case.script("cgi/scribble", SCRIBBLER), case.folder("out")
    hello = case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhi'\n")
    bad = POOL + "process.dumpable = yes\npm.max_children = 4\nenv[OUT] = {dir}/out\n"
    reporter = Reporter(case, {"bad": bad, "good": POOL}, f"control.socket = {case.dir}/ctl")
    fpm, first = reporter.fpm, reporter.pid()
    good, others = (Load(case, fpm, pool, hello) for pool in ("good", "bad"))
    said = []
    bad_one = threading.Thread(target=lambda: said.append(try_ask(fpm.address("bad"), scribbler)))
    bad_one.start()
    procs.wait_until(lambda: (out / "rounds").exists() or said, "it scribbles", 10)
    if not (out / "rounds").exists():
        case.skip(f"nobody may write to the memory of the own parent here (yama?): {said}")
    asked = 0
    while bad_one.is_alive():
        pages_of_a_scribbled_pool(case, reporter)
        asked += 1
    bad_one.join()
    for _ in range(3):  # what it has left behind is as bad
        pages_of_a_scribbled_pool(case, reporter)
    rounds, mappings = (int(word) for word in (out / "rounds").read_text().split())
    others.kill()
    load = good.end()
    print(f"{asked} rounds of pages beside {rounds} of scribbling; it got {said}; load {load}")
    assert asked > 3 and rounds >= 50 and mappings == 2, (asked, rounds, mappings)
    assert load["failed"] == 0 and load["answered"] == load["sent"] >= 50, load
    assert reporter.pid() == first, "the reporter did not survive"
    # A reload gives the pool memory that nobody has written to.
    mark = fpm.mark()
    fpm.send(signal.SIGUSR2)
    fpm.wait_line("ready to handle connections", after=mark, limit_s=20)
    fastcgi.ping(fpm.address("bad"))
    fastcgi.ping(fpm.address("good"))
    fpm.stop()


def try_ask(address, script):
    try:
        return fastcgi.ask(address, params_for("/scribble", script), limit_s=20).body
    except (OSError, AssertionError) as error:  # its worker may have been ended
        return repr(error)


def parse_xml(page):
    import xml.etree.ElementTree as tree  # pylint: disable=import-outside-toplevel
    return tree.fromstring(page)
