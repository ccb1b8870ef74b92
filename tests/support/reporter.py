"""fpm with its reporter: its addresses, and asking it over HTTP and FastCGI."""

import http.client
import json
import re
import socket
import threading

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from fpm import free_port
from gate import first_line_read

PATIENCE_S = 10
# Pools for scripts that wait at a Gate.
POOL = """
cgi.root = {dir}/cgi
env[GATE] = {dir}/gate
pm.max_children = 2
pm.status_path = /status
ping.path = /ping
"""


class Reporter:
    """fpm with status.listen on a port of its own."""

    def __init__(self, case, pools, global_lines="", **options):
        self.port = free_port()
        self.fpm = case.fpm(pools, f"status.listen = 127.0.0.1:{self.port}\n{global_lines}",
                            **options)
        self.address = ("127.0.0.1", self.port)
        self.wait_answers()

    def wait_answers(self):
        """The master is ready a moment before the reporter knows its pools."""
        procs.wait_until(self.answers, "the reporter answers", PATIENCE_S)

    def answers(self):
        try:
            return self.get("/ping").body == b"pong"
        except (OSError, http.client.HTTPException):
            return False

    def pid(self):
        """Of the process, known by what ps shows."""
        return procs.wait_until(self._pid, "there is a reporter", PATIENCE_S)

    def _pid(self):
        for pid in procs.children(self.fpm.pid):
            if procs.command_line(pid).strip("\0 ") == "fpm: reporter":
                return pid
        return None

    def get(self, path, method="GET", headers=None):
        return Http(self.address).get(path, method, headers, close=True)

    def json(self, path):
        answer = self.get(path)
        assert answer.status == 200, (path, answer.status, answer.body)
        return json.loads(answer.body)

    def pool(self, name="www", query="full"):
        return self.json(f"/status/{name}?json&{query}")

    def ask(self, uri, method="GET"):
        """The same over FastCGI."""
        return fastcgi.ask(self.address, fastcgi.params_for(uri, method=method))

    def connect(self):
        return connect(self.address)


class Http:
    """A connection that may be kept."""

    def __init__(self, address):
        if isinstance(address, str):
            self.connection = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
            self.connection.sock = connect(address)
        else:
            self.connection = http.client.HTTPConnection(*address, timeout=PATIENCE_S)

    def get(self, path, method="GET", headers=None, close=False):
        try:
            self.connection.request(method, path, headers=headers or {})
            answer = self.connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            if close:
                self.connection.close()


def connect(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(PATIENCE_S)
    client.connect(address)
    return client


def read_all(client):
    """Until the other side closes; a reset counts as that."""
    out = b""
    try:
        while data := client.recv(65536):
            out += data
    except ConnectionResetError:
        pass
    return out


def status_of(port, path="/ping"):
    """Of the answer there; None if there is none."""
    try:
        return Http(("127.0.0.1", port)).get(path, close=True).status
    except (OSError, http.client.HTTPException):
        return None


def status_field(pid, name):
    """A line of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return re.search(rf"^{name}:\s*(.*)$", file.read(), re.M).group(1)


def fill(fpm, case, count, script="cgi/wait"):
    """So many requests that run until the gate opens."""
    connections = []
    for _ in range(count):
        one = Connection(fpm.address())
        one.send(request(params_for("/wait", case.dir / script)))
        one.read_answer(until=first_line_read)
        connections.append(one)
    return connections


def release(gate, connections):
    """Opens the gate again and again until all have their answers: one opening may let several
    scripts go on, and one that waits in the queue comes to it later."""
    done = threading.Event()

    def keep_open():
        while not done.is_set():
            try:
                gate.open(limit_s=0.05)
            except (AssertionError, BrokenPipeError):
                pass  # nobody is there just now
    opener = threading.Thread(target=keep_open)
    opener.start()
    try:
        return [one.read_answer() for one in connections]
    finally:
        done.set()
        opener.join()
