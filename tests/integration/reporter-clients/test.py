"""Who asks the reporter: clients that do not behave, prometheus, and for 1,000 pools."""

import json
import math
import os
import shutil
import struct
import subprocess
import time
import urllib.parse

import fastcgi
import procs
from case import plain_only
from daemon import Daemon
from fastcgi import Connection, params_for, record, request
from fpm import free_port
from reporter import POOL, Http, Reporter, read_all, status_field


# Clients that do not behave.

def test_rubbish_is_answered_or_closed(case):
    reporter = Reporter(case, {"www": POOL})
    pid = reporter.pid()
    for text, status in [(b"hello\r\n\r\n", b"400"), (b"\0\0\0\0\0\0\0\0\r\n\r\n", b"400"),
                         (b"GET / HTTP/9.9\r\n\r\n", b"400"),
                         (b"GET / HTTP/1.1\r\nA: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
                         (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"413"),
                         (b"DELETE /status HTTP/1.0\r\n\r\n", b"405")]:
        client = reporter.connect()
        client.sendall(text)
        assert read_all(client).split()[1:2] == [status], text[:30]
    for text in (struct.pack("!BBHHBB", 1, 1, 1, 7, 0, 0), b"\1" * 5000,
                 fastcgi.begin() + record(5, 1, b"body before its parameters")):
        client = reporter.connect()
        client.sendall(text)
        assert read_all(client) == b"", text[:30]
    for _ in range(200):
        client = reporter.connect()
        client.sendall(os.urandom(100))
        client.close()
    assert reporter.get("/ping").body == b"pong"
    assert reporter.pid() == pid
    reporter.fpm.stop()


def test_connections_are_kept_in_both_languages(case):
    reporter = Reporter(case, {"www": POOL})
    kept = Http(reporter.address)
    for _ in range(20):
        assert kept.get("/ping").body == b"pong"
    sock = kept.connection.sock
    assert sock is not None, "the connection was not kept"
    with Connection(reporter.address) as one:
        for _ in range(20):
            one.send(request(params_for("/status/www"), flags=fastcgi.KEEP_CONN))
            assert json.loads(one.read_answer().body)["pool"] == "www"
        one.send(record(fastcgi.GET_VALUES, 0, fastcgi.pairs({"FCGI_MPXS_CONNS": ""})))
        kind, _, content = one.read_record()
        assert (kind, content) == (fastcgi.GET_VALUES_RESULT,
                                   fastcgi.pairs({"FCGI_MPXS_CONNS": "0"}))
    reporter.fpm.stop()


@plain_only
def test_slow_clients_are_dropped_and_disturb_nobody(case):
    reporter = Reporter(case, {"www": POOL})
    began = time.monotonic()
    clients = [reporter.connect() for _ in range(3)]
    clients[1].sendall(b"GET /sta")
    clients[2].sendall(fastcgi.begin())
    assert reporter.get("/ping").body == b"pong"
    for client in clients:
        assert read_all(client) == b""
    assert 4.5 < time.monotonic() - began < 9
    reporter.fpm.stop()


@plain_only
def test_1000_connections_keep_nobody_out(case):
    reporter = Reporter(case, {"www": POOL})
    clients = []
    for number in range(1000):
        clients.append(reporter.connect())
        if number % 2:
            clients[-1].sendall(b"GET / HTT")
        if number % 100 == 0:
            assert reporter.get("/ping").body == b"pong"
    assert reporter.get("/ping").body == b"pong"
    assert len(procs.open_files(reporter.pid())) < 600
    for client in clients:
        client.close()
    reporter.fpm.stop()


@plain_only
def test_clients_that_do_not_read_cost_bounded_memory(case):
    pools = {f"p{number}": POOL.replace("pm.max_children = 2", "pm = ondemand\npm.max_children = 1")
             for number in range(50)}
    reporter = Reporter(case, pools)
    clients = []
    for _ in range(300):
        clients.append(reporter.connect())
        clients[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    assert reporter.get("/ping").status in (200, 503)
    resident = int(status_field(reporter.pid(), "VmRSS").split()[0])
    print(f"{resident / 1024:.0f} MiB resident")
    assert resident < 250 * 1024
    for client in clients:
        client.close()
    reporter.fpm.stop()


# Prometheus.

def parsed_metrics(case, text):
    """{name: (type, samples)} as Prometheus' own parser sees them; it refuses what is not strict."""
    done = subprocess.run(["/usr/bin/python3", case.source / "scrape.py"], input=text, check=False,
                          capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    rows = (line.split() for line in done.stdout.decode().splitlines())
    return {name: (kind, int(samples)) for name, kind, samples in rows}


def test_metrics_are_strict_openmetrics(case):
    case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhello'\n")
    reporter = Reporter(case, {"www": POOL, "quote\"d": POOL + "listen = {dir}/quoted.sock",
                               "web": "http.listen = 127.0.0.1:0\nhttp.root = {dir}\npm = ondemand\n"})
    for _ in range(5):
        fastcgi.ask(reporter.fpm.address(), params_for("/hello", case.dir / "cgi/hello"))
    answer = reporter.get("/metrics")
    assert answer.headers["content-type"] == \
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    metrics = parsed_metrics(case, answer.body)
    assert metrics["fpm_requests"][0] == "counter"
    assert metrics["fpm_request_duration_seconds"][0] == "histogram"
    assert metrics["fpm_door_connections"] == ("gauge", 7)
    assert metrics["fpm_door_sent_bytes"] == metrics["fpm_door_passed"] == ("counter", 1)
    assert "fpm_worker_state" not in metrics
    full = reporter.get("/metrics?full")
    assert parsed_metrics(case, full.body)["fpm_worker_requests"] == ("counter", 4)
    assert b'worker="1"' in full.body and b"pid" not in full.body
    reporter.fpm.stop()


class Prometheus(Daemon):
    """The real one, on a port of its own, with its data in the case's folder."""

    def __init__(self, case, target):
        self.port = free_port()
        folder = case.dir / "prometheus"
        folder.mkdir()
        config = case.write("prometheus/prometheus.yml", f"""\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: fpm
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
""")
        super().__init__(case, "prometheus", [
            shutil.which("prometheus"), f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}"])
        case.defer(self.end)
        self.wait_line("Server is ready to receive web requests", 20)

    def end(self):
        if self.running():
            self.process.terminate()
        self.wait_exit(20)

    def value(self, query):
        """The first value of a query; None if there is none."""
        found = self.values(query)
        return found[0] if found else None

    def values(self, query):
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
        answer = json.loads(Http(("127.0.0.1", self.port)).get(path, close=True).body)
        assert answer["status"] == "success", answer
        return [float(one["value"][1]) for one in answer["data"]["result"]]


@plain_only
def test_prometheus_scrapes_it(case):
    if shutil.which("prometheus") is None:
        case.skip("prometheus is not installed")
    case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhello'\n")
    reporter = Reporter(case, {"www": POOL})
    prometheus = Prometheus(case, reporter.port)
    procs.wait_until(lambda: prometheus.value("up") == 1, "up is 1", 20)
    # rate() needs two samples with requests between them.
    before = prometheus.value("fpm_requests_total") or 0

    def measured():
        fastcgi.ask(reporter.fpm.address(), params_for("/hello", case.dir / "cgi/hello"))
        seconds = prometheus.value("histogram_quantile(0.9, sum by (le, pool) "
                                   "(rate(fpm_request_duration_seconds_bucket[5s])))")
        return seconds if seconds is not None and not math.isnan(seconds) else None

    seconds = procs.wait_until(measured, "histogram_quantile is a number", 20)
    assert 0 < seconds < 60, seconds
    procs.wait_until(lambda: prometheus.value("fpm_requests_total") > before, "requests count")
    # A scrape may have met one of them in a request.
    procs.wait_until(lambda: prometheus.value('fpm_workers{state="idle"}') == 2, "two idle workers")
    assert prometheus.value("fpm_pool_up") == 1
    print(f"p90 of the requests, says prometheus: {seconds * 1000:.1f} ms")
    prometheus.end()
    reporter.fpm.stop()


# Many pools.

def processor_s(pid):
    """CPU time that the process has used."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


@plain_only
def test_1000_idle_pools_cost_next_to_nothing(case):
    pools = {f"p{number}": "cgi.root = {dir}/cgi\nping.path = /ping\npm = ondemand\n"
                           "pm.max_children = 4\npm.process_idle_timeout = 3600s"
             for number in range(1000)}
    reporter = Reporter(case, pools)
    for number in range(1000):
        fastcgi.ping(reporter.fpm.address(f"p{number}"))
    procs.wait_until(lambda: sum(pool["accepted conn"] for pool in reporter.json("/status")["pools"])
                     == 1000, "all pools are shown with their request", 20)
    took = {}
    for path in ("/metrics", "/status", "/ready", "/status/p999"):
        began = time.monotonic()
        size = len(reporter.get(path).body)
        took[path] = (round((time.monotonic() - began) * 1000, 1), size)
    pid = reporter.pid()
    began, used = time.monotonic(), processor_s(pid)
    procs.wait_until(lambda: time.monotonic() - began > 3, "three seconds", 5)
    idle_ms = (processor_s(pid) - used) * 1000 / (time.monotonic() - began)
    resident = int(status_field(pid, "VmRSS").split()[0]) / 1024
    print(f"1,000 pools: ms and bytes {took}; idle {idle_ms:.2f} ms CPU a second; {resident:.0f} MiB")
    assert took["/metrics"][0] < 1000
    assert idle_ms < 1
    reporter.fpm.stop()
