"""Load beside reloads, for test.py."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import procs

READY = "ready to handle connections"
STARTED = "Reloading in progress"
ONE_AFTER_THE_OTHER = 9
AT_ONCE, WITHIN_S = 25, 0.5
AT_LEAST = 1200


def under_reloads(case, fpm, words):
    """GET and POST at a fixed rate; nine reloads, each when the one before is over, and 25 asked for
    within half a second. The load begins before the first and ends after the last. @return what the generator says."""
    rate = 200 if case.sanitized else 1000
    command = [case.build / "tools" / "fcgi-bench", *words, "-u", "/ping", "-c", 16,
               "-r", rate, "-t", 60,
               "--mix", "GET:4,POST:1", "--body", "2K", "--json"]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **case.sanitizer_environment())) as generator:
        began = time.monotonic()
        for _ in range(ONE_AFTER_THE_OTHER):
            wait_requests(fpm, 50 if case.sanitized else 250)
            done = len(fpm.find(READY))
            os.kill(fpm.pid, signal.SIGUSR2)
            procs.wait_until(lambda n=done: len(fpm.find(READY)) > n, "a reload to end", 20)
        storm(fpm.pid)
        procs.wait_until(lambda: len(fpm.find(READY)) == 1 + len(fpm.find(STARTED)),
                         "the last reload to end", 20)
        wait_requests(fpm, 300)
        # One in 1,000 says something of no fewer than that.
        procs.wait_until(lambda: time.monotonic() - began > AT_LEAST / rate, f"{AT_LEAST} requests", 30)
        assert generator.poll() is None, "the load ended before the reloads"
        generator.send_signal(signal.SIGINT)
        out, errors = generator.communicate(timeout=60)
    assert out, errors
    said = json.loads(out)
    said["reloads"] = len(fpm.find(STARTED))
    return said


def storm(pid):
    """The signals at even times: a thread of its own, so that nothing here delays them."""
    def send():
        began = time.monotonic()
        for number in range(AT_ONCE):
            pause = began + number * WITHIN_S / AT_ONCE - time.monotonic()
            threading.Event().wait(max(0, pause))
            os.kill(pid, signal.SIGUSR2)
    sender = threading.Thread(target=send)
    sender.start()
    sender.join()


def wait_requests(fpm, count):
    """Until so many more have been served."""
    before = requests(fpm)
    procs.wait_until(lambda: requests(fpm) >= before + count, f"{count} more requests", 20)


def requests(fpm):
    """Requests of the pool so far, from its page; this look is one."""
    import fastcgi  # pylint: disable=import-outside-toplevel
    page = fastcgi.ask(fpm.address(), fastcgi.params_for("/status")).body.decode()
    return int(re.search(r"^accepted conn:\s+(\d+)$", page, re.M).group(1))
