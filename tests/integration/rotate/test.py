"""Logs that are renamed while clients are served, and the line of a request that was lost."""

import json
import os
import signal
import threading

import fastcgi
import procs
from fastcgi import KEEP_CONN, Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

POOL = ("cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nping.path = /ping\npm.max_children = 3\n"
        "access.log = {dir}/access.log\naccess.format = json\n")


class Pings:
    """Steady pings; each carries its number, so that its line can be looked for."""

    def __init__(self, address):
        self._address = address
        self._over = threading.Event()
        self.answered, self.wrong = 0, []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self):
        while not self._over.is_set():
            try:
                fastcgi.ping(self._address, f"/ping?{self.answered}")
                self.answered += 1
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(repr(error))
                return

    def wait_for_more(self, count):
        goal = self.answered + count
        procs.wait_until(lambda: self.answered >= goal or self.wrong, "more pings", 20)

    def stop(self):
        self._over.set()
        self._thread.join(30)
        assert not self.wrong, self.wrong


def numbers(file):
    """The numbers of the pings in an access log."""
    return [int(line["query"].lstrip("?")) for line in access_lines(file) if line["query"]]


def access_lines(file):
    if not os.path.exists(file):
        return []
    with open(file, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def holders(fpm, file):
    """Which processes of fpm have the file open."""
    found = []
    for pid in [fpm.pid, *fpm.workers()]:
        try:
            if str(file) in procs.open_files(pid).values():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def rotates(case, number):
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    pings = Pings(fpm.address())
    try:
        pings.wait_for_more(50)
        workers = fpm.workers()
        os.rename(log, f"{log}.1")
        pings.wait_for_more(50)  # they go to the renamed file
        assert not log.exists()
        fpm.send(number)
        procs.wait_until(lambda: not holders(fpm, f"{log}.1"), "nobody holds the old file", 1)
        fpm.wait_line(r"NOTICE: error log file re-opened")
        fpm.wait_line(r"NOTICE: access log file re-opened")
        pings.wait_for_more(50)
    finally:
        pings.stop()
    assert fpm.workers() == workers, "workers were replaced"
    procs.wait_until(lambda: len(numbers(f"{log}.1"))
                     + len(numbers(log)) >= pings.answered, "a line for each ping")
    old, new = numbers(f"{log}.1"), numbers(log)
    assert sorted(old + new) == list(range(pings.answered)), "a line is lost, or there twice"
    assert len(old) >= 100 and len(new) >= 50
    fpm.stop()


def test_USR1_gives_every_worker_the_new_access_log(case):
    rotates(case, signal.SIGUSR1)


def test_HUP_does_the_same(case):
    rotates(case, signal.SIGHUP)


def test_workers_without_a_client_let_go_of_the_old_files(case):
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    workers = fpm.workers()
    with Connection(fpm.address()) as kept:
        kept.send(request(params_for("/ping?0"), flags=KEEP_CONN))
        assert kept.read_answer().body == b"pong"
        # The line follows the answer: after a USR1 in between it would be in the next file.
        procs.wait_until(lambda: numbers(log) == [0], "the line of the first ping")
        for turn in range(3):
            os.rename(log, f"{log}.{turn}")
            fpm.send(signal.SIGUSR1)
            procs.wait_until(lambda turn=turn: not holders(fpm, f"{log}.{turn}"),
                             "nobody holds the old file", 1)
        kept.send(request(params_for("/ping?1"), flags=KEEP_CONN))
        assert kept.read_answer().body == b"pong", "a rotation ended an idle kept connection"
    procs.wait_until(lambda: numbers(log) == [1], "its line in the newest file")
    assert numbers(f"{log}.0") == [0]
    assert fpm.workers() == workers
    fpm.stop()


def test_a_worker_in_a_request_takes_the_new_file_with_its_line(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        worker = procs.process(pid_in(client.read_answer(until=first_line_read))).parent
        os.rename(log, f"{log}.1")
        fpm.send(signal.SIGUSR1)
        fpm.wait_line(r"access log file re-opened")
        gate.open()
        assert client.read_answer().app_status == 0
    lines = procs.wait_until(lambda: access_lines(log), "the line is in the new file")
    assert [line["uri"] for line in lines] == ["/wait"] and lines[0]["pid"] == worker, lines
    assert access_lines(f"{log}.1") == []
    assert worker not in holders(fpm, f"{log}.1")
    assert worker in fpm.workers()
    fpm.stop()


def test_one_rotation_after_the_other(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 1"})
    log = case.dir / "access.log"
    for turn in range(3):
        fastcgi.ping(fpm.address(), f"/ping?{turn}")
        procs.wait_until(lambda: numbers(log), "its line")
        os.rename(log, f"{log}.{turn}")
        mark = fpm.mark()
        fpm.send(signal.SIGUSR1)
        fpm.wait_line(r"access log file re-opened", after=mark)
    fastcgi.ping(fpm.address(), "/ping?3")
    procs.wait_until(lambda: numbers(log) == [3], "the last line")
    for turn in range(3):
        assert numbers(f"{log}.{turn}") == [turn]
    fpm.stop()


def test_a_log_that_cannot_be_made_anew_goes_on_in_the_old_file(case):
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    fastcgi.ping(fpm.address(), "/ping?0")
    os.rename(log, f"{log}.1")
    log.mkdir()  # in its place
    fpm.send(signal.SIGUSR1)
    fpm.wait_line(rf"ERROR: \[pool www\] failed to reopen access log \({log}\)")
    for number in range(1, 7):
        fastcgi.ping(fpm.address(), f"/ping?{number}")
    procs.wait_until(lambda: len(numbers(f"{log}.1")) == 7, "lines in the old file")
    assert not fpm.find("access log file re-opened")
    log.rmdir()
    fpm.send(signal.SIGUSR1)
    fpm.wait_line("access log file re-opened")
    procs.wait_until(lambda: not holders(fpm, f"{log}.1"), "nobody holds the old file", 1)
    fastcgi.ping(fpm.address(), "/ping?7")
    procs.wait_until(lambda: numbers(log) == [7], "a line in the new file")
    fpm.stop()


def test_the_line_of_a_killed_workers_request_is_written_all_the_same(case):
    script = case.script("cgi/wait", WAITING_SCRIPT)
    Gate(case)  # never opened
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait?a=b", script, REMOTE_USER="jane")))
        worker = procs.process(pid_in(client.read_answer(until=first_line_read))).parent
        os.kill(worker, signal.SIGKILL)
        assert client.at_end()
    (line,) = procs.wait_until(lambda: access_lines(log), "a line")
    assert (line["end"], line["pid"], line["method"]) == ("worker died", worker, "GET"), line
    assert (line["uri"], line["query"].lstrip("?"), line["user"]) == ("/wait", "a=b", "jane"), line
    assert line["script"] == str(script), line
    fpm.stop()


def test_an_idle_workers_end_writes_no_line(case):
    fpm = case.fpm({"www": POOL})
    log = case.dir / "access.log"
    fastcgi.ping(fpm.address(), "/ping?0")
    procs.wait_until(lambda: numbers(log) == [0], "the ping's line")
    before = fpm.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    procs.wait_until(lambda: len(set(fpm.workers()) - set(before)) == 3, "new workers")
    assert numbers(log) == [0]
    assert len(access_lines(log)) == 1
    fpm.stop()


def complained(file):
    """How many lines of a log tell of a client that speaks HTTP; workers write them."""
    with open(file, encoding="utf-8") as lines:
        return sum("speaks HTTP" in line for line in lines)


def speak_http(fpm):
    with Connection(fpm.address()) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        client.read_all()


def test_the_log_itself_is_made_anew_for_master_and_workers(case):
    # Without -O the log is the file.
    fpm = case.fpm({"www": POOL}, wrapper=("sh", "-c", 'exec "$0" -F -y "$4"'))
    log = case.dir / "error.log"
    speak_http(fpm)
    procs.wait_until(lambda: complained(log) == 1, "a worker's line")
    assert fpm.pid in holders(fpm, log)
    workers = fpm.workers()
    for number in (signal.SIGUSR1, signal.SIGHUP):
        old = f"{log}.{number}"
        os.rename(log, old)
        fpm.send(number)
        procs.wait_until(lambda old=old: log.exists() and not holders(fpm, old),
                         "nobody holds the old file", 1)
        for _ in range(4):
            speak_http(fpm)
        procs.wait_until(lambda: complained(log) == 4, "workers' lines in the new file")
        procs.wait_until(lambda: "error log file re-opened" in log.read_text(), "the master's")
    assert complained(f"{log}.{signal.SIGUSR1}") == 1
    assert fpm.workers() == workers
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit() == 0
    assert "exiting, bye-bye!" in log.read_text()
