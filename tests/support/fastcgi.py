"""A FastCGI client that can also do what no web server does: records by hand, in any split."""

import select
import socket
import struct
import time

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
KEEP_CONN = 1


def record(kind, request_id=1, content=b"", padding=0, version=1):
    head = struct.pack("!BBHHBB", version, kind, request_id, len(content), padding, 0)
    return head + content + b"\0" * padding


def begin(request_id=1, role=RESPONDER, flags=0, padding=0):
    return record(BEGIN_REQUEST, request_id, struct.pack("!HB5x", role, flags), padding)


def length(number):
    return bytes([number]) if number < 128 else struct.pack("!I", number | 0x80000000)


def pairs(params):
    """params: a dict, or a list of pairs when names repeat."""
    out = b""
    for name, value in params.items() if isinstance(params, dict) else params:
        name = name.encode() if isinstance(name, str) else name
        value = value.encode() if isinstance(value, str) else value
        out += length(len(name)) + length(len(value)) + name + value
    return out


def stream(kind, request_id, content, size=65535, padding=0):
    """All records of a stream with its empty last one."""
    out = b"".join(record(kind, request_id, content[at:at + size], padding)
                   for at in range(0, len(content), size))
    return out + record(kind, request_id, b"", padding)


def params_for(uri, script=None, method="GET", body=b"", **more):
    """What a web server tells of a request."""
    path, _, query = uri.partition("?")
    params = {
        "QUERY_STRING": query, "REQUEST_METHOD": method, "CONTENT_TYPE": "",
        "CONTENT_LENGTH": str(len(body)) if body else "", "SCRIPT_NAME": path,
        "REQUEST_URI": uri, "DOCUMENT_URI": path, "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "test", "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "12345", "SERVER_ADDR": "127.0.0.1", "SERVER_PORT": "80",
        "SERVER_NAME": "localhost", "HTTP_HOST": "localhost",
    }
    if script is not None:
        params["SCRIPT_FILENAME"] = str(script)
    params.update({name: str(value) for name, value in more.items()})
    return params


def request(params, body=b"", request_id=1, role=RESPONDER, flags=0, padding=0, size=32768):
    """The bytes of a whole request."""
    return (begin(request_id, role, flags, padding)
            + stream(PARAMS, request_id, pairs(params), padding=padding)
            + stream(STDIN, request_id, body, size, padding))


class Answer:
    """What came back for one request."""

    def __init__(self):
        self.stdout = b""
        self.stderr = b""
        self.app_status = None
        self.protocol_status = None
        self.records = []  # (type, id, content) in order
        self.end_time = None  # monotonic, when END_REQUEST was read

    @property
    def head(self):
        return self.stdout.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("latin-1")

    @property
    def body(self):
        for blank in (b"\r\n\r\n", b"\n\n"):
            if blank in self.stdout:
                return self.stdout.partition(blank)[2]
        return b""

    @property
    def headers(self):
        """Names in lower case; the last of repeated ones."""
        lines = (line.partition(":") for line in self.head.split("\n"))
        return {name.strip().lower(): value.strip() for name, _, value in lines}

    @property
    def status(self):
        return int(self.headers.get("status", "200").split()[0])

    @property
    def ended(self):
        return self.protocol_status is not None

    def __repr__(self):
        return (f"Answer(stdout={self.stdout[:300]!r}, stderr={self.stderr[:300]!r}, "
                f"app_status={self.app_status}, protocol_status={self.protocol_status})")


class Closed(AssertionError):
    """The connection ended where more was expected."""


class Connection:
    """One connection. address: a path, or (host, port)."""

    def __init__(self, address, limit_s=10):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(limit_s)
        self.socket.connect(address)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_slowly(self, data):
        """One byte a write, each on its way before the next."""
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            self.socket.sendall(data[at:at + 1])

    def read_record(self):
        """(type, id, content); None at the end of the connection."""
        head = self._take(8)
        if head is None:
            return None
        _, kind, request_id, size, padding, _ = struct.unpack("!BBHHBB", head)
        content = self._take(size + padding)
        if content is None:
            raise Closed("the connection ended within a record")
        return kind, request_id, content[:size]

    def _take(self, count):
        while len(self._buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                if self._buffer:
                    raise Closed(f"the connection ended within a record: {self._buffer[:80]!r}")
                return None
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def read_answer(self, request_id=1, until=None):
        """Reads to END_REQUEST of that id, or until `until(answer)` is true."""
        answer = Answer()
        while True:
            got = self.read_record()
            if got is None:
                raise Closed(f"the connection ended without END_REQUEST: {answer}")
            answer.records.append(got)
            kind, its_id, content = got
            if its_id != request_id:
                continue
            if kind == STDOUT:
                answer.stdout += content
            elif kind == STDERR:
                answer.stderr += content
            elif kind == END_REQUEST:
                answer.end_time = time.monotonic()
                answer.app_status, answer.protocol_status = struct.unpack("!IB3x", content)
                return answer
            if until and until(answer):
                return answer

    def at_end(self):
        """The other side has closed (reads and drops what it still sent)."""
        try:
            while True:
                if not self.socket.recv(65536):
                    return True
        except ConnectionError:
            return True
        except socket.timeout:
            return False

    def read_all(self):
        """Everything up to the end of the connection, and whether that was a reset."""
        data = self._buffer
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return data, False
                data += more
        except ConnectionError:
            return data, True


def send_while_reading(connection, data):
    """Sends as much as is taken while it reads answers, as a web server does; returns the answer.

    For bodies and answers that do not fit the socket's buffers.
    """
    connection.socket.setblocking(False)
    sent, poll = 0, select.poll()
    received = b""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        wanted = select.POLLIN | (select.POLLOUT if sent < len(data) else 0)
        poll.register(connection.socket, wanted)
        for _, events in poll.poll(1000):
            if events & select.POLLOUT and sent < len(data):
                sent += connection.socket.send(data[sent:sent + 65536])
            if events & (select.POLLIN | select.POLLHUP):
                more = connection.socket.recv(1 << 20)
                if not more:
                    connection.socket.settimeout(10)
                    connection._buffer = received
                    return connection.read_answer()
                received += more
    raise AssertionError(f"no answer: sent {sent} of {len(data)} bytes, got {len(received)}")


def ask(address, params, body=b"", limit_s=10, **options):
    """One request on a connection of its own, to END_REQUEST and the end of the connection."""
    with Connection(address, limit_s) as connection:
        if len(body) > 100000:
            return send_while_reading(connection, request(params, body, **options))
        connection.send(request(params, body, **options))
        return connection.read_answer(options.get("request_id", 1))


def ping(address, path="/ping", limit_s=10):
    """Asks for the ping page; AssertionError unless it says pong."""
    answer = ask(address, params_for(path), limit_s=limit_s)
    assert answer.body == b"pong", answer
    return answer
