"""The door's limits: what many, absent, greedy and silent clients can do to it, and what they cannot."""

import glob
import os
import re
import select
import socket
import time

import procs
from door import Door, read_all, read_response, status_of
from gate import WAITING_SCRIPT, Gate

# Connections and open files ---------------------------------------------------------------------


def connect(port, count=1):
    return [socket.create_connection(("127.0.0.1", port), 20) for _ in range(count)]


def close(clients):
    for client in clients:
        client.close()


def head(target="/file", *fields, method="GET"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def ask(door, target, *fields, method="GET"):
    """A connection that has sent a request."""
    peer = door.connect()
    peer.sendall(head(target, *fields, method=method))
    return peer


def is_silent(peer, seconds=0.2):
    return not select.select([peer], [], [], seconds)[0]


def drive(fpm, pool, most, enough, said):
    """Opens `most` connections, at which the door stops, closes all but `enough`, at which it goes on."""
    port = int(fpm.wait_line(rf"\[pool {pool}\] the door listens at http://127.0.0.1:(\d+)/").group(1))
    clients = connect(port, most)
    fpm.wait_line(said)
    clients[0].sendall(head())
    assert read_response(clients[0])[2] == b"file\n", "those that are there are served"
    [late] = connect(port)
    late.sendall(head())
    assert is_silent(late), "one more was accepted"
    close(clients[enough:])
    assert read_response(late)[2] == b"file\n", "it has waited, and was not lost"
    fpm.wait_line(rf"\[pool {pool}\].*accepted again")  # it comes by way of the master
    return [late, *clients[:enough]]


def test_it_stops_to_accept_and_goes_on_and_says_so(case):
    case.write("www/file", "file\n")
    lines = """
        http.listen = 127.0.0.1:0
        http.root = {dir}/www
        http.header_timeout = 60s
        http.keepalive_timeout = 60s
    """
    fpm = case.fpm({"files": lines + "rlimit_files = 400\nhttp.max_connections = 1000",
                    "many": lines + "http.max_connections = 20"})
    # 16 are the door's own.
    left = drive(fpm, "files", 361 - 16, 319 - 16, "no more connections are accepted: 361 of 400")
    left += drive(fpm, "many", 20, 17, "no more connections are accepted: 20 are open")
    assert [re.sub(r".*(WARNING|NOTICE): |the door, pid \d+: ", "", line) for line in fpm.find("accepted")] == [
        "[pool files] no more connections are accepted: 361 of 400 files are open",
        "[pool files] 319 of 400 files are open: connections are accepted again",
        "[pool many] no more connections are accepted: 20 are open, 20 are the most",
        "[pool many] 17 of at most 20 connections are open: they are accepted again"]
    close(left)


def test_who_finds_no_descriptor_waits_for_its_turn(case):
    case.write("www/file", "file\n")
    (case.dir / "www" / "big").write_bytes(b"0123456789" * 20_000)
    log = case.folder("log") / "turns"
    case.script("www/turn.cgi", f"""#!/bin/sh
        echo "$QUERY_STRING" >>{log}
        printf 'Content-Type: text/plain\\n\\nran\\n'
        echo end >>{log}
    """)
    # 64, less 16 that are open, 16 that are kept free, and 31 connections: one is left for all of them.
    door = Door(case, """
        http.scripts = extension
        http.header_timeout = 60s
        rlimit_files = 64
        pm.max_children = 8
    """)
    clients = connect(door.port, 31)
    procs.wait_until(lambda: len(procs.open_files(door.pid())) > 31, "31 connections")
    for number, client in enumerate(clients):
        client.sendall(head(f"/turn.cgi?{number}"))
    for client in clients:
        assert read_response(client)[::2] == (200, b"ran\n")
    turns = [word for number in range(31) for word in (str(number), "end")]
    assert log.read_text().split() == turns, "one after the other, in their order"
    for number, client in enumerate(clients):
        client.sendall(head(["/big", "/file", "/turn.cgi"][number % 3]))
    sizes = [len(read_response(client)[2]) for client in clients]
    assert sizes == ([200_000, 5, 4] * 11)[:31], sizes
    close(clients)


# The queue ----------------------------------------------------------------------------------------


def gate_case(case, lines):
    gate = Gate(case)
    case.script("www/wait.cgi", WAITING_SCRIPT)
    case.script("www/run.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran\\n'\n")
    return gate, Door(case, f"""
        http.scripts = extension
        pm.max_children = 1
        env[GATE] = {gate.path}
        {lines}
    """)


def pid_of(waiting):
    """Of the script, as its answer begins."""
    said = b""
    while not re.search(rb"pid \d+\n", said):
        piece = waiting.recv(4096)
        assert piece, said
        said += piece
    return int(re.search(rb"pid (\d+)", said).group(1))


def test_a_queue_that_is_full_is_503_at_once(case):
    gate, door = gate_case(case, "http.queue_max = 2")
    running = ask(door, "/wait.cgi")
    pid_of(running)
    second, third = ask(door, "/run.cgi"), ask(door, "/run.cgi")
    fourth = ask(door, "/run.cgi")
    status, fields, body = read_response(fourth)
    assert status == 503 and fields["Retry-After"] == "1" and body.startswith(b"503 "), fields
    assert is_silent(second) and is_silent(third, 0)
    third.close()  # it has left the queue: there is a place
    fifth = ask(door, "/run.cgi")
    assert is_silent(fifth)
    assert read_response(ask(door, "/run.cgi"))[0] == 503
    gate.open()
    assert read_all_of_script(running).endswith(b"then go\n\r\n0\r\n\r\n")
    for waiting in (second, fifth):
        assert read_response(waiting)[::2] == (200, b"ran\n")
    assert not door.fpm.find("ERROR")


def read_all_of_script(peer):
    got = b""
    while not got.endswith(b"0\r\n\r\n"):
        piece = peer.recv(4096)
        assert piece, got
        got += piece
    return got


def test_who_waits_too_long_is_503(case):
    gate, door = gate_case(case, "http.queue_timeout = 400ms")
    running = ask(door, "/wait.cgi")
    pid_of(running)
    began = time.monotonic()
    status, fields, _ = read_response(ask(door, "/run.cgi"))
    assert status == 503 and fields["Retry-After"] == "1"
    assert 0.35 < time.monotonic() - began < 3
    gate.open()
    assert b"then go" in read_all_of_script(running)
    assert door.get("/run.cgi")[0] == 200


def test_a_client_that_leaves_ends_its_request(case):
    _, door = gate_case(case, "")
    running = ask(door, "/wait.cgi")
    pid = pid_of(running)
    waiting = ask(door, "/run.cgi")
    running.close()
    procs.wait_gone(pid)
    assert read_response(waiting)[::2] == (200, b"ran\n")


# Rates --------------------------------------------------------------------------------------------


def receive_at(clients, rate, size):
    """Reads all of them; at no moment is there more than `rate` allows. Seconds that it took."""
    began, got = time.monotonic(), {client: b"" for client in clients}
    left = set(clients)
    while left:
        readable, _, _ = select.select(left, [], [], 20)
        assert readable, "nothing comes any more"
        for client in readable:
            piece = client.recv(1 << 20)
            got[client] += piece
            if not piece:
                left.remove(client)
        # A quarter of a second's worth goes out at once; the heads are not counted here.
        most = rate * (time.monotonic() - began + 0.25) + 1000 * len(clients)
        assert sum(len(one) for one in got.values()) <= most
    bodies = [one.partition(b"\r\n\r\n")[2] for one in got.values()]
    assert [len(body) for body in bodies] == [size] * len(clients)
    return time.monotonic() - began


def test_rates_hold(case):
    (case.dir / "www").mkdir(mode=0o755)
    (case.dir / "www" / "big").write_bytes(os.urandom(250_000))
    case.script("www/big.cgi", "#!/bin/sh\nprintf 'Content-Length: 250000\\n\\n'; cat big\n")
    door = Door(case, "http.scripts = extension\nhttp.rate_per_connection = 200000\nhttp.rate = 500000")
    # (250 - 50) / 200 = 1 s at the least.
    took = receive_at([ask(door, "/big", "Connection: close")], 200_000, 250_000)
    case.say(f"250 KB at 200 KB/s: {took:.2f} s")
    assert 1 <= took < 2.5
    clients = [ask(door, "/big", "Connection: close") for _ in range(4)]
    took = receive_at(clients, 500_000, 250_000)
    case.say(f"4 times 250 KB at 500 KB/s together: {took:.2f} s")
    assert 1.75 <= took < 4
    # And for scripts.
    took = receive_at([ask(door, "/big.cgi", "Connection: close")], 200_000, 250_000)
    assert 1 <= took < 2.5


# Times --------------------------------------------------------------------------------------------


def seconds_to_end(peer, sending=b""):
    """(what came, seconds) until the door closes; meanwhile a byte of `sending` every 50 ms."""
    began, got = time.monotonic(), b""
    while True:
        if is_silent(peer, 0.05):
            if sending:
                peer.sendall(sending[:1])
                sending = sending[1:]
            assert time.monotonic() - began < 10, "it is not closed"
            continue
        try:
            piece = peer.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return got, time.monotonic() - began
        got += piece


def test_every_wait_for_a_client_has_its_end(case):
    case.write("www/file", "file\n")
    (case.dir / "www" / "big").write_bytes(bytes(20 << 20))
    case.script("www/run.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran\\n'\n")
    door = Door(case, """
        http.scripts = extension
        http.header_timeout = 500ms
        http.read_timeout = 400ms
        http.write_timeout = 300ms
        http.keepalive_timeout = 200ms
    """)
    # The head as a whole has its time, however it trickles.
    with door.connect() as peer:
        peer.sendall(b"GET /file HTTP/1.1\r\nX: ")
        got, seconds = seconds_to_end(peer, b"a" * 100)
    assert status_of(got) == 408 and b"408 Request Timeout" in got and 0.45 < seconds < 3, (got, seconds)
    # Who says nothing gets nothing.
    with door.connect() as peer:
        got, seconds = seconds_to_end(peer)
    assert got == b"" and 0.45 < seconds < 3, (got, seconds)
    # A body may take long, but not stand still.
    with ask(door, "/run.cgi", "Content-Length: 100", method="POST") as peer:
        got, seconds = seconds_to_end(peer, b"a" * 10)
    assert status_of(got) == 408 and 0.85 < seconds < 4, (got, seconds)
    with ask(door, "/run.cgi", "Content-Length: 10", method="POST") as peer:
        for _ in range(10):
            assert is_silent(peer, 0.1), "it takes longer than http.read_timeout, and is not cut"
            peer.sendall(b"a")
        assert read_response(peer)[::2] == (200, b"ran\n")
        got, seconds = seconds_to_end(peer)  # it is kept now
    assert got == b"" and 0.15 < seconds < 2, (got, seconds)
    # Who takes nothing of an answer is dropped; what the kernel has already may still come.
    pid = door.pid()
    before = len(procs.open_files(pid))
    with ask(door, "/big") as peer:
        procs.wait_until(lambda: len(procs.open_files(pid)) > before, "the answer is under way")
        procs.wait_until(lambda: len(procs.open_files(pid)) == before, "the connection is closed")
        assert len(read_all(peer)) < 20 << 20
    assert door.get("/file")[2] == b"file\n"


# Bodies and answers ---------------------------------------------------------------------------------


def test_a_slow_reader_holds_no_worker(case):
    case.script("www/big.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; cat \"$BIG\"\n")
    case.script("www/run.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran\\n'\n")
    big = os.urandom(5 << 20)
    (case.dir / "big").write_bytes(big)
    door = Door(case, f"""
        http.scripts = extension
        pm.max_children = 1
        env[BIG] = {case.dir}/big
    """)
    with ask(door, "/big.cgi") as slow:
        began = time.monotonic()
        assert door.get("/run.cgi")[::2] == (200, b"ran\n")
        assert time.monotonic() - began < 3
        assert read_response(slow)[::2] == (200, big)
    assert temporary_files(door) == []


def temporary_files(door):
    """Of the door: open ones, and names that were left."""
    pid = door.pid()
    return [name for name in procs.open_files(pid).values() if name.startswith("/tmp/#")] + \
        glob.glob("/tmp/fpm-door-*")


def test_a_large_body_is_a_file_and_leaves_nothing(case):
    case.script("www/size.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; wc -c\n")
    door = Door(case, """
        http.scripts = extension
        http.body_memory = 64K
        http.max_body = 2M
    """)
    with ask(door, "/size.cgi", "Content-Length: 60000", method="POST") as peer:
        peer.sendall(bytes(50_000))
        assert is_silent(peer) and temporary_files(door) == [], "it has room in memory"
        peer.sendall(bytes(10_000))
        assert read_response(peer)[2].strip() == b"60000"
        peer.sendall(head("/size.cgi", "Content-Length: 2097152", method="POST") + bytes(2_000_000))
        procs.wait_until(lambda: len(temporary_files(door)) == 1, "it is in a file")
        peer.sendall(bytes(97_152))
        assert read_response(peer)[2].strip() == b"2097152"
        procs.wait_until(lambda: temporary_files(door) == [], "the answer has ended it")
        peer.sendall(head("/size.cgi", "Content-Length: 2000000", method="POST") + bytes(1_000_000))
        procs.wait_until(lambda: len(temporary_files(door)) == 1, "it is in a file")
    procs.wait_until(lambda: temporary_files(door) == [], "the client has left")
    # Too large, by its length and by what comes.
    with ask(door, "/size.cgi", "Content-Length: 2097153", method="POST") as peer:
        assert status_of(read_all(peer)) == 413
    with ask(door, "/size.cgi", "Transfer-Encoding: chunked", method="POST") as peer:
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        peer.sendall(piece * 33)
        assert status_of(read_all(peer)) == 413
    procs.wait_until(lambda: temporary_files(door) == [], "nothing is left")
