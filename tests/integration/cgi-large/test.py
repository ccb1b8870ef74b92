"""Bodies and answers that do not fit into a pipe: all bytes arrive, in their order, whoever is slow."""

import os
import random
import select
import signal

import procs
from fastcgi import Closed, Connection, ask, params_for, request
from fpm import free_port

ROOT = "cgi.root = {dir}/cgi\n"
SIZE = 3_000_001
HEADER = "printf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
# Prints what it gets, when it has all of it.
ECHO = "#!/bin/sh\ncat > \"$COPY.$$\"\n" + HEADER + "cat \"$COPY.$$\"\nrm \"$COPY.$$\"\n"


def noise(size):
    return random.Random(size).randbytes(size)


def start(case, lines="", **options):
    folder = case.folder("copies")
    os.chmod(folder, 0o777)
    return case.fpm({"www": ROOT + "pm.max_children = 1\nenv[COPY] = {dir}/copies/a\n" + lines}, **options)


def scripts(fpm):
    """Processes below the workers."""
    workers = fpm.workers()
    return [one for one in procs.descendants(fpm.pid) if one.parent in workers]


def post(address, script, body, **options):
    return ask(address, params_for("/a", script, "POST", body), body, **options)


def test_a_body_comes_back_as_it_was_whatever_its_records_are(case):
    script, fpm = case.script("cgi/echo", ECHO), start(case)
    body = noise(SIZE)
    for size in (65535, 32768, 20001, 8191, 700):
        for padding in (0, 7):
            answer = post(fpm.address(), script, body, size=size, padding=padding)
            assert answer.body == body, f"records of {size} + {padding}: {len(answer.body)} bytes"
            assert answer.app_status == 0
    fpm.stop()


def test_the_same_over_tcp(case):
    script, fpm = case.script("cgi/echo", ECHO), start(case, f"listen = 127.0.0.1:{free_port()}\n")
    body = noise(SIZE)
    for size in (65535, 20001, 700):
        answer = post(fpm.address(), script, body, size=size)
        assert answer.body == body, f"records of {size}: {len(answer.body)} bytes"
    fpm.stop()


def test_bytes_that_a_script_passes_on_as_they_come(case):
    script = case.script("cgi/pass", "#!/bin/sh\n" + HEADER + "exec cat\n")
    fpm = start(case)
    body = noise(SIZE)
    assert post(fpm.address(), script, body).body == body
    fpm.stop()


def test_a_client_that_reads_late(case):
    """The script waits, or has ended, with its pipe full of what the client has not asked for yet."""
    (case.dir / "data").write_bytes(noise(300_000))
    os.chmod(case.dir / "data", 0o644)
    script = case.script("cgi/print", f"#!/bin/sh\n{HEADER}cat {case.dir}/data\n")
    fpm = start(case)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/print", script)))
        select.select([client.socket], [], [], 10)  # it has begun
        procs.wait_until(lambda: not scripts(fpm), "the end of the script", 10)
        answer = client.read_answer()
        assert answer.body == noise(300_000), len(answer.body)
        assert client.at_end()
    fpm.stop()


def test_the_next_request_on_a_kept_connection(case):
    """What a large answer needs of the connection is undone after it."""
    script, fpm = case.script("cgi/echo", ECHO), start(case, "pm.max_children = 2\n")
    body = noise(400_000)
    with Connection(fpm.address()) as client:
        for _ in range(3):
            client.socket.settimeout(10)
            client.send(request(params_for("/a", script, "POST", body), body, flags=1))
            assert client.read_answer().body == body
    fpm.stop()


def test_a_script_that_is_killed_in_the_middle(case):
    """What it had printed arrives in whole records, and the end says that more was to come."""
    script = case.script("cgi/killed", "#!/bin/sh\n" + HEADER + f"head -c {SIZE} /dev/zero\nkill -KILL $$\n")
    fpm = start(case)
    answer = ask(fpm.address(), params_for("/killed", script))
    assert answer.body == bytes(SIZE), len(answer.body)
    assert answer.app_status == 128 + signal.SIGKILL
    fpm.wait_line("in the middle of its answer")
    fpm.stop()


def test_a_time_limit_in_the_middle(case):
    """A front cannot take what it got for a whole answer."""
    script = case.script("cgi/endless", "#!/bin/sh\n" + HEADER + "exec cat /dev/zero\n")
    fpm = start(case, "request_terminate_timeout = 1s\n")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/endless", script)))
        try:
            assert client.read_answer().app_status != 0
        except Closed:
            pass  # it had not taken all that waited at the limit
        assert client.at_end()
    fpm.wait_line("execution timed out")
    procs.wait_until(lambda: not scripts(fpm), "the end of the script", 10)
    fpm.stop()


def test_a_client_that_leaves_ends_the_script(case):
    script = case.script("cgi/endless", "#!/bin/sh\n" + HEADER + "exec cat /dev/zero\n")
    fpm = start(case)
    for _ in range(3):
        with Connection(fpm.address()) as client:
            client.send(request(params_for("/endless", script)))
            client.read_answer(until=lambda answer: len(answer.stdout) > 1_000_000)
    # Its only worker is free again.
    hello = case.script("cgi/hello", "#!/bin/sh\n" + HEADER + "echo hello\n")
    assert ask(fpm.address(), params_for("/hello", hello)).body == b"hello\n"
    fpm.stop()


def test_a_script_that_does_not_read_a_large_body(case):
    """It answers while its pipe is full of what it does not want."""
    script = case.script("cgi/deaf", "#!/bin/sh\n" + HEADER + "exec 0<&-\necho deaf\n")
    fpm = start(case)
    body = noise(SIZE)
    for _ in range(3):
        assert post(fpm.address(), script, body).body == b"deaf\n"
    fpm.stop()
