#!/usr/bin/env python3
"""A FastCGI program by hand, which does wrong as the query says. Not of any library."""

import os
import socket
import struct
import sys
import time


def record(kind, content=b"", request_id=1):
    return struct.pack("!BBHHBB", 1, kind, request_id, len(content), 0, 0) + content


def take(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def take_record(connection):
    _, kind, _, size, padding, _ = struct.unpack("!BBHHBB", take(connection, 8))
    return kind, take(connection, size + padding)[:size]


def read_request(connection):
    """The parameters' bytes, and the body's when its end came; says what ended it otherwise."""
    streams = {4: b"", 5: b""}
    while True:
        kind, content = take_record(connection)
        if kind == 2:
            print("ABORT_REQUEST came", file=sys.stderr, flush=True)
        if kind not in streams:
            continue
        streams[kind] += content
        if kind == 5 and not content:
            return streams[4], streams[5]


HEAD = b"Content-Type: text/plain\r\n\r\n"
END = record(6) + record(3, bytes(8))


def answer(connection):
    params, body = read_request(connection)
    print(f"whole body of {len(body)}", file=sys.stderr, flush=True)
    if b"other-id" in params:
        connection.sendall(record(6, HEAD + b"of somebody else", 7) + record(3, bytes(8), 7))
    elif b"half-header" in params:
        connection.sendall(record(6, b"Content-Type: te"))
    elif b"half-record" in params:
        connection.sendall(record(6, HEAD + b"all of it")[:-4])
    elif b"no-end" in params:
        connection.sendall(record(6, HEAD + b"no end"))
    elif b"flood" in params:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            connection.sendall(record(7, b"flooded %s\n" % (b"." * 400) * 70))
        connection.sendall(record(6, HEAD + b"at last") + END)
    elif b"spill" in params:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            os.write(2, b"spilled\n" * 100)
        connection.sendall(record(6, HEAD + b"at last") + END)
    elif b"forever" in params:
        connection.sendall(record(6, HEAD))
        while True:
            connection.sendall(record(6, b"x" * 30000))
    elif b"early" in params:
        connection.sendall(record(6, HEAD + b"early") + END)
    else:
        connection.sendall(record(6, HEAD + b"pid %d" % os.getpid()) + END)


def main():
    listener = socket.socket(fileno=0)
    if "END_AFTER_READY" in os.environ:
        listener.accept()
        sys.exit(9)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection)
            except (EOFError, OSError):
                pass


main()
