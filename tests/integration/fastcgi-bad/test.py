"""FastCGI programs that are missing, do not get ready, or do wrong: a clear line in the log, an answer
for whoever waits, and nothing else disturbed."""

import os
import re
import time

import fastcgi
import procs

POOL = ("handler = fastcgi\nfastcgi.command = {program}\nping.path = /ping\n"
        "catch_workers_output = yes\n")
ONE = "pm.max_children = 1\n"


def pools(case, program, lines=ONE):
    """The pool with that program, and a good one beside it."""
    good = case.copy("raw.py")
    return {"www": POOL.replace("{program}", str(program)) + lines,
            "good": POOL.replace("{program}", str(good))}


def ask(fpm, query="", pool="www", method="GET", body=b"", **options):
    params = fastcgi.params_for("/x?" + query, method=method, body=body)
    return fastcgi.ask(fpm.address(pool), params, body, **options)


def works(fpm, pool="good"):
    answer = ask(fpm, pool=pool)
    assert answer.status == 200 and answer.body.startswith(b"pid "), answer


def raw(case, lines=ONE):
    return case.fpm(pools(case, case.copy("raw.py"), lines))


# It cannot be started.

def test_a_program_that_is_missing(case):
    fpm = case.fpm(pools(case, case.dir / "none"))
    assert ask(fpm).status == 503
    fpm.wait_line(r"application \S+/none cannot be started: execve \S+/none: No such file or direct")
    works(fpm)


def test_a_program_that_is_not_executable(case):
    fpm = case.fpm(pools(case, case.write("plain", "#!/bin/sh\n")))
    assert ask(fpm).status == 503
    fpm.wait_line(r"application \S+/plain cannot be started: execve \S+/plain: Permission denied")
    works(fpm)


def test_starts_that_fail_are_not_repeated_for_each_client(case):
    marks = case.folder("marks")
    script = case.script("fails", f"#!/bin/sh\necho x >>{marks}/starts\nexit 3\n")
    fpm = case.fpm(pools(case, script))
    fpm.wait_line("exited with status 3 before it was ready")
    for _ in range(50):
        assert ask(fpm).status == 503
    assert len((marks / "starts").read_text().split()) <= 4
    works(fpm)


def test_a_program_that_is_there_later_serves(case):
    fpm = case.fpm(pools(case, case.dir / "later"))
    assert ask(fpm).status == 503
    case.script("new", (case.dir / "raw.py").read_text()).rename(case.dir / "later")
    procs.wait_until(lambda: ask(fpm).status == 200, "it serves", 10)


def test_one_that_never_gets_ready_is_ended(case):
    script = case.script("never", "#!/bin/sh\nexec sleep 60\n")
    fpm = case.fpm(pools(case, script, "fastcgi.ready_timeout = 300ms\n" + ONE))
    assert ask(fpm).status == 503
    fpm.wait_line(r"was not ready 0\.3\d\d s after its start: .*nanosleep")
    works(fpm)
    fpm.stop()


def test_one_that_ends_when_it_is_ready_is_not_started_without_a_pause(case):
    fpm = case.fpm(pools(case, case.copy("raw.py"),
                         "env[END_AFTER_READY] = 1\npm.max_children = 2\n"))
    began = time.monotonic()
    line = "cannot be started: it exited with status 9 before its first request$"
    procs.wait_until(lambda: len(fpm.find(line)) >= 4, "it is tried again", 10)
    # Two workers, after 250 ms, 500 ms, 1 s.
    assert time.monotonic() - began > 0.6
    assert ask(fpm).status in (502, 503)
    works(fpm)


def test_a_worker_without_its_application_leaves_clients_to_the_others(case):
    program = case.dir / "program"
    case.copy("raw.py").rename(program)
    fpm = case.fpm(pools(case, program, "pm.max_children = 2\npm.status_path = /status\n"))
    procs.wait_until(lambda: idle(fpm) == 1, "one more is idle than is asked")
    pids = {ask(fpm).body for _ in range(8)}
    program.rename(case.dir / "elsewhere")
    os.kill(int(pids.pop().split()[1]), 9)
    fpm.wait_line("cannot be started: execve .*No such file")
    for _ in range(20):
        works(fpm, "www")
    assert len(fpm.workers()) == 4
    (case.dir / "elsewhere").rename(program)
    procs.wait_until(lambda: idle(fpm) == 1, "both serve again", 10)


def idle(fpm):
    """Idle workers, beside the one that is asked."""
    page = fastcgi.ask(fpm.address(), fastcgi.params_for("/status")).body.decode()
    return int(re.search(r"^idle processes:\s+(\d+)", page, re.M).group(1))


def test_a_client_does_not_wait_longer_for_a_start_than_its_request_may_take(case):
    program = case.script("slow", "#!/bin/sh\n[ -e {0}/once ] && sleep 1.5\ntouch {0}/once\n"
                          "exec {1}\n".format(case.folder("marks"), case.copy("raw.py")))
    fpm = case.fpm(pools(case, program, "request_terminate_timeout = 500ms\n" + ONE))
    first = ask(fpm).body
    os.kill(int(first.split()[1]), 9)
    answers = [ask(fpm)]
    while answers[-1].status != 200:
        assert answers[-1].status in (503, 504), answers[-1]
        answers.append(ask(fpm))
        assert len(answers) < 20
    # It was waited for, not started again and again.
    assert len(fpm.find("cannot be started")) == 0
    works(fpm)


# It does wrong in a request.

def test_one_that_speaks_rubbish(case):
    script = case.script("rubbish.py", "#!/usr/bin/env python3\nimport socket\n"
                         "s = socket.socket(fileno=0)\nwhile True:\n    c, _ = s.accept()\n"
                         "    c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n    c.close()\n")
    fpm = case.fpm(pools(case, script))
    assert ask(fpm, method="POST", body=b"x").status == 502
    fpm.wait_line(r"application \S+rubbish.py \(pid \d+\) (not a FastCGI record|closed the conn)")
    works(fpm)


def test_an_answer_for_another_id(case):
    fpm = raw(case)
    answer = ask(fpm, "other-id")
    assert answer.status == 502 and b"somebody else" not in answer.stdout, answer
    fpm.wait_line(r"\(pid \d+\) a record for another request")
    works(fpm, "www")


def test_a_connection_closed_in_the_middle_of_the_header(case):
    fpm = raw(case)
    assert ask(fpm, "half-header").status == 502
    fpm.wait_line(r"\(pid \d+\) closed the connection in the middle of its answer")
    works(fpm, "www")


def test_a_connection_closed_in_the_middle_of_a_record_or_without_an_end(case):
    fpm = raw(case)
    for query in ("half-record", "no-end"):
        answer = ask(fpm, query)
        assert answer.status == 200 and answer.app_status != 0, answer  # for the front to notice
        fpm.wait_line(rf"{query[:0]}closed the connection in the middle of its answer")
        works(fpm, "www")


def test_a_program_that_floods_stderr(case):
    fpm = raw(case)
    for query, line in (("flood", "flooded"), ("spill", "spilled")):
        with fastcgi.Connection(fpm.address()) as client:
            client.send(fastcgi.request(fastcgi.params_for("/x?" + query)))
            fpm.wait_line(f"said into stderr: \"{line}")
            began = time.monotonic()
            works(fpm)  # meanwhile
            assert time.monotonic() - began < 2
            assert client.read_answer().body == b"at last"
        works(fpm, "www")


def test_an_answer_without_end_is_ended_by_the_time_limit(case):
    fpm = raw(case, "request_terminate_timeout = 500ms\n" + ONE)
    try:
        answer = ask(fpm, "forever")
        assert answer.status == 200 and answer.app_status != 0 and len(answer.body) > 1000, answer
    except fastcgi.Closed:
        pass  # a slow client: in the middle of a record, which it notices as well
    fpm.wait_line(r"execution timed out \(0\.5\d+ sec\), terminating")
    works(fpm, "www")


def test_a_front_that_does_not_read_holds_no_memory(case):
    fpm = raw(case, "request_terminate_timeout = 2s\n" + ONE)
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?forever")))
        fpm.wait_line("whole body of 0")
        worker = next(pid for pid in fpm.workers() if "www" in procs.command_line(pid))
        time_out = time.monotonic() + 1
        most = 0
        while time.monotonic() < time_out:
            most = max(most, resident_kb(worker))
            procs.wait_until(lambda: True, "a moment")
        assert most < 40000 or case.sanitized, most
    works(fpm)


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))
