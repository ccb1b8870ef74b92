"""What an operator sees of a door's connections: each state, with age and bytes, and the counters."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import urllib.request

import fastcgi
import procs
from door import Door, read_response
from fpm import free_port
from gate import Gate

STATES = ["reading", "body", "queued", "waiting", "writing", "keepalive", "closing"]
# Silent until it is let go: the client that waits for it has nothing of an answer.
SCRIPT = """\
#!/bin/sh
read line <"$GATE"
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "then $line"
"""
LINES = """
http.scripts = extension
env[GATE] = {dir}/gate
pm.max_children = 1
"""
BIG = 64 << 20
HALF_A_HEAD = b"GET /page.ht"
HALF_A_BODY = b"POST /wait.cgi?secret HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc"


def start(case, lines="", **options):
    case.script("www/wait.cgi", SCRIPT)
    case.write("www/page.html", "page")
    with open(case.dir / "www" / "big.bin", "wb") as file:
        file.truncate(BIG)
    door = Door(case, LINES + lines,
                f"control.socket = {case.dir}/ctl\nstatus.listen = 127.0.0.1:{free_port()}", **options)
    door.reporter = re.search(r"status.listen = (\S+)", door.fpm.config.read_text()).group(1)
    procs.wait_until(lambda: answers(door), "the reporter answers")
    return door


def answers(door):
    try:
        return ask(door, "/ping") == "pong"
    except OSError:
        return False


def ask(door, path):
    """The reporter."""
    with urllib.request.urlopen(f"http://{door.reporter}{path}", timeout=10) as answer:
        return answer.read().decode()


def page(door, query="json&extended"):
    return json.loads(ask(door, f"/status/web?{query}"))


def metrics(door, name="fpm_door_connections"):
    """{value of the label beside pool, or None: number}"""
    lines = re.findall(rf'^{name}\{{pool="web"(?:,\w+="(\w+)")?\}} (\d+)$', ask(door, "/metrics"), re.M)
    return {label or None: int(number) for label, number in lines}


def by_state(pool):
    """Of the fields of a status page."""
    return {state: pool[f"door {state}"] for state in STATES}


def ctl(case, *arguments):
    """(exit status, what was printed)"""
    done = subprocess.run([case.build / "tools" / "fpmctl", "-s", f"{case.dir}/ctl", *arguments],
                          text=True, capture_output=True, timeout=20, check=False,
                          env=dict(os.environ, **case.sanitizer_environment()))
    return done.returncode, done.stdout + done.stderr


def connections(case):
    code, text = ctl(case, "connections", "web", "--json")
    assert code == 0, text
    return json.loads(text)


def states(case):
    return connections(case)["states"]


class Clients(contextlib.ExitStack):
    """One connection in each state; `closing` ends by itself when it is silent, so it is opened anew."""

    def __init__(self, case, door):
        super().__init__()
        self.case = case
        self.door = door
        self.gate = Gate(case)
        self.peers = {}
        self.send("reading", HALF_A_HEAD)
        self.send("body", HALF_A_BODY)
        self.send("waiting", b"GET /wait.cgi?secret HTTP/1.1\r\nHost: a\r\n\r\n")
        self.expect(waiting=1)
        self.send("queued", b"GET /wait.cgi?later HTTP/1.1\r\nHost: a\r\n\r\n")
        self.send("writing", b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        self.send("keepalive", b"GET /page.html HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_response(self.peers["keepalive"])[2] == b"page"
        self.expect(**{state: 1 for state in STATES if state != "closing"})

    def send(self, state, data):
        self.peers[state] = self.enter_context(self.door.connect())
        self.peers[state].sendall(data)

    def expect(self, **wanted):
        def look():
            seen = states(self.case)
            return all(seen[state] == count for state, count in wanted.items())
        procs.wait_until(look, f"connections are {wanted}")

    @contextlib.contextmanager
    def closing(self):
        """Its answer is there, and what it still sends is not wanted."""
        with self.door.connect() as peer:
            peer.sendall(b"POST /page.html HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\nmore")
            status, fields, _ = read_response(peer)
            assert status == 405 and fields["Connection"] == "close"
            procs.wait_until(lambda: page(self.door)["door closing"] == 1, "its answer has gone out")
            yield peer


def test_fpmctl_lists_each_connection_in_its_state(case):
    door = start(case)
    with Clients(case, door) as clients, clients.closing():
        seen = connections(case)
        assert seen["pool"] == "web" and seen["not shown"] == 0
        assert seen["states"] == {state: 1 for state in STATES}, seen
        listed = {one["state"]: one for one in seen["connections"]}
        ages = [one["age"] for one in seen["connections"]]
        assert list(seen["states"]) == STATES and len(listed) == 7, seen
        assert ages == sorted(ages, reverse=True) and ages[-1] > 0, ages
        assert all(0 < one["in state"] <= one["age"] for one in listed.values()), listed
        assert all(one["remote"] == "127.0.0.1" for one in listed.values())
        requests = {state: (one["requests"], one["request"]) for state, one in listed.items()}
        assert requests == {"reading": (0, ""), "body": (1, "POST /wait.cgi"),
                            "queued": (1, "GET /wait.cgi"), "waiting": (1, "GET /wait.cgi"),
                            "writing": (1, "GET /big.bin"), "keepalive": (1, "GET /page.html"),
                            "closing": (1, "POST /page.html")}, requests
        assert listed["reading"]["bytes in"] == len(HALF_A_HEAD)
        assert listed["body"]["bytes in"] == len(HALF_A_BODY)
        assert listed["reading"]["bytes out"] == listed["waiting"]["bytes out"] == 0
        assert 0 < listed["writing"]["bytes out"] < BIG
        assert listed["keepalive"]["bytes out"] > 100

        code, text = ctl(case, "connections", "web")
        assert code == 0
        lines = text.splitlines()
        assert re.fullmatch(r"STATE +AGE +IN STATE +BYTES IN +BYTES OUT +REQUESTS +REMOTE +REQUEST",
                            lines[0]), text
        assert re.search(r"^waiting +\S+s +\S+s +\d+ +0 +1  127\.0\.0\.1  GET /wait\.cgi$", text,
                         re.M), text
        assert lines[-1] == ("7 connections: " + ", ".join(f"1 {state}" for state in STATES)), text
        assert "secret" not in text, "the query is nobody's business"
        for state in ("waiting", "queued"):
            clients.gate.open()
            assert read_response(clients.peers[state])[2] == b"then go\n"
        clients.expect(queued=0, waiting=0, keepalive=3)
    procs.wait_until(lambda: not any(states(case).values()), "all have left")
    code, text = ctl(case, "connections", "web")
    assert text == "0 connections: " + ", ".join(f"0 {state}" for state in STATES) + "\n", text


def test_of_many_connections_the_oldest_are_listed(case):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        case.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    case.defer(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    door = start(case, "rlimit_files = 4096\n")
    with contextlib.ExitStack() as crowd:
        for _ in range(1003):
            crowd.enter_context(door.connect())
        procs.wait_until(lambda: page(door)["door reading"] == 1003, "all are there", 20)
        seen = connections(case)
        ages = [one["age"] for one in seen["connections"]]
        assert len(ages) == 1000 and ages == sorted(ages, reverse=True)
        assert seen["not shown"] == 3 and seen["states"]["reading"] == 1003
        code, text = ctl(case, "connections", "web")
        assert code == 0 and text.startswith("STATE") and len(text.splitlines()) == 1002
        assert text.splitlines()[-1] == ("1003 connections: 1003 reading, 0 body, 0 queued, 0 waiting, "
                                         "0 writing, 0 keepalive, 0 closing; 3 of them are not shown")


def test_a_door_that_was_killed_has_no_connection(case):
    door = start(case)
    with Clients(case, door):
        assert sum(states(case).values()) == 6
        before = door.pid()
        os.kill(before, signal.SIGKILL)
        procs.wait_until(lambda: door.fpm.doors() not in ([], [before]), "there is a new door")
        procs.wait_until(lambda: not any(states(case).values()), "no connection is left")
        assert not any(metrics(door).values()) and not any(by_state(page(door)).values())
        assert metrics(door, "fpm_door_accepted_total") == {None: 6}, "counters stay"
        assert connections(case)["connections"] == []
    assert door.get("/page.html")[2] == b"page"


def test_the_status_page_has_the_door_after_all_else(case):
    listen = free_port()
    door = start(case, f"pm.status_path = /status\npm.status_listen = 127.0.0.1:{listen}\n")
    with Clients(case, door) as clients, clients.closing() as closing:
        seen = page(door)
        assert by_state(seen) == {state: 1 for state in STATES}, seen
        assert list(seen)[-18:-16] == ["state", "door reading"], "php-fpm's fields stay in front"
        assert (seen["door accepted conn"], seen["door requests"], seen["door passed"]) == (7, 2, 1)
        assert seen["door bytes in"] > len(HALF_A_HEAD) + len(HALF_A_BODY)
        assert seen["door bytes out"] > 100
        assert not [name for name in page(door, "json") if name.startswith("door")]
        asked = fastcgi.params_for("/status?json&extended")
        own = json.loads(fastcgi.ask(("127.0.0.1", listen), asked).body)
        assert by_state(own) == {state: 1 for state in STATES}
        closing.sendall(b"more")  # after 2 s of silence it would be over
        both = json.loads(ctl(case, "status", "--json")[1])["pools"][0]
        assert by_state(both) == {state: 1 for state in STATES}
        assert metrics(door) == {state: 1 for state in STATES}
        assert metrics(door, "fpm_door_accepted_total") == {None: 7}
        assert metrics(door, "fpm_door_responses_total")["4xx"] == 1
        for peer in clients.peers.values():
            peer.close()
        # Who waited, who was queued and who did not read.
        procs.wait_until(lambda: page(door)["door aborted"] == 3, "three answers are aborted")
        assert metrics(door, "fpm_door_aborts_total") == {None: 3}
    procs.wait_until(lambda: not any(by_state(page(door)).values()), "all have left")
    with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/status?json&extended") as answer:
        assert not [name for name in json.load(answer) if name.startswith("door")], "a worker's page"


def test_what_a_door_refuses_and_counts(case):
    door = start(case, "http.queue_max = 1\nhttp.queue_timeout = 1s\n")
    Gate(case)
    get = b"GET /wait.cgi HTTP/1.1\r\nHost: a\r\n\r\n"
    with door.connect() as first, door.connect() as second, door.connect() as third:
        first.sendall(get)
        procs.wait_until(lambda: page(door)["door waiting"] == 1, "it waits for its answer")
        second.sendall(get)
        procs.wait_until(lambda: page(door)["door queued"] == 1, "it is queued")
        third.sendall(get)
        assert read_response(third)[0] == 503
        assert read_response(second)[0] == 503
        door.raw(b"no HTTP\r\n\r\n")
        seen = page(door)
        assert (seen["door queue full"], seen["door queue timeout"], seen["door refused"]) == (1, 1, 1)
        assert metrics(door, "fpm_door_rejected_total") == {
            "queue_full": 1, "queue_timeout": 1, "malformed": 1}


def test_counters_go_on_when_doors_are_replaced(case):
    door = start(case, "http.workers = 2\n")
    for _ in range(10):
        assert door.get("/page.html")[0] == 200
    before = page(door)
    assert before["door requests"] == 10
    config = door.fpm.config
    config.write_text(config.read_text().replace("http.workers = 2", "http.workers = 1"))
    door.fpm.reload()
    procs.wait_until(lambda: len(door.fpm.doors()) == 1, "one door is left")
    os.kill(door.pid(), signal.SIGKILL)
    procs.wait_until(lambda: door.fpm.text.count("the door, pid") == 1, "it is missed")

    def answers_again():
        try:
            return door.get("/page.html")[0] == 200
        except OSError:
            return False
    procs.wait_until(answers_again, "the next one serves")
    procs.wait_until(lambda: page(door)["door requests"] == 11, "all are counted")
    assert page(door)["door accepted conn"] >= before["door accepted conn"] + 1


def test_fpmctl_says_why_it_lists_nothing(case):
    fpm = case.fpm({"www": "", "web": "http.listen = 127.0.0.1:0\nhttp.root = {dir}\n"},
                   f"control.socket = {case.dir}/ctl")
    for pool, reason in [("www", "the pool has no door, which http.listen would give it"),
                         ("none", "there is no pool of that name")]:
        assert ctl(case, "connections", pool) == (1, f"fpmctl: {reason}\n")
    code, text = ctl(case, "connections")
    assert code == 64 and "needs a pool" in text
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(f"{case.dir}/ctl")
        peer.sendall(b'{"order":"connections"}\n')
        assert json.loads(peer.recv(4096)) == {"done": False, "text": "which pool?"}
    assert ctl(case, "drain", "web")[0] == 0
    procs.wait_until(lambda: not fpm.doors(), "the door has gone")
    procs.wait_until(lambda: ctl(case, "connections", "web") ==
                     (1, "fpmctl: the pool is drained, its door is closed\n"), "it is said why")


def lines_of(log, count):
    """The access log, as soon as it has so many lines."""
    def look():
        lines = log.read_text().splitlines() if log.exists() else []
        return lines if len(lines) >= count else None
    return [json.loads(line) for line in procs.wait_until(look, f"{count} lines in {log}")]


def test_the_time_in_the_queue_is_told_in_log_and_histogram(case):
    log = case.folder("log") / "access.log"
    door = start(case, f"access.log = {log}\naccess.format = json\n")
    gate = Gate(case)
    with door.connect() as first, door.connect() as second:
        first.sendall(b"GET /wait.cgi?first HTTP/1.1\r\nHost: a\r\n\r\n")
        procs.wait_until(lambda: page(door)["door waiting"] == 1, "it has the worker")
        second.sendall(b"GET /wait.cgi?second HTTP/1.1\r\nHost: a\r\n\r\n")

        def has_waited():
            queued = [one for one in connections(case)["connections"] if one["state"] == "queued"]
            return queued and queued[0]["in state"] >= 300_000
        procs.wait_until(has_waited, "it has waited for 0.3 s")
        for peer in (first, second):
            gate.open()
            assert read_response(peer)[2] == b"then go\n"
    waits = {line["query"]: line["queue_wait"] for line in lines_of(log, 2)}
    assert waits["first"] < 0.3 <= waits["second"] < 20, waits
    seen = procs.wait_until(lambda: (now := page(door))["queue wait count"] == 2 and now, "both count")
    assert seen["queue wait p50"] < 300_000 <= seen["queue wait p99"], seen
    shown = ask(door, "/metrics")
    total = re.search(r'^fpm_queue_wait_seconds_sum\{pool="web"\} (\S+)$', shown, re.M).group(1)
    assert abs(float(total) - sum(waits.values())) < 0.2, (total, waits)
    assert 'fpm_queue_wait_seconds_bucket{pool="web",le="0.2"} 1\n' in shown


def test_a_request_whose_worker_is_lost_has_one_line(case):
    """Also where the pool has a socket of its own beside its door."""
    log = case.folder("log") / "access.log"
    door = start(case, f"listen = {case.dir}/web.sock\naccess.log = {log}\naccess.format = json\n")
    gate = Gate(case)
    post = b"POST /wait.cgi?door HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"
    with door.connect() as peer:
        peer.sendall(post)
        pipe = gate.hold()  # the script is there, so the worker has noted its request
        (worker,) = door.fpm.workers()
        os.kill(worker, signal.SIGKILL)
        assert read_response(peer)[0] == 502
        pipe.close()
    door.fpm.wait_line(rf"child {worker} exited on signal 9")
    # The next one, by the pool's own socket: nobody but the master writes its line.
    asked = fastcgi.params_for("/wait.cgi?front", door.root / "wait.cgi")
    with fastcgi.Connection(door.fpm.address("web")) as front:
        front.send(fastcgi.request(asked))
        pipe = gate.hold()
        (worker,) = door.fpm.workers()
        os.kill(worker, signal.SIGKILL)
        pipe.close()
        door.fpm.wait_line(rf"child {worker} exited on signal 9")
    # Its line comes after all others.
    assert door.get("/page.html")[0] == 200
    lines = lines_of(log, 3)
    told = sorted(([line["query"], line["status"], line["end"]] for line in lines), key=str)
    assert told == [["", 200, "ok"], ["door", 502, "worker died"], ["front", None, "worker died"]], lines
    assert page(door)["killed requests"] == 2
