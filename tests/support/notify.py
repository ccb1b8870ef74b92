"""A service manager's end of sd_notify(3), for programs that get its path as NOTIFY_SOCKET."""

import os
import re
import socket
import time


class Manager:
    """The socket at which a service manager listens."""

    def __init__(self, case):
        self.path = str(case.dir / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        case.defer(self.socket.close)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.heard = []

    def wait_for(self, pattern, limit_s=10):
        """The match in the first new message with the pattern."""
        end_time = time.monotonic() + limit_s
        while True:
            self.socket.settimeout(max(end_time - time.monotonic(), 0.001))
            try:
                message = self.socket.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"no message with /{pattern}/ in {self.heard}") from None
            self.heard.append(message)
            match = re.search(pattern, message, re.M)
            if match:
                return match
