"""A program in the foreground whose output is collected while it runs."""

import re
import subprocess
import threading
import time


class Daemon:
    """Starts a program; its stdout and stderr are lines that can be waited for."""

    def __init__(self, case, name, command, **popen_options):
        case.daemons.append(self)  # their output is shown when the case fails
        self.name = name
        self.command = [str(word) for word in command]
        self._lines = []
        self._closed = False
        self._changed = threading.Condition()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        **popen_options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def _read(self):
        with self.process.stdout as pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def lines(self):
        with self._changed:
            return list(self._lines)

    @property
    def text(self):
        return "\n".join(self.lines)

    def mark(self):
        """A place in the output, for `after` of the functions below."""
        with self._changed:
            return len(self._lines)

    def find(self, pattern, after=0):
        """All lines that match from that place on."""
        return [line for line in self.lines[after:] if re.search(pattern, line)]

    def wait_line(self, pattern, limit_s=10, after=0):
        """The match object of the first line with the pattern; waits for it."""
        expression, end = re.compile(pattern), time.monotonic() + limit_s
        with self._changed:
            while True:
                for line in self._lines[after:]:
                    match = expression.search(line)
                    if match:
                        return match
                    after += 1
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    why = "it closed its output" if self._closed else f"not within {limit_s} s"
                    raise AssertionError(f"{self.name} did not say /{pattern}/: {why}")
                self._changed.wait(left)

    def wait_closed(self, limit_s=10):
        """Until no process holds the output any more."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed, limit_s):
                raise AssertionError(f"somebody still holds the output of {self.name}, which has "
                                     "ended")

    def wait_exit(self, limit_s=10):
        """Exit status; negative: the signal."""
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} is still running after {limit_s} s") from None
        # What it said last may still be on its way here; somebody else may hold the pipe open.
        with self._changed:
            self._changed.wait_for(lambda: self._closed, 1)
        return status

    def kill(self):
        """For cleaning up after a failure."""
        if self.running():
            self.process.kill()
            self.process.wait()
