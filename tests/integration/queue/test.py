"""Requests that waited too long, or that nobody waits for any more, are not run."""

import json
import os
import signal
import time

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

POOL = ("cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nenv[OUT] = {dir}/out\nping.path = /ping\n"
        "pm.max_children = 1\naccess.log = {dir}/access.log\naccess.format = json\n")
LIMITED = POOL + "request_queue_timeout = 100ms\n"
# Leaves a trace when it has run.
TRACE = """\
#!/bin/sh
echo "$QUERY_STRING" >>"$OUT/ran"
printf 'Content-Type: text/plain\\r\\n\\r\\nran'
"""


class Traces:
    """The script, and which requests it has run for."""

    def __init__(self, case):
        self.script = case.script("cgi/trace", TRACE)
        self._file = case.folder("out") / "ran"

    def params(self, name, **more):
        return params_for(f"/trace?{name}", self.script, **more)

    def ran(self):
        return self._file.read_text().split() if self._file.exists() else []


def access_lines(case, count):
    """So many lines of the access log, as objects."""
    file = case.dir / "access.log"
    text = procs.wait_until(lambda: (file.read_text().count("\n") >= count) and file.read_text(),
                            f"{count} lines in the access log")
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == count, lines
    return lines


def stamps(seconds_back):
    """The forms in which fronts write a moment."""
    moment = time.time() - seconds_back
    plain = [f"{moment:.3f}", f"{int(moment)}", f"{int(moment * 1e3)}", f"{int(moment * 1e6)}"]
    return plain + ["t=" + one for one in plain]


def test_what_waited_too_long_is_refused_and_not_run(case):
    traces = Traces(case)
    fpm = case.fpm({"www": LIMITED})
    answer = fastcgi.ask(fpm.address(), traces.params("late", FPM_QUEUED_AT=time.time() - 1))
    assert answer.headers["status"].startswith("503 "), answer
    assert answer.headers["retry-after"] == "1", answer
    assert answer.body.strip() and answer.headers["content-type"].startswith("text/"), answer
    (line,) = access_lines(case, 1)
    assert (line["status"], line["end"]) == (503, "rejected"), line
    assert traces.ran() == []
    fpm.stop()


def test_every_form_of_a_stamp_is_understood(case):
    traces = Traces(case)
    fpm = case.fpm({"www": LIMITED})
    for name in ("FPM_QUEUED_AT", "HTTP_X_REQUEST_START"):
        for stamp in stamps(3):
            answer = fastcgi.ask(fpm.address(), traces.params("late", **{name: stamp}))
            assert answer.status == 503, f"{name} {stamp}: {answer}"
        # Just now, but for forms in whole seconds.
        for stamp in stamps(0):
            if "." not in stamp and len(stamp.lstrip("t=")) < 13:
                continue
            answer = fastcgi.ask(fpm.address(), traces.params("now", **{name: stamp}))
            assert answer.status == 200, f"{name} {stamp}: {answer}"
    assert set(traces.ran()) == {"now"}
    fpm.stop()


def test_a_stamp_that_cannot_be_right_counts_as_none(case):
    traces = Traces(case)
    fpm = case.fpm({"www": LIMITED})
    day = 86400
    odd = [*stamps(-60), *stamps(2 * day), "", "0", "t=", "yesterday", "-5", "1e9", "12:30",
           "1.2.3", "99999999999999999999999", f"{time.time() - 5:.3f}s", "\xff\xfe", "1" * 5000]
    for stamp in odd:
        answer = fastcgi.ask(fpm.address(), traces.params("run", FPM_QUEUED_AT=stamp))
        assert (answer.status, answer.body) == (200, b"ran"), f"{stamp!r}: {answer}"
    assert len(traces.ran()) == len(odd)
    fpm.stop()


def test_the_fronts_own_stamp_counts_not_the_clients(case):
    traces = Traces(case)
    fpm = case.fpm({"www": LIMITED})
    now, late = f"{time.time():.3f}", f"{time.time() - 9:.3f}"
    params = traces.params("run", FPM_QUEUED_AT=f"{time.time():.3f}", HTTP_X_REQUEST_START=late)
    assert fastcgi.ask(fpm.address(), params).status == 200
    params = traces.params("late", FPM_QUEUED_AT=late, HTTP_X_REQUEST_START=now)
    assert fastcgi.ask(fpm.address(), params).status == 503
    assert traces.ran() == ["run"]
    fpm.stop()


def test_without_a_limit_an_old_stamp_changes_nothing(case):
    traces = Traces(case)
    fpm = case.fpm({"www": POOL})
    for stamp in stamps(100):
        assert fastcgi.ask(fpm.address(), traces.params("run", FPM_QUEUED_AT=stamp)).status == 200
    assert len(traces.ran()) == 8
    fpm.stop()


def test_a_request_that_really_waited_is_refused(case):
    waiting, gate, traces = case.script("cgi/wait", WAITING_SCRIPT), Gate(case), Traces(case)
    fpm = case.fpm({"www": LIMITED})
    with Connection(fpm.address()) as first, Connection(fpm.address()) as second:
        first.send(request(params_for("/wait", waiting)))
        first.read_answer(until=first_line_read)
        begin = time.time()
        second.send(request(traces.params("late", FPM_QUEUED_AT=f"{begin:.3f}")))
        procs.wait_until(lambda: time.time() > begin + 0.2, "0.2 s are over")
        gate.open()
        assert first.read_answer().app_status == 0
        assert second.read_answer().status == 503
    assert traces.ran() == []
    fpm.stop()


def left_in_the_queue(case, pool):
    """Which requests ran: one whose client left while it waited, and one after it."""
    waiting, gate, traces = case.script("cgi/wait", WAITING_SCRIPT), Gate(case), Traces(case)
    fpm = case.fpm({"www": pool})
    with Connection(fpm.address()) as first:
        first.send(request(params_for("/wait", waiting)))
        first.read_answer(until=first_line_read)
        begin = time.time()
        with Connection(fpm.address()) as second:
            second.send(request(traces.params("left")))
        third = Connection(fpm.address())
        case.defer(third.close)
        third.send(request(traces.params("stayed")))
        # Clients do not give up within a few milliseconds, and so nobody looks for that.
        procs.wait_until(lambda: time.time() > begin + 0.02, "20 ms are over")
        gate.open()
        assert first.read_answer().app_status == 0
    assert third.read_answer().body == b"ran"
    lines = access_lines(case, 3)
    fpm.stop()
    told = fpm.find(r"/trace.*its client has gone while it waited, not run")
    return traces.ran(), [line["end"] for line in lines], told


def test_a_request_whose_client_left_the_queue_is_not_run(case):
    ran, ends, told = left_in_the_queue(case, POOL)
    assert ran == ["stayed"]
    assert ends == ["ok", "abort", "ok"]
    assert len(told) == 1


def test_request_drop_abandoned_no_starts_it_all_the_same(case):
    ran, ends, told = left_in_the_queue(case, POOL + "request_drop_abandoned = no\n")
    # How far its script comes is chance: it is ended as soon as the worker sees the client gone.
    assert ran in (["stayed"], ["left", "stayed"]), ran
    assert ends[0] == ends[2] == "ok" and ends[1] in ("ok", "abort"), ends
    assert not told


def test_a_client_that_connects_early_has_its_whole_time_for_the_request(case):
    waiting, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL.replace("max_children = 1", "max_children = 2")
                    + "request_terminate_timeout = 1s\n"})
    with Connection(fpm.address()) as client:
        begin = time.time()
        procs.wait_until(lambda: time.time() > begin + 1.3, "1.3 s are over")
        client.send(request(params_for("/wait", waiting)))
        busy = procs.process(pid_in(client.read_answer(until=first_line_read))).parent
        # Makes the master look at the pool now.
        (other,) = set(fpm.workers()) - {busy}
        mark = fpm.mark()
        os.kill(other, signal.SIGKILL)
        fpm.wait_line(r"child \d+ started", after=mark)
        gate.open("served")
        assert client.read_answer().stdout == b"then served\n"
    fpm.stop()
