"""The page for a person in a browser: what its script makes of what the reporter says."""

import json
import shutil
import socket
import subprocess

import procs
from case import plain_only
from door import address_in, read_response
from gate import WAITING_SCRIPT, Gate
from reporter import POOL, Reporter, fill, release


def look(case, reporter, data, pool):
    """What a person reads there."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        case.skip("there is no node to run the page's script")
    page = case.write("page.html", reporter.get("/").body.decode())
    done = subprocess.run([node, case.source / "browser.js", page, data, pool], timeout=60,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    assert seen["note"] == "", seen["note"]
    return seen


@plain_only
def test_it_shows_pools_and_what_is_running(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": POOL, "a<b>": POOL + "listen = {dir}/other.sock\n"})
    busy = fill(reporter.fpm, case, 1)
    procs.wait_until(lambda: reporter.pool()["idle processes"] == 1, "the other worker is idle")
    seen = look(case, reporter, f"http://127.0.0.1:{reporter.port}/", "www")
    assert [row[0] for row in seen["pools"]] == ["www", "a<b>"]
    name, state, _, active, idle, limit, queue, rate = seen["pools"][0][:8]
    assert (name, state, active, idle, limit, queue) == ("www", "serving", "1", "1", "2", "0"), seen
    assert float(rate) >= 0 and seen["plot"].startswith("0,"), seen
    assert seen["title"] == ["www: 1 Running, 1 Idle"] or seen["title"] == ["www: 1 Idle, 1 Running"]
    (worker,) = seen["workers"]
    assert worker[1] == "Running" and worker[4] == "GET /wait", worker
    release(gate, busy)
    reporter.fpm.stop()


@plain_only
def test_a_pool_with_a_door_has_a_row_more(case):
    case.write("www/page.html", "page")
    reporter = Reporter(case, {"www": POOL, "web": "http.listen = 127.0.0.1:0\nhttp.root = {dir}/www\n"})
    with socket.create_connection(("127.0.0.1", address_in(reporter.fpm.text)), 10) as peer:
        peer.sendall(b"GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_response(peer)[2] == b"page"
        procs.wait_until(lambda: reporter.pool("web", "extended").get("door keepalive") == 1, "it is kept")
        seen = look(case, reporter, f"http://127.0.0.1:{reporter.port}/", "www")
    assert [row[0] for row in seen["pools"][:2]] == ["www", "web"] and len(seen["pools"]) == 3, seen
    assert seen["pools"][2] == [
        "door: 1 connections (1 keepalive) · 1 accepted · 1 requests, 0 to the pool · 0 aborted · "
        "0 found the queue full, 0 waited too long · 0.0 MB in, 0.0 MB out"], seen
    reporter.fpm.stop()


@plain_only
def test_it_stays_readable_with_thousands(case):
    reporter = Reporter(case, {"www": POOL})
    seen = look(case, reporter, "made-up", "p999")
    assert len(seen["pools"]) == 1000
    row = seen["pools"][999]
    assert row[:2] == ["p999", "serving"] and row[3:8] == ["3333", "1667", "5000", "999", "999000.0"]
    assert row[9:] == ["0.9 ms", "2.50 s", "-", "1", "2", "1.0 GB"], row
    assert seen["title"] == ["p999: 1667 Idle, 1667 Running, 1666 Reading headers"], seen["title"]
    # The busiest of them, and how many more there are.
    assert len(seen["workers"]) == 50 and seen["more"] == ["and 3283 more that are busy"], seen["more"]
    assert seen["workers"][0] == ["4999", "Running" if 4999 % 3 == 1 else "Reading headers", "5.00 s",
                                  "4999", "GET /<script>4999"]
    reporter.fpm.stop()
