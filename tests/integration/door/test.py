"""The door: a browser's view of a folder with files and scripts."""

import json
import os
import subprocess
import urllib.request

import procs
from case import needs_root, plain_only
from daemon import Daemon
from door import Door, address_in, read_response, status_of
from fpm import free_port, is_root, run_once

SCRIPT = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
env | sort
echo "body: $(cat)"
"""


def site(case):
    case.write("www/index.html", "<h1>first page</h1>\n")
    case.write("www/a b/ü.txt", "name")
    case.write("www/sub/page.html", "page")
    case.write("www/.secret", "secret")
    case.write("outside", "outside")
    os.symlink("../outside", case.dir / "www" / "link")
    case.script("www/run.cgi", SCRIPT)
    big = os.urandom(1 << 20)
    (case.dir / "www" / "big.bin").write_bytes(big)
    return big


def curl(door, *arguments, path="/"):
    """What curl prints: status line and headers, then the body."""
    done = subprocess.run(["curl", "-s", "-i", "--path-as-is", "--max-time", "20", *arguments,
                           f"http://127.0.0.1:{door.port}{path}"], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), fields, body


def test_files_as_a_browser_asks_for_them(case):
    big = site(case)
    door = Door(case)
    status, fields, body = curl(door)
    assert (status, body) == (200, b"<h1>first page</h1>\n")
    assert fields["content-type"] == "text/html" and fields["content-length"] == "20"
    assert fields["accept-ranges"] == "bytes"

    tag, date = fields["etag"], fields["last-modified"]
    assert curl(door, "-H", f"If-None-Match: {tag}")[0] == 304
    assert curl(door, "-H", f"If-Modified-Since: {date}")[0] == 304
    assert curl(door, "-H", 'If-None-Match: "x"')[0] == 200

    assert curl(door, path="/big.bin")[2] == big
    status, fields, body = curl(door, "-r", "1000-200999", path="/big.bin")
    assert status == 206 and body == big[1000:201000]
    assert fields["content-range"] == f"bytes 1000-200999/{len(big)}"
    assert curl(door, "-r", "-5", path="/big.bin")[2] == big[-5:]
    status, fields, body = curl(door, "-r", "9999999-", path="/big.bin")
    assert status == 416 and fields["content-range"] == f"bytes */{len(big)}" and b"416" in body

    status, fields, body = curl(door, "-I", path="/big.bin")
    assert status == 200 and fields["content-length"] == str(len(big)) and body == b""

    status, fields, _ = curl(door, path="/sub?x=y")
    assert status == 301 and fields["location"] == "/sub/?x=y"
    assert curl(door, path="/a%20b/%C3%BC.txt")[2] == b"name"
    assert curl(door, path="/run.cgi")[2] == SCRIPT.encode(), "http.scripts is none: it is a file"


def test_what_is_not_there_or_not_for_everybody(case):
    site(case)
    os.mkfifo(case.dir / "www" / "fifo")
    if is_root():
        case.write("www/closed", "closed", 0o600)
    door = Door(case)
    for path, status in [("/none", 404), ("/none/", 404), ("/sub/", 403), ("/.secret", 404),
                         ("/link", 403), ("/fifo", 403), ("/../etc/passwd", 400),
                         ("/%2e%2e/etc/passwd", 400), ("/sub/..%2f..%2foutside", 400),
                         ("/a%00b", 400), ("/%zz", 400), ("/" + "a" * 20000, 414)]:
        got, fields, body = curl(door, path=path)
        assert got == status, f"{path[:30]}: {got}, not {status}"
        assert body.startswith(str(status).encode()) and len(body.splitlines()) == 2, path[:30]
        assert fields["content-type"].startswith("text/plain")
    if is_root():
        assert curl(door, path="/closed")[0] == 403
    status, fields, _ = curl(door, "-d", "x", path="/index.html")
    assert status == 405 and fields["allow"] == "GET, HEAD"
    assert curl(door, "-H", "X: " + "a" * 20000)[0] == 431


def test_scripts_and_what_they_get_to_know(case):
    site(case)
    door = Door(case, "http.scripts = extension")
    status, fields, body = curl(door, "-d", "key=value", "-A", "me", path="/run.cgi/more?a=b")
    told = dict(line.split("=", 1) for line in body.decode().splitlines() if "=" in line)
    root = str(door.root)
    assert status == 200 and fields["content-type"] == "text/plain"
    assert body.endswith(b"body: key=value\n")
    for name, value in {
            "REQUEST_METHOD": "POST", "REQUEST_URI": "/run.cgi/more?a=b", "QUERY_STRING": "a=b",
            "SCRIPT_NAME": "/run.cgi", "SCRIPT_FILENAME": f"{root}/run.cgi", "PATH_INFO": "/more",
            "PATH_TRANSLATED": f"{root}/more", "DOCUMENT_ROOT": root, "CONTENT_LENGTH": "9",
            "CONTENT_TYPE": "application/x-www-form-urlencoded", "SERVER_PROTOCOL": "HTTP/1.1",
            "GATEWAY_INTERFACE": "CGI/1.1", "REMOTE_ADDR": "127.0.0.1", "SERVER_ADDR": "127.0.0.1",
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(door.port),
            "HTTP_USER_AGENT": "me"}.items():
        assert told.get(name) == value, f"{name}: {told.get(name)}"
    for method in ("PUT", "DELETE", "PROPFIND"):
        assert f"REQUEST_METHOD={method}".encode() in curl(door, "-X", method, path="/run.cgi")[2]
    status, fields, body = curl(door, "-I", path="/run.cgi")
    assert status == 200 and body == b""
    # A body in chunks has its length by the time the script runs.
    chunked = curl(door, "-H", "Transfer-Encoding: chunked", "-d", "x" * 5000, path="/run.cgi")[2]
    assert b"CONTENT_LENGTH=5000" in chunked and chunked.endswith(b"x" * 5000 + b"\n")


def test_executable_files_are_scripts_and_others_are_sent(case):
    site(case)
    case.script("www/prog", SCRIPT)
    door = Door(case, "http.scripts = executable")
    assert b"REQUEST_METHOD=POST" in curl(door, "-d", "x", path="/prog?a")[2]
    assert b"REQUEST_METHOD=DELETE" in curl(door, "-X", "DELETE", path="/prog")[2]
    assert curl(door, path="/sub/page.html?query=ignored")[2] == b"page"
    assert curl(door, "-d", "x", path="/sub/page.html")[0] == 405


def test_all_to_the_pool_and_a_front_controller(case):
    site(case)
    program = case.script("front", SCRIPT)
    door = Door(case, f"""
        http.scripts = all
        cgi.program = {program}
    """)
    body = curl(door, path="/any/where?x")[2].decode()
    assert "PATH_INFO=/any/where\n" in body and "REQUEST_URI=/any/where?x\n" in body
    door.fpm.stop()
    door = Door(case, """
        http.scripts = extension
        http.fallback = /run.cgi
    """)
    body = curl(door, path="/no/such/page?x")[2].decode()
    assert "SCRIPT_NAME=/run.cgi\n" in body and "REQUEST_URI=/no/such/page?x\n" in body
    assert curl(door, path="/sub/page.html")[2] == b"page"


def test_connections_are_kept_and_requests_may_come_ahead(case):
    site(case)
    door = Door(case, "http.scripts = extension")
    with door.connect() as peer:
        for _ in range(3):
            peer.sendall(b"GET /sub/page.html HTTP/1.1\r\nHost: a\r\n\r\n")
            assert read_response(peer)[2] == b"page"
        peer.sendall(b"GET /run.cgi HTTP/1.1\r\nHost: a\r\n\r\n"
                     b"POST /run.cgi HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                     b"GET /sub/page.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := peer.recv(65536):
            got += piece
    assert got.count(b"HTTP/1.1 200 OK") == 3, got
    assert got.index(b"body: \n") < got.index(b"body: abc") < got.index(b"page")
    # 1.0: closed unless asked otherwise, and no chunks.
    answer = door.raw(b"GET /run.cgi HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 200 and b"chunked" not in answer and b"Connection: close" in answer
    with door.connect() as peer:
        for _ in range(2):
            peer.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, fields, _ = read_response(peer)
            assert status == 200 and fields["Connection"] == "keep-alive"


def test_the_access_log_combined_and_json(case):
    site(case)
    log = case.folder("log") / "access.log"
    door = Door(case, f"""
        http.scripts = extension
        access.log = {log}
        access.suppress_path[] = /sub/page.html
    """)
    curl(door, "-A", 'x"y', "-e", "http://from/", path="/run.cgi?a=b")
    curl(door, path="/sub/page.html")
    curl(door, path="/none")
    procs.wait_until(lambda: len(log.read_text().splitlines()) == 2, "two lines")
    first, second = log.read_text().splitlines()
    assert '"GET /run.cgi?a=b HTTP/1.1" 200 ' in first, first
    assert first.endswith('"http://from/" "x\\x22y"') and first.startswith("127.0.0.1 - - [")
    assert '"GET /none HTTP/1.1" 404 ' in second, second
    door.fpm.stop()
    log.unlink()
    door = Door(case, f"""
        http.scripts = extension
        access.log = {log}
        access.format = json
    """)
    curl(door, path="/run.cgi?a=b")
    procs.wait_until(lambda: log.exists() and log.read_text(), "a line")
    lines = log.read_text().splitlines()
    assert len(lines) == 1, "the worker has written one as well"
    told = json.loads(lines[0])
    assert told["method"] == "GET" and told["status"] == 200 and told["uri"] == "/run.cgi"
    assert told["script"] == "/run.cgi" and told["queue_wait"] is not None


@needs_root
def test_it_is_the_pools_user_and_holds_nothing_of_the_master(case):
    site(case)
    door = Door(case, """
        http.scripts = extension
        env[PASSWORD] = tops3cret
    """)
    assert b"PASSWORD=tops3cret" in curl(door, path="/run.cgi")[2]  # it serves: it is set up
    [pid] = door.fpm.doors()
    status = open(f"/proc/{pid}/status", encoding="utf-8").read()
    assert "\nUid:\t33\t33\t33\t33\n" in status and "\nCapEff:\t0000000000000000\n" in status
    assert b"tops3cret" not in open(f"/proc/{pid}/environ", "rb").read()


def test_pages_of_the_pool_are_for_this_machine(case):
    site(case)
    door = Door(case, """
        pm.status_path = /status
        ping.path = /ping
    """)
    assert curl(door, path="/ping")[2] == b"pong"
    assert b"pool:" in curl(door, path="/status")[2]
    # Whoever comes through a proxy is a stranger.
    assert curl(door, "-H", "X-Forwarded-For: 192.0.2.1", path="/status")[0] == 404


@plain_only
def test_serve_needs_no_configuration(case):
    site(case)
    folder = case.dir / "www"
    case.script("www/prog", SCRIPT)
    environment = dict(os.environ, XDG_RUNTIME_DIR=str(case.dir))
    wrapper = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if is_root() else ()
    shown = Daemon(case, "fpm serve",
                   [*wrapper, case.program, "serve", folder, "--listen", "127.0.0.1:0"],
                   env=environment, cwd=case.dir)
    case.defer(shown.kill)
    url = shown.wait_line(r"^(http://127\.0\.0\.1:\d+/) serves ").group(1)
    assert urllib.request.urlopen(url, timeout=20).read() == b"<h1>first page</h1>\n"
    assert b"REQUEST_METHOD=GET" in urllib.request.urlopen(url + "prog", timeout=20).read()
    shown.process.terminate()
    assert shown.wait_exit() == 0
    shown.wait_closed()


@plain_only
def test_bad_input_is_one_line_and_78(case):
    site(case)
    folder = case.folder("closed")
    os.chmod(folder, 0o700)
    taken = free_port()

    def refusal(lines):
        user = "user = www-data\n" if is_root() else ""
        config = case.write("bad.conf", f"[global]\nerror_log = {case.dir}/error.log\ndaemonize = no\n"
                                        f"[web]\n{user}pm = static\npm.max_children = 1\n{lines}\n")
        status, said = run_once(case, ["-F", "-O", "-y", config])
        assert status == 78, said
        errors = [line for line in said if "ERROR" in line and "initialization failed" not in line]
        assert len(errors) == 1, said
        return errors[0]

    assert "does not exist" in refusal("http.listen = 127.0.0.1:0\nhttp.root = /none/at/all")
    assert "http.root" in refusal("http.listen = 127.0.0.1:0")
    if is_root():
        line = refusal(f"http.listen = 127.0.0.1:0\nhttp.root = {folder}")
        assert "Permission denied" in line, line
    import socket  # pylint: disable=import-outside-toplevel
    with socket.create_server(("127.0.0.1", taken)):
        line = refusal(f"http.listen = 127.0.0.1:{taken}\nhttp.root = {case.dir}/www")
        assert "Address already in use" in line, line


def test_a_root_that_is_replaced_or_gone_while_it_serves(case):
    site(case)
    door = Door(case)
    assert curl(door)[0] == 200
    os.rename(door.root, case.dir / "old")
    door.root.mkdir(mode=0o755)
    case.write("www/index.html", "new")
    procs.wait_until(lambda: curl(door)[2] == b"new", "the new page")
    os.rename(door.root, case.dir / "gone")
    procs.wait_until(lambda: curl(door)[0] == 500, "500")
    door.fpm.wait_line("http.root: open .*www: No such file")
    os.rename(case.dir / "gone", door.root)
    procs.wait_until(lambda: curl(door)[2] == b"new", "the page is back")


def test_a_door_that_dies_is_replaced(case):
    site(case)
    door = Door(case)
    [pid] = door.fpm.doors()
    os.kill(pid, 9)
    door.fpm.wait_line(rf"the door, pid {pid}, exited on signal 9 \(SIGKILL\); a new one is started")
    assert curl(door)[0] == 200, "clients wait in the queue meanwhile"
    assert door.fpm.doors() != [pid]
    assert address_in(door.fpm.text) == door.port
