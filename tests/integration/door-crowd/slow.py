"""Many clients that are slow: a process of its own, so that whoever measures is not slowed by it.

    slow.py PORT COUNT

Opens COUNT connections that send a head and COUNT that send a body, one byte a second each, evenly
spread; says `ready`, goes on until its stdin ends, and then says how many the server has answered or
closed (`0 lost` if it was patient with all of them), and how many bytes were sent.
"""

import resource
import select
import socket
import sys
import time

HEAD = b"GET /file HTTP/1.1\r\nHost: a\r\nX: "
BODY = b"POST /run.cgi HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
STEP_S = 0.002
LONGEST_S = 120


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = []
    for number in range(2 * count):
        client = socket.create_connection(("127.0.0.1", port), 20)
        client.sendall(HEAD if number % 2 else BODY)
        clients.append(client)
    watch = select.epoll()
    for client in clients:
        watch.register(client, select.EPOLLIN | select.EPOLLRDHUP)
    watch.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
    print("ready", flush=True)
    lost, sent = trickle(clients, watch)
    print(f"{lost} lost, {sent} sent", flush=True)


def trickle(clients, watch):
    """One byte a second to each, until stdin ends. (lost connections, bytes sent)"""
    started, sent, lost = time.monotonic(), 0, set()
    while time.monotonic() - started < LONGEST_S:
        for number, _ in watch.poll(STEP_S):
            if number == sys.stdin.fileno():
                return len(lost), sent
            lost.add(number)
            watch.unregister(number)
        due = int((time.monotonic() - started) * len(clients))
        # After a pause of the machine none gets two bytes at once.
        sent = max(sent, due - len(clients))
        while sent < due:
            client = clients[sent % len(clients)]
            if client.fileno() not in lost:
                client.send(b"x", socket.MSG_DONTWAIT)
            sent += 1
    return len(lost), sent


if __name__ == "__main__":
    main()
