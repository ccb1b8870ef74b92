"""A pool with a door, and raw HTTP to it."""

import http.client
import re
import socket

import procs

LINES = """
http.listen = 127.0.0.1:0
http.root = {dir}/www
"""


class Door:
    """fpm with one pool `web` that has a door; `www` is its docroot, made by the test."""

    def __init__(self, case, lines="", global_lines="", **options):
        self.case = case
        self.root = case.dir / "www"
        self.root.mkdir(mode=0o755, exist_ok=True)
        said = set(re.findall(r"^\s*([\w.]+)\s*=", lines, re.M))
        own = "\n".join(line for line in LINES.strip().splitlines()
                        if line.split(" = ")[0] not in said)
        self.fpm = case.fpm({"web": own + "\n" + lines}, global_lines, **options)
        self.port = address_in(self.fpm.text)

    def pid(self):
        """Of the door's process, once it is known as one."""
        return procs.wait_until(self.fpm.doors, "there is a door")[0]

    def open(self, method, path, body=None, headers=None, limit_s=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        connection.request(method, path, body, headers or {})
        return connection.getresponse()

    def ask(self, method, path, body=None, headers=None, limit_s=30):
        """(status, headers, body)"""
        with self.open(method, path, body, headers, limit_s) as response:
            return response.status, dict(response.getheaders()), response.read()

    def get(self, path, headers=None):
        return self.ask("GET", path, None, headers)

    def connect(self, limit_s=20):
        return socket.create_connection(("127.0.0.1", self.port), limit_s)

    def raw(self, data, limit_s=20):
        """Sends bytes and gives everything that comes until the door closes."""
        with self.connect(limit_s) as peer:
            peer.sendall(data)
            return read_all(peer)


def address_in(text):
    """The port of the last door that the log tells of."""
    return int(re.findall(r"the door listens at http://[^/]*:(\d+)/", text)[-1])


def read_all(peer):
    """Until the other side closes, orderly or not."""
    got = b""
    try:
        while True:
            piece = peer.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


def status_of(answer):
    """Of raw bytes; 0 for none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found.group(1)) if found else 0


def read_response(peer, method="GET"):
    """One response of a connection that stays open: (status, headers, body)."""
    response = http.client.HTTPResponse(peer, method=method)
    response.begin()
    body = response.read()
    return response.status, dict(response.getheaders()), body
