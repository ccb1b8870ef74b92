"""A worker killed with -9 takes only its own request along, and is replaced."""

import os
import signal
import threading

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

POOL = "cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nping.path = /ping\npm.max_children = 3\n"


class Load:
    """Requests from some threads until told to stop; every answer must be right."""

    def __init__(self, address, params, threads=3):
        self._address, self._params = address, params
        self._over = threading.Event()
        self.answered, self.wrong = 0, []
        self._lock = threading.Lock()
        self._enough = threading.Condition(self._lock)
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while not self._over.is_set():
            try:
                body = fastcgi.ask(self._address, self._params).body
                wrong = None if body == b"hello" else f"answer {body!r}"
            except Exception as error:  # pylint: disable=broad-except
                wrong = repr(error)
            with self._lock:
                self.answered += 1
                if wrong:
                    self.wrong.append(wrong)
                self._enough.notify_all()

    def wait_for_more(self, count, limit_s=30):
        with self._enough:
            goal = self.answered + count
            if not self._enough.wait_for(lambda: self.answered >= goal, limit_s):
                raise AssertionError("no more answers come")

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        return self.wrong


def test_under_load_only_its_own_request_is_lost(case):
    waiting = case.script("cgi/wait", WAITING_SCRIPT)
    hello = case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n")
    Gate(case)  # never opened
    fpm = case.fpm({"www": POOL})
    before = fpm.workers()
    load = Load(fpm.address(), params_for("/hello", hello))
    try:
        with Connection(fpm.address()) as client:
            client.send(request(params_for("/wait", waiting)))
            script = procs.process(pid_in(client.read_answer(until=first_line_read)))
            worker = script.parent
            assert worker in before, f"{worker} is no worker of {before}"
            load.wait_for_more(20)
            mark = fpm.mark()
            os.kill(worker, signal.SIGKILL)
            assert client.at_end(), "the request of the killed worker goes on"
            procs.wait_gone(script.pid)
            load.wait_for_more(50)
    finally:
        wrong = load.stop()
    assert not wrong, f"{len(wrong)} other requests were lost: {wrong[:3]}"

    fpm.wait_line(rf"\[pool www\] child {worker} exited on signal 9 \(SIGKILL\) after "
                  r"\d+\.\d+ seconds from start", after=mark)
    assert fpm.find("/wait", after=mark), "the log does not name the lost request"
    after = fpm.wait_workers(3)
    assert set(before) - {worker} < set(after), "other workers were replaced too"
    for _ in range(6):
        fastcgi.ping(fpm.address())
    fpm.stop()


def test_idle_workers_killed_all_at_once_come_back(case):
    fpm = case.fpm({"www": POOL})
    before = set(fpm.workers())
    assert len(before) == 3
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    procs.wait_until(lambda: len(set(fpm.workers()) - before) == 3, "three new workers")
    fastcgi.ping(fpm.address())
    fpm.stop()
