"""A client that goes away: its script is ended and the worker is free again."""

import time

import fastcgi
import procs
from fastcgi import ABORT_REQUEST, Connection, params_for, record, request
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

POOL = "cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nping.path = /ping\npm.max_children = 2\n"


def begin_waiting(fpm, script):
    """(connection, process of the script)"""
    client = Connection(fpm.address())
    client.send(request(params_for("/wait", script)))
    pid = pid_in(client.read_answer(until=first_line_read))
    return client, procs.process(pid)


def test_two_aborted_clients_leave_a_pool_of_two_free(case):
    script = case.script("cgi/wait", WAITING_SCRIPT)
    Gate(case)  # never opened
    fpm = case.fpm({"www": POOL})
    workers = fpm.workers()
    begun = [begin_waiting(fpm, script) for _ in range(2)]
    for client, _ in begun:
        client.close()
    start = time.monotonic()
    fastcgi.ping(fpm.address())
    assert time.monotonic() - start < (5 if case.sanitized else 1), "the third had to wait"
    for _, process in begun:
        procs.wait_until(lambda process=process: not procs.group(process.group),
                         "the script of the aborted request is gone", 2)
    assert fpm.workers() == workers, "the workers were replaced"
    fpm.stop()


def test_an_abort_record_is_answered_with_an_end(case):
    script = case.script("cgi/wait", WAITING_SCRIPT)
    Gate(case)
    fpm = case.fpm({"www": POOL})
    client, process = begin_waiting(fpm, script)
    with client:
        client.send(record(ABORT_REQUEST, 1))
        answer = client.read_answer()
        assert answer.ended
        assert client.at_end()
        # The client does not wait for the end of the script.
        procs.wait_until(lambda: not procs.group(process.group), "its script has ended", 2)
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_a_client_gone_before_the_body_came_ends_the_script(case):
    script = case.script("cgi/reads", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "echo \"pid $$\"\nsleep 1000 &\ncat >/dev/null\nwait\n")
    fpm = case.fpm({"www": POOL})
    from fastcgi import PARAMS, begin, pairs, stream
    client = Connection(fpm.address())
    client.send(begin() + stream(PARAMS, 1, pairs(params_for("/reads", script, "POST"))))
    process = procs.process(pid_in(client.read_answer(until=first_line_read)))
    client.close()
    procs.wait_until(lambda: not procs.group(process.group), "script and its child are gone", 2)
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_request_on_abort_continue_lets_the_script_finish(case):
    case.folder("out")
    script = case.script("cgi/wait", WAITING_SCRIPT + 'echo "$line" >"$OUT/part"\n'
                         'mv "$OUT/part" "$OUT/done"\n')
    gate = Gate(case)
    fpm = case.fpm({"www": POOL + "env[OUT] = {dir}/out\nrequest_on_abort = continue"})
    client, process = begin_waiting(fpm, script)
    client.close()
    fastcgi.ping(fpm.address())  # the other worker
    assert procs.alive(process.pid), "the script was ended though it may go on"
    gate.open("finished")
    procs.wait_until((case.dir / "out/done").exists, "the script finished its work")
    assert (case.dir / "out/done").read_text() == "finished\n"
    for _ in range(4):
        fastcgi.ping(fpm.address())
    fpm.stop()
