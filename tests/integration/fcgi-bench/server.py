"""A FastCGI server that does wrong on purpose, one connection at a time, for test.py.

    server.py ADDRESS HOW

ADDRESS is a path or host:port (port 0: any). Counts requests from 1 and answers each, but for what HOW says:
    flaky    drops every 100th (no byte), cuts every other 50th in the middle, delays every other 10th by 20 ms
    stall N  stands still for a second before the answer to the Nth
    burn MS  uses so much CPU time before each answer, half of it in a child that it waits for
    reset    resets the connection instead of answering
    tell     says how many parameters, bytes of body and which flags have come
Prints a line with its address when it listens.
"""

import os
import pathlib
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))

import fastcgi  # pylint: disable=wrong-import-position


def main():
    address, how = sys.argv[1], sys.argv[2:]
    listener = listen(address)
    number = 0
    while True:
        connection, _ = listener.accept()
        with connection:
            while True:
                request = read_request(connection)
                if request is None:
                    break
                number += 1
                if not answer(connection, how, number, request) or not request["flags"]:
                    break


def listen(address):
    if "/" in address:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
    else:
        host, _, port = address.rpartition(":")
        listener = socket.socket(socket.AF_INET)
        listener.bind((host, int(port)))
        address = "%s:%d" % listener.getsockname()
    listener.listen(128)
    print(f"listens at {address}", flush=True)
    return listener


def read_request(connection):
    """{"flags", "params", "stdin"}; None at the end of the connection."""
    request, reader = {"flags": 0, "params": b"", "stdin": b""}, connection.makefile("rb")
    while True:
        head = reader.read(8)
        if len(head) < 8:
            return None
        _, kind, _, size, padding, _ = struct.unpack("!BBHHBB", head)
        content = reader.read(size + padding)[:size]
        if kind == fastcgi.BEGIN_REQUEST:
            request["flags"] = content[2]
        elif kind == fastcgi.PARAMS:
            request["params"] += content
        elif kind == fastcgi.STDIN:
            request["stdin"] += content
            if not content:
                return request


def answer(connection, how, number, request):
    """False: the connection is not to be used any more."""
    text = "hello"
    if how[0] == "flaky" and number % 100 == 0:
        return False
    if how[0] == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if how[0] == "flaky" and number % 10 == 0 and number % 50:
        time.sleep(0.02)
    if how[0] == "stall" and number == int(how[1]):
        time.sleep(1)
    if how[0] == "burn":
        burn(float(how[1]) / 1000)
    if how[0] == "tell":
        text = (f"{count_pairs(request['params'])} parameters, {len(request['stdin'])} bytes, "
                f"flags {request['flags']}")
    data = (fastcgi.record(fastcgi.STDOUT, 1, b"Content-Type: text/plain\r\n\r\n" + text.encode())
            + fastcgi.record(fastcgi.END_REQUEST, 1, bytes(8)))
    cut = how[0] == "flaky" and number % 50 == 0
    connection.sendall(data[:len(data) // 2] if cut else data)
    return not cut


def burn(seconds):
    child = os.fork()
    end = time.process_time() + seconds / 2  # a child's clock begins at 0 as ours goes on
    if child == 0:
        end = seconds / 2
    while time.process_time() < end:
        pass
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def count_pairs(data):
    count, at = 0, 0
    while at < len(data):
        sizes = []
        for _ in range(2):
            size = data[at]
            if size >= 128:
                size = struct.unpack("!I", data[at:at + 4])[0] & 0x7fffffff
                at += 3
            at += 1
            sizes.append(size)
        at += sum(sizes)
        count += 1
    return count


main()
