"""handler = fastcgi: existing FastCGI programs, each worker with a process of its own."""

import os
import re
import signal
import subprocess
import threading
import time

import fastcgi
import procs

POOL = ("handler = fastcgi\nfastcgi.command = {app}\nfastcgi.family = libfcgi\nping.path = /ping\n"
        "catch_workers_output = yes\n")
ONE = "pm.max_children = 1\n"


def application(case):
    """The program of app.c, compiled once for each case."""
    target = case.dir / "app"
    if not target.exists():
        subprocess.run(["cc", "-O1", "-o", target, case.source / "app.c", "-lfcgi"], check=True)
    return target


def start(case, lines="", **more):
    return case.fpm({"www": POOL.replace("{app}", str(application(case))) + lines, **more})


def ask(fpm, query="", method="GET", body=b""):
    return fastcgi.ask(fpm.address(), fastcgi.params_for("/x?" + query, method=method, body=body),
                       body)


def pid_of(answer):
    return int(answer.headers["x-pid"])


def test_each_worker_has_a_process_that_serves_request_after_request(case):
    fpm = start(case)
    answers = [ask(fpm) for _ in range(6)]
    assert all(answer.body == b"body 0\n" and answer.ended for answer in answers), answers
    assert len({pid_of(answer) for answer in answers}) <= 2
    assert sum(int(answer.headers["x-count"]) > 1 for answer in answers) >= 4
    fpm.stop()


def test_bodies_and_answers_of_5_mb(case):
    fpm = start(case)
    body = os.urandom(5 << 20)
    assert ask(fpm, method="POST", body=body).body == b"body %d\n" % len(body)
    answer = ask(fpm, f"print={5 << 20}")
    assert len(answer.body) == (5 << 20) + len(b"body 0\n")
    answer = ask(fpm, f"print={1 << 20}", "POST", body)
    assert answer.body.endswith(b"body %d\n" % len(body))


def test_a_process_that_dies_is_replaced_and_a_post_gets_502(case):
    fpm = start(case, ONE)
    first = pid_of(ask(fpm))
    answer = ask(fpm, "die", "POST", b"x")
    assert answer.status == 502 and str(case.dir) not in answer.body.decode(), answer
    fpm.wait_line("closed the connection without an answer|ended in the middle of the request")
    assert pid_of(ask(fpm)) != first
    assert len(fpm.workers()) == 1


def test_a_get_is_tried_once_more_and_then_no_more(case):
    fpm = start(case, ONE)
    assert ask(fpm, "die").status == 502
    fpm.wait_line("again before it answered")
    assert len(fpm.find("tried once more")) == 1
    assert ask(fpm).body == b"body 0\n"


def test_without_request_retry_it_is_not(case):
    fpm = start(case, "request_retry = no\n" + ONE)
    assert ask(fpm, "die").status == 502
    assert ask(fpm).body == b"body 0\n"
    assert not fpm.find("tried once more")


def test_an_idle_process_that_is_killed_is_started_again(case):
    fpm = start(case, ONE)
    first = pid_of(ask(fpm))
    os.kill(first, signal.SIGKILL)
    fpm.wait_line("while it was idle, it is started again")
    assert pid_of(ask(fpm)) != first


def test_a_cut_answer_is_told_to_the_front(case):
    fpm = start(case, ONE)
    answer = ask(fpm, "print=200000&cut")
    assert answer.app_status != 0, answer
    fpm.wait_line("in the middle of")
    assert ask(fpm).body == b"body 0\n"


def test_a_malformed_header_is_502(case):
    fpm = start(case, ONE)
    assert ask(fpm, "junk").status == 502
    fpm.wait_line("gave no proper header")
    assert ask(fpm).body == b"body 0\n"


def test_a_timeout_is_a_complete_504_and_the_process_is_ended(case):
    fpm = start(case, "request_terminate_timeout = 300ms\n" + ONE)
    first = pid_of(ask(fpm))
    answer = ask(fpm, "sleep_ms=20000")
    assert answer.status == 504 and answer.ended, answer
    fpm.wait_line(r"execution timed out \(0\.3\d+ sec\), terminating")
    procs.wait_gone(first)
    assert ask(fpm).body == b"body 0\n"


def test_the_slow_log_says_where_it_waits(case):
    slow = case.folder("slow") / "log"
    fpm = start(case, f"request_slowlog_timeout = 200ms\nslowlog = {slow}\n" + ONE)
    assert ask(fpm, "sleep_ms=600").ended
    text = slow.read_text()
    assert re.search(r"^\[.*\]  \[pool www\] pid \d+\nscript_filename = .*app\n", text, re.M), text
    assert "nanosleep" in text, text


def test_what_it_says_is_for_the_front(case):
    fpm = start(case)
    assert ask(fpm, "err").stderr == b"said something\n"


def test_a_slow_start_is_never_missed_in_a_reload(case):
    fpm = start(case, "env[START_DELAY_MS] = 1500\n")
    before = {pid_of(ask(fpm)) for _ in range(4)}
    over = len(fpm.find("ready to handle"))
    fpm.send(signal.SIGUSR2)
    took = []
    while len(fpm.find("ready to handle")) == over:
        began = time.monotonic()
        assert ask(fpm).body == b"body 0\n"
        took.append(time.monotonic() - began)
    assert len(took) > 10 and max(took) < 1, (len(took), max(took))
    procs.wait_until(lambda: pid_of(ask(fpm)) not in before, "the new processes serve")


def test_recycling_starts_the_successor_first(case):
    fpm = start(case, "env[START_DELAY_MS] = 400\npm.max_requests = 5\n" + ONE)
    seen, slowest = {pid_of(ask(fpm))}, 0
    end = time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < end:
        began = time.monotonic()
        seen.add(pid_of(ask(fpm, "sleep_ms=10")))
        slowest = max(slowest, time.monotonic() - began)
        assert len(fpm.workers()) <= 2
    assert len(seen) >= 3 and slowest < 0.35, (seen, slowest)


def test_a_process_counts_when_it_has_answered_its_warm_up(case):
    fpm = start(case, "fastcgi.warmup[QUERY_STRING] = sleep_ms=300\n" + ONE)
    assert int(ask(fpm).headers["x-count"]) == 2


def test_a_program_that_is_not_there_is_503_and_others_go_on(case):
    fpm = case.fpm({"www": POOL.replace("{app}", "/none/such"),
                    "other": POOL.replace("{app}", str(application(case)))})
    assert ask(fpm).status == 503
    fpm.wait_line(r"application /none/such cannot be started: .*No such file")
    assert fastcgi.ask(fpm.address("other"), fastcgi.params_for("/x")).body == b"body 0\n"


def test_one_that_never_gets_ready_is_ended(case):
    script = case.script("never", "#!/bin/sh\nexec sleep 60\n")
    fpm = case.fpm({"www": POOL.replace("{app}", str(script))
                    + "fastcgi.ready_timeout = 300ms\n" + ONE})
    assert ask(fpm).status == 503
    fpm.wait_line("did not accept a connection|was not ready")
    fpm.stop()


def test_one_that_speaks_rubbish_is_502(case):
    script = case.script("rubbish.py", "#!/usr/bin/env python3\nimport socket\n"
                         "s = socket.socket(fileno=0)\nwhile True:\n    c, _ = s.accept()\n"
                         "    c.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\n')\n    c.close()\n")
    fpm = case.fpm({"www": POOL.replace("{app}", str(script)) + ONE})
    assert ask(fpm).status == 502


def test_a_client_that_leaves_leaves_the_process_usable(case):
    fpm = start(case, ONE)
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?sleep_ms=300")))
    assert ask(fpm).body == b"body 0\n"


def test_the_process_cannot_be_reached_by_a_name(case):
    fpm = start(case)
    ask(fpm)
    with open("/proc/net/unix", encoding="ascii") as sockets:
        names = [line.split()[7] for line in sockets if len(line.split()) > 7]
    ours = [name for name in names if "fpm-application" in name]
    assert ours and not any(name.startswith("@") or os.path.exists(name) for name in ours), ours
    fpm.stop()


# What the worker relays besides.

def test_an_authorizer_is_not_waited_for_a_body(case):
    fpm = start(case, ONE)
    with fastcgi.Connection(fpm.address()) as client:
        params = fastcgi.stream(fastcgi.PARAMS, 1, fastcgi.pairs(fastcgi.params_for("/x")))
        client.send(fastcgi.begin(role=fastcgi.AUTHORIZER) + params)  # as mod_authnz_fcgi: no STDIN
        answer = client.read_answer()
    assert answer.status == 200 and answer.headers["variable-who"] == "somebody", answer


def test_a_filter_gets_both_streams(case):
    fpm = start(case, ONE)
    body, data = os.urandom(100000), os.urandom(300000)
    for sizes in ((body, data), (b"", data), (body, b"")):
        params = fastcgi.params_for("/x", FCGI_DATA_LAST_MOD=1, FCGI_DATA_LENGTH=len(sizes[1]))
        request = (fastcgi.request(params, sizes[0], role=fastcgi.FILTER)
                   + fastcgi.stream(fastcgi.DATA, 1, sizes[1]))
        with fastcgi.Connection(fpm.address()) as client:
            answer = fastcgi.send_while_reading(client, request)
        assert answer.body == b"body %d\ndata %d\n" % tuple(map(len, sizes)), answer


def test_a_client_that_leaves_is_told_to_the_application(case):
    fpm = start(case, ONE)
    first = pid_of(ask(fpm))
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?drip")))
        client.read_answer(until=lambda answer: b"xxx" in answer.body)
    fpm.wait_line("it has gone")
    assert pid_of(ask(fpm)) == first


def test_abort_request_is_told_to_the_application(case):
    fpm = start(case, ONE)
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?drip"), flags=fastcgi.KEEP_CONN))
        client.read_answer(until=lambda answer: b"xxx" in answer.body)
        client.send(fastcgi.record(fastcgi.ABORT_REQUEST))
        client.read_answer()
    fpm.wait_line("it has gone")


def test_with_request_on_abort_continue_it_goes_on(case):
    fpm = start(case, "request_on_abort = continue\n" + ONE)
    first = ask(fpm)
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?sleep_ms=200&print=500000")))
    answer = ask(fpm)
    assert pid_of(answer) == pid_of(first) and int(answer.headers["x-count"]) == 3, answer


def test_half_a_body_is_not_taken_for_the_whole(case):
    for lines in ("", "request_on_abort = continue\n"):
        program = case.source.parent / "fastcgi-bad" / "raw.py"
        script = case.script("raw.py", program.read_text())
        fpm = case.fpm({"www": POOL.replace("{app}", str(script)).replace("= libfcgi", "= generic")
                        + lines + ONE})
        with fastcgi.Connection(fpm.address()) as client:
            whole = fastcgi.request(fastcgi.params_for("/x", method="POST"), b"z" * 20000)
            client.send(whole[:-10000])
        assert ask(fpm).status == 200
        fpm.wait_line("whole body of 0")
        assert not fpm.find("whole body of [1-9]"), fpm.text
        fpm.wait_line("ABORT_REQUEST came")
        fpm.stop()
        os.rename(case.dir / "fpm.conf", case.dir / "fpm.conf.before")


def test_one_that_is_given_up_for_its_client_is_ended_at_the_time_limit(case):
    fpm = start(case, "request_terminate_timeout = 500ms\n" + ONE)
    first = pid_of(ask(fpm))
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(fastcgi.params_for("/x?sleep_ms=20000")))
    fpm.wait_line("execution timed out")
    assert pid_of(ask(fpm)) != first


def test_it_hears_of_a_stop_by_the_signal_of_its_family(case):
    for number in (signal.SIGTERM, signal.SIGQUIT):
        fpm = start(case)
        with fastcgi.Connection(fpm.address()) as one, fastcgi.Connection(fpm.address()) as two:
            for client in (one, two):  # both serve
                client.send(fastcgi.request(fastcgi.params_for("/x?sleep_ms=200")))
            assert one.read_answer().ended and two.read_answer().ended
        fpm.stop(number)
        assert len(fpm.find("ends in order")) == 2, fpm.text


def test_a_recycled_application_hears_of_it_too(case):
    fpm = start(case, "pm.max_requests = 3\n" + ONE)
    first = pid_of(ask(fpm))
    procs.wait_until(lambda: pid_of(ask(fpm)) != first, "another process")
    fpm.wait_line("ends in order")


def test_an_application_that_grows_too_large_is_replaced(case):
    fpm = start(case, "pm.max_memory = 100M\n" + ONE)
    first = pid_of(ask(fpm))
    # It is looked at once a second.
    procs.wait_until(lambda: pid_of(ask(fpm, "leak")) != first, "another process", 20)
    fpm.wait_line("is larger than pm.max_memory")


def test_an_application_is_replaced_when_it_is_old(case):
    fpm = start(case, "pm.max_worker_lifetime = 1s\nenv[START_DELAY_MS] = 300\n" + ONE)
    first, slowest = pid_of(ask(fpm)), 0
    end = time.monotonic() + 10
    while True:
        began = time.monotonic()
        other = pid_of(ask(fpm))
        slowest = max(slowest, time.monotonic() - began)
        if other != first:
            break
        assert time.monotonic() < end
    assert slowest < 0.25, slowest


def test_orphans_of_the_application_are_reaped(case):
    fpm = start(case, ONE)
    for _ in range(5):
        ask(fpm, "orphan")

    def zombies():
        ask(fpm)
        return [one for one in procs.processes() if one.parent in fpm.workers() and one.state == "Z"]
    procs.wait_until(lambda: not zombies(), "no zombie is left")
    procs.wait_until(lambda: len(procs.descendants(fpm.pid)) == 2, "worker and application")


def test_a_kept_connection_of_a_front_does_not_hold_the_application(case):
    fpm = start(case)
    with fastcgi.Connection(fpm.address()) as one, fastcgi.Connection(fpm.address()) as two:
        for client in (one, two):
            client.send(fastcgi.request(fastcgi.params_for("/x"), flags=fastcgi.KEEP_CONN))
            assert client.read_answer().body == b"body 0\n"
        began = time.monotonic()
        for _ in range(20):
            assert ask(fpm).body == b"body 0\n"
        assert time.monotonic() - began < 2


def test_all_ways_to_run_a_pool(case):
    modes = {"dynamic": "pm = dynamic\npm.start_servers = 1\npm.min_spare_servers = 1\n"
                        "pm.max_spare_servers = 2\n",
             "ondemand": "pm = ondemand\npm.process_idle_timeout = 500ms\n", "static": ""}
    pool = POOL.replace("{app}", str(application(case))) + "pm.max_children = 3\n"
    fpm = case.fpm({name: pool + lines for name, lines in modes.items()})
    for name in modes:
        threads = [threading.Thread(target=lambda name=name: served.append(
            fastcgi.ask(fpm.address(name), fastcgi.params_for("/x?sleep_ms=200")).body))
            for _ in range(3)]
        served = []
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert served == [b"body 0\n"] * 3, (name, served)
        assert time.monotonic() - began < 2 or case.sanitized
    procs.wait_until(lambda: not any("ondemand" in procs.command_line(pid) for pid in fpm.workers()),
                     "the idle ones of ondemand have gone")


# From one generation to the next.

def reload_and_watch(fpm, limit_s=20):
    """Most workers at once until the reload is over, while requests of 50 ms keep all of them busy."""
    wrong, over, most = [], threading.Event(), 0

    def load():
        while not over.is_set():
            answer = ask(fpm, "sleep_ms=50")
            if answer.body != b"body 0\n":
                wrong.append(answer)
    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    mark, end = fpm.mark(), time.monotonic() + limit_s
    fpm.send(signal.SIGUSR2)
    while not fpm.find("ready to handle|does not serve", mark) and time.monotonic() < end:
        most = max(most, len(fpm.workers()))
    over.set()
    for thread in threads:
        thread.join()
    assert not wrong and time.monotonic() < end, wrong[:2]
    return most


def test_a_reload_has_one_process_more_than_the_pool_may_have_at_most(case):
    dynamic = "pm = dynamic\npm.start_servers = 2\npm.min_spare_servers = 1\npm.max_spare_servers = 2\n"
    for mode in ("pm = static\n", dynamic):
        fpm = start(case, "pm.max_children = 4\nenv[START_DELAY_MS] = 300\n" + mode)
        assert ask(fpm).body == b"body 0\n"
        before, mark = set(fpm.workers()), fpm.mark()
        most = reload_and_watch(fpm)
        assert len(before) < most <= 5, (len(before), most)
        # It is over when as many serve as before: the old ones go one by one, not at the first new one.
        told = fpm.find("child .* started|ready to handle", mark)
        (over,) = [at for at, line in enumerate(told) if "ready to handle" in line]
        assert over >= len(before) - 1, told  # of the first one there is no such line
        procs.wait_until(lambda: not before & set(fpm.workers()), "the old ones have gone")
        fpm.stop()


def test_a_reload_where_process_max_leaves_no_room_gets_on(case):
    """Each new one has the place of an old one that went before."""
    dynamic = "pm = dynamic\npm.start_servers = 2\npm.min_spare_servers = 2\npm.max_spare_servers = 2\n"
    for lines in ("pm.max_children = 2\n", "pm.max_children = 4\n" + dynamic):
        lines = POOL.replace("{app}", str(application(case))) + "env[START_DELAY_MS] = 100\n" + lines
        fpm = case.fpm({"www": lines}, "process.max = 2")
        before = set(fpm.wait_workers(2))
        assert ask(fpm).body == b"body 0\n"
        assert reload_and_watch(fpm) <= 2
        procs.wait_until(lambda: not before & set(fpm.workers()) and len(fpm.workers()) == 2,
                         "two new ones in their place")
        fpm.stop()


def test_a_new_program_that_cannot_be_started_leaves_the_old_one_in_place(case):
    fpm = start(case, "pm.max_children = 3\n")
    before = pid_of(ask(fpm))
    text = fpm.config.read_text()
    fpm.config.write_text(text.replace(str(case.dir / "app"), "/none/such"))
    reload_and_watch(fpm)
    fpm.wait_line("the new generation does not serve.*the old one goes on")
    procs.wait_until(lambda: len(fpm.workers()) == 3, "all old ones are there")
    assert before in {pid_of(ask(fpm)) for _ in range(30)}
    fpm.config.write_text(text)
    reload_and_watch(fpm)
    fpm.stop()
