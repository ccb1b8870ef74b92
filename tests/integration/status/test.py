"""The status and ping pages and the access log, as php-fpm's tools expect them."""

import json
import re
import time

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read

POOL = """
cgi.root = {dir}/cgi
env[GATE] = {dir}/gate
pm.max_children = 3
pm.status_path = /status
ping.path = /ping
access.log = {dir}/access.log
"""
POOL_KEYS = ["pool", "process manager", "start time", "start since", "accepted conn",
             "listen queue", "max listen queue", "listen queue len", "idle processes",
             "active processes", "total processes", "max active processes",
             "max children reached", "slow requests"]
PROCESS_KEYS = ["pid", "state", "start time", "start since", "requests", "request duration",
                "request method", "request uri", "content length", "user", "script",
                "last request cpu", "last request memory"]


def get(fpm, uri, **more):
    return fastcgi.ask(fpm.address(), params_for(uri, **more))


def access_lines(case):
    file = case.dir / "access.log"
    return file.read_text().splitlines() if file.exists() else []


def test_ping(case):
    fpm = case.fpm({"www": POOL, "other": POOL + "ping.response = here I am"})
    answer = get(fpm, "/ping")
    assert (answer.status, answer.body) == (200, b"pong")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert get(fpm, "/ping", method="HEAD").body == b""
    assert fastcgi.ask(fpm.address("other"), params_for("/ping")).body == b"here I am"
    assert get(fpm, "/pingx").status == 404
    fpm.stop()


def test_text(case):
    fpm = case.fpm({"www": POOL})
    answer = get(fpm, "/status")
    assert answer.headers["content-type"] in ("text/plain;charset=UTF-8",
                                              "text/plain; charset=UTF-8")
    lines = answer.body.decode().splitlines()
    keys = [line.partition(":")[0] for line in lines]
    assert keys[:len(POOL_KEYS)] == POOL_KEYS
    assert keys[len(POOL_KEYS):] in ([], ["memory peak"]), keys
    assert lines[0] == "pool:                 www"
    assert lines[1] == "process manager:      static"
    assert re.fullmatch(r"start time:           \d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}",
                        lines[2]), lines[2]
    for line in lines:
        assert re.match(r".{21} \S", line), f"not padded to 22 columns: {line!r}"
    assert answer.body.endswith(b"\n")
    fpm.stop()


def idle_and_active(fpm):
    status = json.loads(get(fpm, "/status?json").body)
    return status["idle processes"], status["active processes"]


def test_json_counts(case):
    fpm = case.fpm({"www": POOL})
    for _ in range(3):
        fastcgi.ping(fpm.address())
    # This look is the fourth request; workers that have not come to accept yet are not counted.
    procs.wait_until(lambda: sum(idle_and_active(fpm)) == 3, "three workers")
    answer = get(fpm, "/status?json")
    assert answer.headers["content-type"] == "application/json"
    status = json.loads(answer.body)
    assert list(status)[:len(POOL_KEYS)] == POOL_KEYS
    assert status["pool"] == "www" and status["process manager"] == "static"
    assert status["accepted conn"] >= 5, status
    assert status["total processes"] == 3
    # The worker that answers is active; one may still be busy with the end of the last request.
    assert status["active processes"] >= 1, status
    assert status["active processes"] + status["idle processes"] == 3, status
    procs.wait_until(lambda: idle_and_active(fpm) == (2, 1), "all but the one that answers idle")
    assert status["max active processes"] >= 1 and status["max children reached"] == 0
    assert abs(status["start time"] - time.time()) < 60 and status["start since"] < 60
    assert status["listen queue"] == 0 and status["listen queue len"] > 0, status
    fpm.stop()


def test_full_tells_what_each_worker_does(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL})
    procs.wait_until(lambda: idle_and_active(fpm) == (2, 1), "all workers are ready")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait?a=b", script, REMOTE_USER="jane")))
        client.read_answer(until=first_line_read)
        status = json.loads(get(fpm, "/status?json&full").body)
        text = get(fpm, "/status?full").body.decode()
        gate.open()
        client.read_answer()
    assert len(status["processes"]) == 3
    for process in status["processes"]:
        assert list(process) == PROCESS_KEYS, list(process)
    assert sorted(process["pid"] for process in status["processes"]) == fpm.workers()
    running = [one for one in status["processes"] if one["request uri"].startswith("/wait")]
    assert len(running) == 1
    one = running[0]
    assert one["state"] == "Running" and one["request uri"] == "/wait?a=b", one
    assert one["request method"] == "GET" and one["script"] == str(script), one
    assert one["last request cpu"] == 0 and one["last request memory"] == 0, one
    assert status["active processes"] == 2 and status["idle processes"] == 1
    blocks = text.split("\n************************\n")
    assert len(blocks) == 4, text
    keys = [line.partition(":")[0] for line in blocks[1].strip().splitlines()]
    assert keys == [key.replace("request uri", "request URI") for key in PROCESS_KEYS]
    fpm.stop()


def test_other_formats(case):
    fpm = case.fpm({"www": POOL})
    for query, kind, beginning in [
            ("html", "text/html", b"<!DOCTYPE html"),
            ("xml", "text/xml", b"<?xml version=\"1.0\" ?>"),
            ("openmetrics", "application/openmetrics-text", b"# ")]:
        answer = get(fpm, f"/status?{query}")
        assert answer.headers["content-type"].startswith(kind), answer
        assert answer.body.startswith(beginning), answer
    fpm.stop()


def test_the_listen_queue_of_a_busy_pool_is_seen(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 1"})
    with Connection(fpm.address()) as asking:
        whole = request(params_for("/status?json"))
        asking.send(whole[:20])
        (worker,) = fpm.workers()
        # Its second socket besides the listening one: it has taken our connection.
        procs.wait_until(lambda: connected_sockets(worker, fpm.address()), "the worker is busy")
        queued = [Connection(fpm.address()) for _ in range(5)]
        asking.send(whole[20:])
        status = json.loads(asking.read_answer().body)
        for one in queued:
            one.close()
    assert status["listen queue"] == 5, status
    fpm.stop()


def connected_sockets(pid, path):
    """How many connections of that listening path the process has taken."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
        rows = [line.split() for line in file if line.rstrip().endswith(path)]
    connected = {f"socket:[{row[6]}]" for row in rows if row[5] == "03"}
    return len(connected & set(procs.open_files(pid).values()))


def test_access_log_in_the_default_format(case):
    hello = case.script("cgi/hello", "#!/bin/sh\nprintf 'Status: 201 Made\\nContent-Type: "
                        "text/plain\\n\\nhello'\n")
    fpm = case.fpm({"www": POOL})
    stamp = r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"
    fastcgi.ping(fpm.address())
    get(fpm, "/hello?q=1", script=hello)
    procs.wait_until(lambda: len(access_lines(case)) == 2, "two lines in the access log")
    first, second = sorted(access_lines(case), key=lambda line: "hello" in line)
    assert re.fullmatch(rf'- -  {stamp} "GET /ping" 200', first), first
    assert re.fullmatch(rf'- -  {stamp} "GET /hello" 201', second), second
    fpm.stop()


def test_access_log_in_a_format_of_ones_own(case):
    hello = case.script("cgi/hello", "#!/bin/sh\n"
                        "printf 'Content-Type: text/plain\\nX-A: b\\n\\n'\n")
    form = '"%n|%m|%r|%Q%q|%s|%f|%l|%u|%{HTTP_X}e|%{X-A}o|%P|%{milli}d|%%"'
    fpm = case.fpm({"www": POOL + f"access.format = {form}\n"})
    get(fpm, "/hello?q=1", script=hello, HTTP_X="x\"\n", REMOTE_USER="jane")
    lines = procs.wait_until(lambda: access_lines(case), "a line in the access log")
    assert len(lines) == 1, f"one request forged lines: {lines}"
    fields = lines[0].split("|")
    assert fields[:5] == ["www", "GET", "/hello", "?q=1", "200"], fields
    assert fields[5] == str(hello) and fields[7] == "jane", fields
    assert fields[8] not in ('x"', "-") and fields[8].startswith("x"), fields
    assert fields[9] == "b" and fields[10] == str(fpm.pid), fields
    assert float(fields[11]) >= 0 and fields[12] == "%", fields
    fpm.stop()
