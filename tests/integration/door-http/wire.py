"""Sends a row of the table and reads what comes, as bytes: no library between the two."""

import contextlib
import re
import socket

from requests import PROBE, ROWS

LIMIT_S = 20


def send(port, data, piece):
    """Everything that comes until the server closes. piece: bytes in one segment; 0: all at once."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Who refuses early closes early: what it has said is there to be read.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for at in range(0, len(data), piece or len(data)):
                peer.sendall(data[at:at + (piece or len(data))])
        with contextlib.suppress(ConnectionResetError):
            while bytes_ := peer.recv(65536):
                got += bytes_
    return got


def answers(raw, first_is_head):
    """[(status, head, body)] of what came on one connection, interim answers left out."""
    found = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if not status or not end:
            return found + [(0, b"", head + end + raw)]  # no HTTP
        status = int(status.group(1))
        if status < 200:
            continue
        bodiless = status == 304 or (first_is_head and not found)
        body, raw = (b"", raw) if bodiless else take_body(head, raw)
        found.append((status, head, body))
    return found


def take_body(head, raw):
    """(body, what follows it)"""
    length = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)
    if length:
        return raw[:int(length.group(1))], raw[int(length.group(1)):]
    if not re.search(rb"(?i)\r\nTransfer-Encoding: chunked", head):
        return raw, b""
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        size = int(size, 16)  # ValueError: not what a server may send
        body += raw[:size]
        assert raw[size:size + 2] == b"\r\n", "a chunk does not end"
        raw = raw[size + 2:]
        if size == 0:
            return body, raw


class Observed:
    """What a server made of a row."""

    def __init__(self, row, raw):
        self.answers = answers(raw, row.data.startswith(b"HEAD "))
        self.outcome = " ".join("+" if body == b"probe\n" else "SMUGGLED" if body == b"smuggled\n"
                                else str(status or "raw") for status, _, body in self.answers)
        self.heads = b"\n".join(head for _, head, _ in self.answers)
        self.said = b"\n".join(head + b"\n" + body for _, head, body in self.answers)


def observe(port, row, tag, piece=0):
    return Observed(row, send(port, row.data.replace(b"TAG", tag) + PROBE, piece))


def piece_of(row):
    """Byte by byte; what is very long, in segments."""
    return 1 if len(row.data) < 5000 else 1000 if len(row.data) < 50000 else 50000


def table():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names), "a name is there twice"
    return ROWS
