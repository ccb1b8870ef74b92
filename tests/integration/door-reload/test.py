"""A reload, a drain and a stop as the clients of a door see them: none is lost, none waits in vain."""

import concurrent.futures
import http.client
import os
import signal
import socket
import subprocess
import threading

import procs
from door import Door, address_in, read_all, read_response, status_of
from fpm import free_port
from gate import WAITING_SCRIPT, Gate

HELLO = "#!/bin/sh\necho Content-Type: text/plain\necho\necho hello\n"
SCRIPTS = "http.scripts = extension\nenv[GATE] = {dir}/gate\n"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def start(case, lines="", **options):
    case.script("www/hello.cgi", HELLO)
    case.script("www/wait.cgi", WAITING_SCRIPT)
    case.write("www/page.html", "page")
    return Door(case, SCRIPTS + lines, **options)


def at(port):
    return f"http.listen = 127.0.0.1:{port}\n"


def pool(case, port, more=""):
    """A second pool, as Fpm completes one."""
    return (f"listen = {case.dir}/other.sock\npm = static\npm.max_children = 1\nhttp.root = {case.dir}/www\n"
            f"http.scripts = extension\n{at(port)}{more}")


def get(port, path="/hello.cgi"):
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(GET % path.encode())
        return read_all(peer)


def refused(port):
    """Nobody listens there: within the time in which a client whose first packet was dropped asks again."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return False
    except ConnectionRefusedError:
        return True


def can_be_taken(port):
    """Another program may listen there."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


class Slow:
    """A request that runs until the gate is opened."""

    def __init__(self, case, door):
        self.gate = Gate(case)
        self.peer = door.connect()
        self.peer.sendall(GET % b"/wait.cgi")
        self.held = self.gate.hold()

    def finish(self):
        with self.held as pipe:
            pipe.write("go on\n")
        answer = read_all(self.peer)
        self.peer.close()
        os.unlink(self.gate.path)
        return answer


class Load:
    """Clients that ask without a pause, each request told apart: sent, answered, refused at connecting."""

    def __init__(self, ports, clients=4, kept=False, body=None):
        self.ports, self.kept, self.body = list(ports), kept, body
        self.stop, self.answered, self.wrong = threading.Event(), 0, []
        self.lock = threading.Lock()
        self.pool = concurrent.futures.ThreadPoolExecutor(clients)
        self.runs = [self.pool.submit(self.run, number) for number in range(clients)]

    def run(self, number):
        connection, count = None, 0
        while not self.stop.is_set():
            port = self.ports[number % len(self.ports)]
            path = ("/hello.cgi", "/page.html")[count % 2]
            count += 1
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST" if self.body and path == "/hello.cgi" else "GET", path, self.body)
                response = connection.getresponse()
                body = response.read()
                good = response.status == 200 and body.strip() in (b"hello", b"page")
                if not self.kept or response.headers.get("Connection") == "close":
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as failure:
                good, body = False, repr(failure).encode()
                connection = None
            with self.lock:
                self.answered += good
                if not good:
                    self.wrong.append(body)

    def wait(self, count):
        procs.wait_until(lambda: self.answered >= count or self.wrong, f"{count} answers", 60)

    def end(self):
        self.stop.set()
        for run in self.runs:
            run.result(60)
        self.pool.shutdown()
        return self.answered, self.wrong


def test_a_pool_that_is_removed_gives_its_address_free_at_once(case):
    port = free_port()
    door = start(case, at(port))
    slow = Slow(case, door)
    mark = door.fpm.mark()
    door.fpm.pools["left"] = door.fpm._complete("left", "")
    removed = door.fpm.pools.pop("web")
    door.fpm.rewrite()
    door.fpm.reload()
    procs.wait_until(lambda: can_be_taken(port), "the address is free")
    assert refused(port), "somebody listens there"
    assert b"then go on" in slow.finish(), "the request under way was not finished"
    procs.wait_until(lambda: not door.fpm.doors(), "the door has ended")
    assert not door.fpm.find("has not finished", mark)
    door.fpm.pools["web"] = removed
    door.fpm.rewrite()
    door.fpm.reload()
    procs.wait_until(lambda: not refused(port), "it is there again")
    assert b"hello\n" in get(port)


def test_a_door_that_moves_serves_at_both_and_then_at_one(case):
    old, new = free_port(), free_port()
    door = start(case, at(old))
    slow = Slow(case, door)
    door.fpm.change("web", at(old).strip(), at(new).strip())
    door.fpm.reload()
    procs.wait_until(lambda: address_in(door.fpm.text) == new, "it listens at the new address")
    assert b"hello\n" in get(new)
    procs.wait_until(lambda: can_be_taken(old), "the old address is free")
    assert refused(old)
    assert b"then go on" in slow.finish()
    procs.wait_until(lambda: len(door.fpm.doors()) == 1, "one door")


def test_who_waits_in_the_queue_of_a_door_that_goes_is_served(case):
    port = free_port()
    door = start(case, at(port))
    get(port)
    [pid] = door.fpm.doors()
    os.kill(pid, signal.SIGSTOP)  # nobody is accepted
    try:
        clients = []
        for number in range(40):
            clients.append(door.connect())
            clients[-1].sendall(GET % (b"/page.html" if number % 2 else b"/hello.cgi"))
        silent = door.connect()  # as a browser opens one in advance
        door.fpm.change("web", at(port).strip(), at(free_port()).strip())
        door.fpm.reload()
    finally:
        os.kill(pid, signal.SIGCONT)
    for client in clients:
        answer = read_all(client)
        assert status_of(answer) == 200, answer
        client.close()
    silent.settimeout(10)
    assert silent.recv(1) == b"", "who says nothing is let go"
    silent.close()
    procs.wait_until(lambda: can_be_taken(port), "the address is free")
    procs.wait_gone(pid, 10)


def test_a_drained_pool_and_one_that_is_resumed(case):
    port = free_port()
    door = start(case, at(port), global_lines=f"control.socket = {case.dir}/control.sock\n")
    slow = Slow(case, door)

    def ctl(*words):
        command = [case.build / "tools" / "fpmctl", "-s", case.dir / "control.sock", *words]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    ctl("drain", "web")
    procs.wait_until(lambda: can_be_taken(port), "the address is free")
    assert refused(port)
    assert b"then go on" in slow.finish()
    ctl("resume", "web")
    assert b"hello\n" in get(port)


def test_doors_exchange_their_addresses_under_load(case):
    one, two = free_port(), free_port()
    door = start(case, at(one))
    door.fpm.pools["other"] = door.fpm._complete("other", pool(case, two))
    door.fpm.rewrite()
    door.fpm.reload()
    load = Load([one, two])
    for _ in range(4):
        load.wait(load.answered + 50)
        for name in ("web", "other"):
            text = door.fpm.pools[name]
            door.fpm.pools[name] = text.replace(at(one), "HERE\n").replace(at(two), at(one)).replace("HERE\n", at(two))
        door.fpm.rewrite()
        door.fpm.reload()
    load.wait(load.answered + 50)
    answered, wrong = load.end()
    assert not wrong and answered > 200, (answered, wrong[:5])


def test_a_pool_takes_over_the_address_of_one_that_goes(case):
    port = free_port()
    door = start(case, at(port))
    load = Load([port])
    load.wait(50)
    door.fpm.pools["other"] = door.fpm._complete("other", pool(case, port))
    removed = door.fpm.pools.pop("web")
    door.fpm.rewrite()
    door.fpm.reload()
    load.wait(load.answered + 100)
    door.fpm.pools = {"web": removed}
    door.fpm.rewrite()
    door.fpm.reload()
    load.wait(load.answered + 100)
    answered, wrong = load.end()
    assert not wrong, (answered, wrong[:5])


def test_twenty_reloads_under_load_lose_nobody(case):
    door = start(case, "pm.max_children = 3\n")
    fresh = Load([door.port], clients=3)
    posts = Load([door.port], clients=2, kept=True, body=b"x" * 3000)
    for _ in range(20):
        fresh.wait(fresh.answered + 10)
        door.fpm.reload()
    for load in (fresh, posts):
        load.wait(load.answered + 20)
        answered, wrong = load.end()
        assert not wrong and answered >= 20, (answered, wrong[:5])
    assert len(door.fpm.doors()) == 1


def test_more_and_fewer_doors_under_load(case):
    door = start(case, "http.workers = 1\n")
    load = Load([door.port])
    for before, after in ((1, 3), (3, 2), (2, 1)):
        load.wait(load.answered + 30)
        door.fpm.change("web", f"http.workers = {before}", f"http.workers = {after}")
        door.fpm.reload()
        procs.wait_until(lambda after=after: len(door.fpm.doors()) == after, f"{after} doors", 10)
    load.wait(load.answered + 30)
    answered, wrong = load.end()
    assert not wrong, (answered, wrong[:5])


def test_a_unix_door_goes_with_its_file(case):
    path = case.dir / "http.sock"
    case.write("www/page.html", "page")
    fpm = case.fpm({"web": f"listen = {case.dir}/web.sock\nhttp.listen = {path}\nhttp.root = {case.dir}/www\n",
                    "left": ""})
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
        peer.sendall(GET % b"/page.html")
        assert read_all(peer).endswith(b"page")
    fpm.pools.pop("web")
    fpm.rewrite()
    fpm.reload()
    procs.wait_until(lambda: not path.exists(), "the file is gone")
    procs.wait_until(lambda: not fpm.doors(), "the door has ended")


def test_a_stop_finishes_who_waits(case):
    port = free_port()
    door = start(case, at(port))
    get(port)
    [pid] = door.fpm.doors()
    os.kill(pid, signal.SIGSTOP)
    try:
        clients = [door.connect() for _ in range(10)]
        for client in clients:
            client.sendall(GET % b"/hello.cgi")
        kept = door.connect()
        mark = door.fpm.mark()
        door.fpm.send(signal.SIGQUIT)
        door.fpm.wait_line("Finishing", after=mark)
    finally:
        os.kill(pid, signal.SIGCONT)
    answers = [read_all(client) for client in clients]
    assert all(status_of(answer) == 200 and b"hello\n" in answer for answer in answers), answers
    kept.close()
    for client in clients:
        client.close()
    door.fpm.wait_gone_cleanly()
    assert refused(port)


def test_a_kept_connection_is_told_to_close_or_closed_when_idle(case):
    door = start(case)
    with door.connect() as idle, door.connect() as busy:
        for peer in (idle, busy):
            peer.sendall(b"GET /page.html HTTP/1.1\r\nHost: x\r\n\r\n")
            status, fields, _ = read_response(peer)
            assert status == 200 and fields.get("Connection", "keep-alive") == "keep-alive"
        old = door.port
        door.fpm.change("web", "http.listen = 127.0.0.1:0", at(free_port()).strip())
        door.fpm.reload()
        idle.settimeout(10)
        assert idle.recv(1) == b"", "an idle one is closed"
    procs.wait_until(lambda: refused(old), "the old address is free")


def test_usr1_and_hup_reopen_its_log(case):
    log = case.dir / "access.log"
    door = start(case, f"access.log = {log}\n")
    get(door.port, "/page.html?first")
    doors = door.fpm.doors()
    for number in (signal.SIGUSR1, signal.SIGHUP):
        name = signal.Signals(number).name
        procs.wait_until(lambda: "/page.html" in log.read_text(), "the line is there")
        old = log.rename(case.dir / f"before.{name}")
        lines = old.read_text()
        door.fpm.send(number)
        procs.wait_until(log.exists, "the new file")

        def fresh(name=name):
            get(door.port, f"/page.html?{name}")
            return name in log.read_text()
        # The door has it a moment later; until then lines go to the old one.
        procs.wait_until(fresh, f"lines in the new file after {name}")
        kept = old.read_text()
        assert kept.startswith(lines)
        get(door.port, "/page.html?again")
        procs.wait_until(lambda: "again" in log.read_text(), "the next line")
        assert old.read_text() == kept, "a line went to the old file"
    assert door.fpm.doors() == doors, "the door was replaced"
