"""A crowd of slow clients, what the status says meanwhile, and how fast others are answered."""

import json
import statistics
import subprocess
import sys
import threading

import procs
from reporter import Http

REQUESTS = 200
ROUNDS = 3


class Watch:
    """Looks at the pool's status again and again, as a monitor would."""

    def __init__(self, port):
        self.port = port
        self.seen = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def active(self):
        answer = Http(("127.0.0.1", self.port)).get("/status/web?json", close=True)
        return json.loads(answer.body)["active processes"]

    def _look(self):
        while not self._over.wait(0.05):
            self.seen.append(self.active())


class SlowClients:
    def __init__(self, case, door, count):
        self.process = subprocess.Popen(
            [sys.executable, "-B", case.source / "slow.py", str(door.port), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        case.defer(self.process.kill)
        self.door = door.pid()
        assert self.process.stdout.readline() == "ready\n"
        procs.wait_until(lambda: len(procs.open_files(self.door)) > 2 * count,
                         "all connections are accepted", 20)

    def end(self):
        """(lost, sent)"""
        said, _ = self.process.communicate("", 20)
        lost, sent = (int(word.split()[0]) for word in said.split(","))
        procs.wait_until(lambda: len(procs.open_files(self.door)) < 100, "they are all closed", 20)
        return lost, sent


def bench(case, door, path):
    """p99 in microseconds of 200 ordinary requests, all answered."""
    done = subprocess.run([case.build / "tools" / "fcgi-bench", "--http", "--json", "-n", str(REQUESTS), "-c", "1",
                           "--status", "200", "-u", path, f"127.0.0.1:{door.port}"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["answered"] == REQUESTS and report["failed"] == 0, report
    return report["latency_us"]["p99"]


def measure(case, door, path):
    return statistics.median(bench(case, door, path) for _ in range(ROUNDS))


def answers(watch):
    try:
        return watch.active() == 0
    except (OSError, ValueError, KeyError):
        return False
