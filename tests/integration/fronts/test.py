"""Debian's web servers in front of a FastCGI program and of CGI scripts."""

import concurrent.futures
import http.client
import os
import select
import subprocess

import fronts

MEGABYTES = 5 << 20
HANDLERS = ("fastcgi", "cgi")


def behind(case, front):
    """(fpm, front): the same program as handler fastcgi and as handler cgi."""
    program = case.dir / "app"
    subprocess.run(["cc", "-O1", "-o", program, case.root / "tests/integration/fastcgi/app.c", "-lfcgi"],
                   check=True)
    common = "catch_workers_output = yes\npm.max_children = 4\n"
    fpm = case.fpm({"fastcgi": f"{common}handler = fastcgi\nfastcgi.command = {program}\n"
                               "fastcgi.family = libfcgi\n",
                    "cgi": f"{common}cgi.program = {program}\n"})
    return fpm, front(case, {name: fpm.address(name) for name in HANDLERS})


def check_all(case, front):
    fpm, server = behind(case, front)
    paths = list(HANDLERS)
    if front is fronts.NginxFront:
        paths += [f"stream-{name}" for name in HANDLERS]
    for path in paths:
        check(server, path)
        leave_in_the_middle(fpm, server, path)
        assert server.ask("GET", f"/{path}/x")[0] == 200
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for path in HANDLERS:
            answers = pool.map(lambda n, path=path: server.ask("GET", f"/{path}/x?print={n}"), range(100))
            for number, (status, _, text) in enumerate(answers):
                assert status == 200 and text == b"y" * number + b"body 0\n", (path, number, status)
    server.stop()
    fpm.stop()


def check(server, path):
    status, headers, text = server.ask("GET", f"/{path}/x")
    assert (status, text) == (200, b"body 0\n"), (path, status, text)
    assert "x-pid" in map(str.lower, headers), headers
    body = os.urandom(MEGABYTES)
    status, _, text = server.ask("POST", f"/{path}/x", body)
    assert (status, text) == (200, b"body %d\n" % MEGABYTES), (path, status, text[:200])
    status, _, text = server.ask("GET", f"/{path}/x?print={MEGABYTES}")
    assert status == 200 and text == b"y" * MEGABYTES + b"body 0\n", (path, status, len(text))
    status, _, text = server.ask("POST", f"/{path}/x?print={MEGABYTES}", body)
    assert status == 200 and text.endswith(b"body %d\n" % MEGABYTES), (path, status, len(text))
    # It answers and reads nothing of the upload.
    for _ in range(3):
        status, _, text = early(server, f"/{path}/x?early", body)
        assert (status, text) == (200, b"body -1\n"), (path, status, text[:200])


def early(server, uri, body):
    """The client reads as soon as something comes, as browsers do: HAProxy takes no more of the upload
    then, and keeps the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", uri)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    rest, poll = memoryview(body), select.poll()
    poll.register(connection.sock, select.POLLIN | select.POLLOUT)
    while rest:
        events = poll.poll(30000)
        if not events or events[0][1] & ~select.POLLOUT:
            break
        rest = rest[connection.sock.send(rest[:65536]):]
    with connection.getresponse() as response:
        status, text = response.status, response.read()
    connection.close()
    return status, None, text


def leave_in_the_middle(fpm, server, path):
    """The program writes on and on until its output goes nowhere."""
    mark = fpm.mark()
    response = server.open("GET", f"/{path}/x?drip")
    assert response.read(20)
    response.close()
    if "fastcgi" in path:
        fpm.wait_line("it has gone", after=mark)


def test_nginx(case):
    check_all(case, fronts.NginxFront)


def test_lighttpd(case):
    check_all(case, fronts.Lighttpd)


def test_haproxy(case):
    check_all(case, fronts.Haproxy)


def test_apache(case):
    check_all(case, fronts.Apache)
