"""A script that waits until the test lets it go on, without any sleeping."""

import errno
import os

import procs


class Gate:
    """A FIFO. A script that holds it does `read line <"$GATE"`, with env[GATE] = {path}."""

    def __init__(self, case, name="gate"):
        self.path = case.fifo(name)

    def _try_open(self):
        try:
            return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads yet, fifo(7)
                raise
            return None

    def open(self, word="go", limit_s=10):
        """Lets the next script that waits there go on, with a line to read."""
        with self.hold(limit_s) as pipe:
            pipe.write(word + "\n")

    def hold(self, limit_s=10):
        """Waits until a script waits there; it goes on with what is written into this file."""
        handle = procs.wait_until(self._try_open, f"a script waits at {self.path}", limit_s)
        return os.fdopen(handle, "w", encoding="ascii")


# Tells its pid in the first line, waits, tells what it read.
WAITING_SCRIPT = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo "pid $$"
read line <"$GATE"
echo "then $line"
"""


def pid_in(answer):
    """The pid that WAITING_SCRIPT told."""
    return int(answer.body.split()[1])


def first_line_read(answer):
    return b"pid " in answer.stdout and answer.body.endswith(b"\n")
