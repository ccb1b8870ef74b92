"""Load beside reloads, for test.py."""

import json
import os
import signal
import subprocess
import threading

import procs


def under_reloads(case, fpm, words, reloads, rate=400, seconds=3):
    """Requests at a fixed rate while the configuration is reloaded again and again, each time when the one
    before is over. @return what the load generator says of them."""
    done = threading.Event()

    def reload_again():
        for _ in range(reloads):
            over = len(fpm.find("ready to handle connections"))
            os.kill(fpm.pid, signal.SIGUSR2)
            procs.wait_until(lambda n=over: len(fpm.find("ready to handle connections")) > n,
                             "a reload to end", 10)
            if done.is_set():
                return

    reloader = threading.Thread(target=reload_again)
    command = [case.build / "tools" / "fcgi-bench", *words, "-r", rate, "-t", seconds, "-c", 16,
               "--mix", "GET:4,POST:1", "--body", "2K", "--json"]
    reloader.start()
    said = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, check=False, env=dict(os.environ, **case.sanitizer_environment()))
    done.set()
    reloader.join()
    assert said.stdout, said.stderr
    return json.loads(said.stdout)
