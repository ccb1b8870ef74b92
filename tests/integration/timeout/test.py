"""request_terminate_timeout: a whole 504 at the limit, and nothing of the script left."""

import concurrent.futures
import os
import re
import signal
import time

import fastcgi
import procs
from case import needs_root, plain_only
from fastcgi import Connection, begin, pairs, params_for, record, request, stream
from fpm import SERVICE_USER, is_root

LIMIT_S = 1.0
POOL = ("cgi.root = {dir}/cgi\nrequest_terminate_timeout = 1s\nenv[OUT] = {dir}/out\n"
        "ping.path = /ping\n")
# Ignores TERM, and so do its children.
STUBBORN = """\
#!/bin/sh
trap '' TERM
sleep 1000 &
echo $$ $! >"$OUT/part"
mv "$OUT/part" "$OUT/pids"
sleep 1000
"""
MEEK = """\
#!/bin/sh
sleep 1000 &
echo $$ $! >"$OUT/part"
mv "$OUT/part" "$OUT/pids"
wait
"""


def start(case, text):
    """(fpm, the script): a pool that has just answered."""
    script = case.script("cgi/slow", text)
    case.folder("out")
    fpm = case.fpm({"www": POOL})
    fastcgi.ping(fpm.address())
    return fpm, script


def overrun(case, fpm, script):
    """(answer, seconds from the request to END_REQUEST); checks what must hold at that moment."""
    begin = time.monotonic()  # not after connect(2): fpm may already count then
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/slow", script)))
        answer = client.read_answer()
        pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
        assert client.at_end(), "the connection did not end"
    for pid in pids:
        procs.wait_gone(pid)
    procs.wait_until(lambda: not procs.group(pids[0]), "nothing of the script's group is left")
    return answer, answer.end_time - begin


def check_504(answer):
    assert answer.status == 504, answer
    assert answer.headers["status"] == "504 Gateway Timeout", answer
    assert "content-type" in answer.headers and answer.body.strip(), "a page for the visitor"
    length = answer.headers.get("content-length")
    assert length is None or int(length) == len(answer.body)
    assert answer.protocol_status == fastcgi.REQUEST_COMPLETE


def test_a_script_with_a_child_gets_a_whole_504(case):
    fpm, script = start(case, MEEK)
    answer, seconds = overrun(case, fpm, script)
    check_504(answer)
    assert seconds >= LIMIT_S
    line = fpm.wait_line(r"WARNING: \[pool www\] .*/slow.*").group(0)
    assert "1." in line, f"the log line does not say for how long: {line}"
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_one_that_ignores_TERM_too(case):
    fpm, script = start(case, STUBBORN)
    answer, seconds = overrun(case, fpm, script)
    check_504(answer)
    assert seconds >= LIMIT_S
    fpm.stop()


def check_time(case, text):
    """Three tries, because others may use this machine: none too early, one within 50 ms."""
    fpm, script = start(case, text)
    seconds = [overrun(case, fpm, script)[1] for _ in range(3)]
    assert min(seconds) >= LIMIT_S, f"too early: {seconds}"
    assert min(seconds) <= LIMIT_S + 0.050, f"too late: {seconds}"
    fpm.stop()


@plain_only
def test_the_504_comes_at_the_limit_and_within_50_ms(case):
    check_time(case, MEEK)


@plain_only
def test_so_it_does_when_TERM_is_ignored(case):
    check_time(case, STUBBORN)


def test_an_answer_that_was_begun_is_marked_as_cut(case):
    # No second status can follow; the front notices a missing rest by appStatus or by the end.
    script = case.script("cgi/half", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "echo half\nsleep 1000\n")
    fpm = case.fpm({"www": POOL})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/half", script), flags=fastcgi.KEEP_CONN))
        try:
            answer = client.read_answer()
            assert answer.body == b"half\n" and b"504" not in answer.stdout, answer
            assert answer.app_status != 0, answer
        except (fastcgi.Closed, ConnectionError):
            pass
        assert client.at_end(), "kept a connection with half an answer"
    fastcgi.ping(fpm.address())
    fpm.stop()


TERMINATING = (r"WARNING: \[pool www\] child (\d+), script '(\S+)' \(request: \"(.*)\"\) "
               r"execution timed out \((\d+\.\d{6}) sec\), terminating")


def late_by(fpm, limit_s, count=1):
    """Seconds by which the worker's own clock was over the limit, in each terminating line."""
    procs.wait_until(lambda: len(fpm.find(TERMINATING)) >= count, f"{count} lines")
    return [float(re.search(TERMINATING, line).group(4)) - limit_s
            for line in fpm.find(TERMINATING)]


def test_the_log_says_it_in_php_fpms_words_and_where_the_script_was_stuck(case):
    fpm, script = start(case, MEEK)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/slow?a=1", script)))
        check_504(client.read_answer())
    line = fpm.wait_line(TERMINATING)
    assert int(line.group(1)) in fpm.workers()
    assert line.group(2, 3) == (str(script), "GET /slow?a=1")
    shell, child = (case.dir / "out/pids").read_text().split()
    where = fpm.wait_line(rf"WARNING: .*script {script} \(pid {shell}\) is terminated: (.*)").group(1)
    assert f"pid {shell} (slow) waits" in where and f"its child pid {child} (sleep)" in where
    assert f"(system call rt_sigsuspend): /bin/sh {script}; " in where, where
    assert where.endswith("(system call clock_nanosleep): sleep 1000"), where
    fpm.stop()


# A program that no other process of its user may look into, as ssh-agent and gpg-agent are.
HIDDEN = """\
#!/usr/bin/python3
import ctypes, os, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
with open(os.environ["OUT"] + "/hidden", "w") as out:
    out.write("yes")
time.sleep(1000)
"""


def test_the_log_says_so_where_it_may_not_look(case):
    case.folder("out")
    script = case.script("cgi/hidden", HIDDEN)
    fpm = case.fpm({"www": POOL.replace("= 1s", "= 3s")}, as_user=SERVICE_USER if is_root() else None)
    check_504(fastcgi.ask(fpm.address(), params_for("/hidden", script), limit_s=20))
    assert (case.dir / "out/hidden").exists()
    where = fpm.wait_line(rf"script {script} \(pid \d+\) is terminated: (.*)").group(1)
    assert re.search(r"waits where it may not be read|its system call may not be read", where), where
    fpm.stop()


@plain_only
def test_limits_are_held_within_20_ms(case):
    """By the worker's clock: what the machine does to the client's is not ours."""
    case.folder("out")
    script = case.script("cgi/slow", "#!/bin/sh\nexec sleep 1000\n")
    for limit in (300, 500, 1000):
        fpm = case.fpm({"www": f"cgi.root = {{dir}}/cgi\nrequest_terminate_timeout = {limit}ms"})
        for _ in range(3):
            check_504(fastcgi.ask(fpm.address(), params_for("/slow", script)))
        late = late_by(fpm, limit / 1000, 3)
        assert min(late) >= 0, f"before the limit of {limit} ms: {late}"
        assert sorted(late)[1] <= 0.020, f"limit {limit} ms, late by {late} s"
        fpm.stop()


@plain_only
def test_200_time_out_together(case):
    case.folder("out")
    script = case.script("cgi/slow", "#!/bin/sh\nexec sleep 1000\n")
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\nrequest_terminate_timeout = 4s\n"
                           "pm.max_children = 200\nlisten.backlog = 1024"})
    fpm.wait_workers(200, 20)

    def one(_):
        return fastcgi.ask(fpm.address(), params_for("/slow", script), limit_s=20)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(one, range(200)))
    for answer in answers:
        check_504(answer)
    late = sorted(late_by(fpm, 4, 200))
    assert len(late) == 200 and late[0] >= 0, late[:3]
    # Two processors shared by 400 processes: most of them in time, none far off.
    assert late[100] <= 0.020, f"median {late[100]} s, worst {late[-1]} s"
    assert late[-1] <= 0.200, f"worst {late[-1]} s"
    assert not fpm.find("did not end that request by itself")
    fpm.stop()


def test_an_endless_loop_ends_like_a_sleep(case):
    script = case.script("cgi/loop", "#!/bin/sh\nwhile :; do :; done\n")
    fpm = case.fpm({"www": POOL})
    check_504(fastcgi.ask(fpm.address(), params_for("/loop", script)))
    fpm.wait_line(r"script \S+ \(pid \d+\) is terminated: pid \d+ \(loop\) is running|may not be")
    procs.wait_until(lambda: not procs.children(fpm.workers()[0])
                     and not procs.children(fpm.workers()[1]), "no script is left")
    fpm.stop()


def test_a_stubborn_script_is_killed_after_the_grace_and_its_client_does_not_wait(case):
    case.folder("out")
    script = case.script("cgi/slow", STUBBORN)
    fpm = case.fpm({"www": POOL + "request_terminate_grace = 700ms\n"})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/slow", script)))
        check_504(client.read_answer())
        answered = time.monotonic()
        assert client.at_end()
    pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
    assert all(procs.alive(pid) for pid in pids), "KILL came with the answer"
    for pid in pids:
        procs.wait_gone(pid)
    took = time.monotonic() - answered
    assert 0.4 < took < 4, f"the script was killed {took} s after the answer"
    fpm.stop()


def test_a_worker_that_ends_a_script_counts_as_busy_until_that_is_gone(case):
    case.folder("out")
    script = case.script("cgi/slow", STUBBORN)
    fpm = case.fpm({"www": POOL + "pm.status_path = /status\nrequest_terminate_grace = 30s\n"})
    check_504(fastcgi.ask(fpm.address(), params_for("/slow", script)))

    def page():
        return fastcgi.ask(fpm.address(), params_for("/status?full")).body.decode()
    # The client has its answer a moment before the worker says that it goes on.
    procs.wait_until(lambda: re.search(r"^state: +Finishing$", page(), re.M), "it finishes")
    assert re.search(r"^active processes: +2$", page(), re.M), page()
    # TERM: the master's patience with workers is a second, so scripts have less than that.
    fpm.stop()


def test_nginx_notices_an_answer_that_was_cut(case):
    script = case.script("cgi/half", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n"
                         "Content-Length: 100\\r\\n\\r\\nx'\nexec sleep 1000\n")
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_buffering off;
      fastcgi_pass {fpm.nginx_address()}; }}""")
    response = nginx.open("GET", "/half")
    try:
        body = response.read()
        raise AssertionError(f"taken for whole: {body!r}")
    except Exception as error:  # pylint: disable=broad-except
        assert type(error).__name__ == "IncompleteRead", error
    nginx.wait_line("upstream prematurely closed")
    fpm.stop()


# --- Clients that stand still ------------------------------------------------------------------


def test_a_client_that_stops_in_its_body_gets_408(case):
    case.folder("out")
    script = case.script("cgi/body", "#!/bin/sh\necho $$ >\"$OUT/pid\"\ncat >/dev/null\n")
    fpm = case.fpm({"www": POOL + "request_body_timeout = 500ms\n"})
    with Connection(fpm.address()) as client:
        client.send(begin() + stream(fastcgi.PARAMS, 1, pairs(params_for(
            "/body", script, "POST", b"x" * 100))) + record(fastcgi.STDIN, 1, b"x" * 50))
        began = time.monotonic()
        answer = client.read_answer()
        took = time.monotonic() - began
        assert answer.status == 408 and answer.body.strip(), answer
        assert answer.protocol_status == fastcgi.REQUEST_COMPLETE
        assert took >= 0.499, f"after {took} s"
        assert client.at_end()
    fpm.wait_line(r"WARNING: \[pool www\] request \"POST /body\": its client sent nothing of the rest")
    procs.wait_gone(int((case.dir / "out/pid").read_text()))
    assert not fpm.find("execution timed out")
    fpm.stop()


def test_a_slow_body_that_moves_is_not_cut(case):
    case.folder("out")
    script = case.script("cgi/body", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "while read -r line; do echo $line >>\"$OUT/lines\"; done\n"
                         "cat \"$OUT/lines\"\n")
    fpm = case.fpm({"www": POOL.replace("1s", "30s") + "request_body_timeout = 600ms\n"})
    with Connection(fpm.address()) as client:
        client.send(begin() + stream(fastcgi.PARAMS, 1, pairs(params_for(
            "/body", script, "POST", b"12345678"))))
        began, pieces = time.monotonic(), 0
        while time.monotonic() - began < 1.2:  # twice the limit, never standing still so long
            pieces += 1
            client.send(record(fastcgi.STDIN, 1, b"%d\n" % pieces))
            procs.wait_until(lambda: (case.dir / "out/lines").exists() and
                             str(pieces) in (case.dir / "out/lines").read_text().split(),
                             f"piece {pieces}")
        client.send(record(fastcgi.STDIN, 1))
        answer = client.read_answer()
        assert answer.status == 200, answer
        assert len(answer.body.split()) == pieces
    fpm.stop()


# --- Connections that are kept -----------------------------------------------------------------


def wait_accepting(fpm):
    """A connection is kept while another worker accepts."""
    procs.wait_until(lambda: len(fpm.workers()) == 2 and all(
        procs.process(worker).state == "S" for worker in fpm.workers()), "both workers wait")


def ping_kept(client):
    client.send(request(params_for("/ping"), flags=fastcgi.KEEP_CONN))
    assert client.read_answer().body == b"pong"


def test_a_kept_connection_idle_for_longer_than_the_limits_of_requests_lives(case):
    fpm = case.fpm({"www": "cgi.root = {dir}\nping.path = /ping\nrequest_terminate_timeout = 300ms\n"
                           "request_header_timeout = 300ms\nrequest_body_timeout = 300ms\n"})
    wait_accepting(fpm)
    with Connection(fpm.address()) as client:
        ping_kept(client)
        workers = fpm.workers()
        client.socket.settimeout(1.5)
        assert not client.at_end(), "closed"
        client.socket.settimeout(10)
        ping_kept(client)
    assert fpm.workers() == workers
    assert not fpm.find("timed out|killed|no complete request")
    fpm.stop()


def test_an_idle_kept_connection_is_closed_after_keepalive_timeout(case):
    fpm = case.fpm({"www": "cgi.root = {dir}\nping.path = /ping\nkeepalive_timeout = 700ms\n"})
    wait_accepting(fpm)
    with Connection(fpm.address()) as client:
        for _ in range(2):
            ping_kept(client)
            idle_since = time.monotonic()
        assert client.at_end(), "still open"
        took = time.monotonic() - idle_since
    assert 0.65 <= took <= 3, f"closed after {took} s"
    fastcgi.ping(fpm.address())
    assert not fpm.find("WARNING"), "an idle connection that ends is no news"
    fpm.stop()


# --- Workers that do not react -----------------------------------------------------------------


def stop_worker_of(case, fpm, client, script, flags=0):
    """Begins a request, and stops its worker while the script runs: (worker, pids of the script)."""
    client.send(request(params_for("/slow", script), flags=flags))
    procs.wait_until((case.dir / "out/pids").exists, "the script runs")
    pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
    worker = procs.process(pids[0]).parent
    os.kill(worker, signal.SIGSTOP)
    return worker, pids


@needs_root
def test_the_master_answers_for_a_worker_that_does_not(case):
    case.folder("out")
    script = case.script("cgi/slow", MEEK)
    fpm = case.fpm({"www": POOL + "access.log = {dir}/access.log\n"
                           "pm.status_path = /status\n"})
    fastcgi.ping(fpm.address())
    began = time.monotonic()
    with Connection(fpm.address()) as client:
        worker, pids = stop_worker_of(case, fpm, client, script)
        answer = client.read_answer()
        took = time.monotonic() - began
        check_504(answer)
        assert client.at_end()
    assert 1.1 <= took < 5, f"the answer came after {took} s"
    for pid in [worker, *pids]:
        procs.wait_gone(pid)
    line = fpm.wait_line(TERMINATING)
    assert line.group(1, 3) == (str(worker), "GET /slow")
    fpm.wait_line(rf"child {worker} did not end that request by itself and is killed, its client "
                  r"got 504 from the master: pid \d+ \(fpm\)")
    fpm.wait_line(rf"child {worker} exited on signal 9 \(SIGKILL\)")
    procs.wait_until(lambda: '"GET /slow" 504' in (case.dir / "access.log").read_text(),
                     "its line in the access log")
    fpm.wait_workers(2)
    fastcgi.ping(fpm.address())
    fpm.stop()


@needs_root
def test_the_masters_504_goes_through_nginx(case):
    case.folder("out")
    script = case.script("cgi/slow", MEEK)
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass {fpm.nginx_address()}; }}""")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(nginx.get, "/slow")
        procs.wait_until((case.dir / "out/pids").exists, "the script runs")
        pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
        os.kill(procs.process(pids[0]).parent, signal.SIGSTOP)
        status, _, body = asked.result()
    assert status == 504 and b"took too long" in body, (status, body)
    assert not nginx.find("prematurely|reset by peer")
    for pid in pids:
        procs.wait_gone(pid)
    fpm.stop()


@needs_root
def test_the_master_adds_nothing_to_an_answer_that_was_begun(case):
    case.folder("out")
    script = case.script("cgi/half", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nhalf'\n"
                         + MEEK.partition("\n")[2])
    fpm = case.fpm({"www": POOL})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/half", script)))
        first = client.read_record()
        assert first[0] == fastcgi.STDOUT, first
        procs.wait_until((case.dir / "out/pids").exists, "the script runs")
        pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
        os.kill(procs.process(pids[0]).parent, signal.SIGSTOP)
        rest, _ = client.read_all()
    assert b"504" not in rest, rest
    fpm.wait_line("is killed, its answer was begun, its client gets no more")
    for pid in pids:
        procs.wait_gone(pid)
    fpm.stop()


@needs_root
def test_where_the_master_may_not_answer_the_log_says_that_the_client_got_a_reset(case):
    case.folder("out")
    script = case.script("cgi/slow", MEEK)
    fpm = case.fpm({"www": POOL}, wrapper=("setpriv", "--bounding-set=-sys_ptrace"))
    with Connection(fpm.address()) as client:
        worker, pids = stop_worker_of(case, fpm, client, script)
        data, _ = client.read_all()
    assert data == b"", data
    fpm.wait_line(rf"child {worker} did not end that request by itself and is killed, its client "
                  r"gets a reset instead of 504 \(pidfd_getfd: Operation not permitted")
    for pid in [worker, *pids]:
        procs.wait_gone(pid)
    fpm.stop()


@needs_root
def test_a_request_that_ended_in_time_is_not_hit(case):
    """Its worker is stopped in accept: no time of the request before counts."""
    fpm = case.fpm({"www": POOL + "pm.max_children = 1\n"})
    fastcgi.ping(fpm.address())
    (worker,) = fpm.workers()
    procs.wait_until(lambda: procs.process(worker).state == "S", "the worker waits")
    os.kill(worker, signal.SIGSTOP)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/ping")))
        client.socket.settimeout(2.0)
        assert not client.at_end()
        os.kill(worker, signal.SIGCONT)
        client.socket.settimeout(10)
        assert client.read_answer().body == b"pong"
    assert fpm.workers() == [worker]
    assert not fpm.find("timed out|killed")
    fpm.stop()


# --- What goes on after the answer -------------------------------------------------------------


def test_with_track_finished_children_in_the_background_have_the_requests_time(case):
    case.folder("out")
    script = case.script("cgi/leave", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nok'\n"
                         "sleep 1000 >/dev/null 2>&1 &\necho $! >\"$OUT/pid\"\n")
    for track in ("yes", "no"):
        fpm = case.fpm({"www": POOL + f"request_terminate_timeout_track_finished = {track}\n"})
        assert fastcgi.ask(fpm.address(), params_for("/leave", script)).body == b"ok"
        pid = int((case.dir / "out/pid").read_text())
        assert procs.alive(pid)
        if track == "yes":
            procs.wait_gone(pid)
            fpm.wait_line(TERMINATING)
            fpm.wait_line(rf"what script {script} left in the background is terminated")
        else:
            fastcgi.ping(fpm.address())
            assert procs.alive(pid)
            procs.end(pid)
        fpm.stop()


def test_nginx_hands_the_504_to_the_browser(case):
    case.folder("out")
    script = case.script("cgi/slow", MEEK)
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass {fpm.nginx_address()}; }}""")
    status, _, body = nginx.get("/slow")
    assert status == 504 and body.strip()
    assert b"nginx" not in body, "that is nginx's own page"
    assert not nginx.find("prematurely|upstream timed out")
    fpm.stop()
