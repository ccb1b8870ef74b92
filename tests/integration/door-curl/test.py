"""The door as curl sees it: error pages, what scripts may answer, addresses, types, what goes out how."""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import procs
from case import needs_root, plain_only
from daemon import Daemon
from door import Door, read_all, read_response, status_of
from fpm import is_root

ENV = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
env | sort
echo "body: $(cat)"
"""


def curl(door, *arguments, path="/"):
    """(status, fields, body) of the last answer; interim ones are left out."""
    done = subprocess.run(["curl", "-s", "-i", "--path-as-is", "--max-time", "20", *arguments,
                           f"http://127.0.0.1:{door.port}{path}"], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    while re.match(rb"HTTP/1.1 1\d\d ", head):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), fields, body


def script(case, name, text):
    """A script of shell in the root; `text` prints the head as well."""
    return case.script(f"www/{name}", "#!/bin/sh\n" + text + "\n")


def told(body):
    """What ENV printed, as a table."""
    return dict(line.split("=", 1) for line in body.decode().splitlines() if "=" in line)


# Pages ----------------------------------------------------------------------------------------------


def test_every_error_has_a_page_that_people_can_read(case):
    case.write("www/file", "file\n")
    case.write("www/sub/page", "page\n")
    script(case, "silent.cgi", "exit 0")
    script(case, "wrong.cgi", "echo no head; echo")
    script(case, "hangs.cgi", "exec sleep 60")
    script(case, "kills.cgi", "kill -9 $PPID")
    script(case, "run.cgi", "printf 'Content-Type: text/plain\\n\\nran\\n'")
    script(case, "loop.cgi", "printf 'Location: /loop.cgi\\n\\n'")
    door = Door(case, """
        http.scripts = extension
        http.max_body = 1000
        http.header_timeout = 300ms
        http.queue_timeout = 200ms
        request_terminate_timeout = 1s
        pm.max_children = 1
    """)
    seen = {}

    def look(status, got, fields, body):
        assert got == status, (status, got, body)
        length = fields.get("content-length") or fields.get("Content-Length")
        assert length is None or length == str(len(body)), (status, fields, body)
        seen[status] = (fields.get("content-type") or fields.get("Content-Type"), body.decode())

    def raw(status, data):
        with door.connect() as peer:
            peer.sendall(data)
            look(status, *read_response(peer))

    for status, path, *arguments in [
            (400, "/%zz"), (403, "/sub/"), (404, "/none"), (405, "/file", "-X", "PUT"),
            (412, "/file", "-H", 'If-Match: "x"'),
            (413, "/run.cgi", "-d", "x" * 1001), (414, "/" + "a" * 20000), (416, "/file", "-r", "9-"),
            (417, "/file", "-H", "Expect: x"), (431, "/file", "-H", "X: " + "a" * 20000),
            (500, "/loop.cgi"), (501, "/file", "-H", "Transfer-Encoding: gzip"),
            (502, "/silent.cgi"), (502, "/wrong.cgi"), (502, "/kills.cgi", "-d", "x")]:
        look(status, *curl(door, *arguments, path=path))
    raw(408, b"GET /file HTTP/1.1\r\nHost")
    raw(411, b"POST /run.cgi HTTP/1.0\r\n\r\n")
    raw(505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n")
    with door.connect() as peer:
        peer.sendall(b"GET /hangs.cgi HTTP/1.1\r\nHost: a\r\n\r\n")
        procs.wait_until(lambda: any(procs.descendants(one) for one in door.fpm.workers()), "it runs")
        look(503, *curl(door, path="/run.cgi"))
        look(504, *read_response(peer))
    assert sorted(seen) == [400, 403, 404, 405, 408, 411, 412, 413, 414, 416, 417, 431, 500, 501, 502,
                            503, 504, 505]
    for status, (kind, text) in seen.items():
        if kind.startswith("text/html"):  # the pool's own
            text = re.sub(r"(?s)^.*<h1>(.*)</h1>\n<p>(.*)</p>.*$", r"\1\n\2\n", text)
        # The status and its name, then a sentence.
        assert re.fullmatch(rf"{status} [A-Z][A-Za-z -]+\n[A-Z].*\.\n", text), text
    # HEAD has the same head, and no page.
    status, fields, body = curl(door, "-I", path="/none")
    assert (status, body) == (404, b"") and fields["content-length"] == str(len(seen[404][1]))


# What a script may answer -----------------------------------------------------------------------------


def test_location_is_resolved_here_or_sent(case):
    case.write("www/file", "file\n")
    case.script("www/env.cgi", ENV)
    script(case, "to.cgi", "cat >/dev/null; printf \"Location: $QUERY_STRING\\n\\n\"")
    script(case, "sent.cgi", "printf 'Status: 303 See Other\\nLocation: /file\\n\\n'")
    script(case, "chain.cgi", """
        n=$QUERY_STRING
        if [ $n = 0 ]; then printf 'Content-Type: text/plain\\n\\nend\\n'; exit; fi
        printf "Location: /chain.cgi?$((n - 1))\\n\\n" """)
    door = Door(case, "http.scripts = extension")
    assert curl(door, path="/to.cgi?/file")[2] == b"file\n"
    assert curl(door, "-I", path="/to.cgi?/file")[1]["content-length"] == "5"
    assert curl(door, path="/to.cgi?/none")[0] == 404
    # By GET, without the body, with a query and a PATH_INFO of its own.
    status, _, body = curl(door, "-d", "secret=1", path="/to.cgi?/env.cgi/more?a=b")
    env = told(body)
    assert status == 200 and env["REQUEST_METHOD"] == "GET" and body.endswith(b"body: \n")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"]) == ("/env.cgi", "/more", "a=b")
    assert env["REQUEST_URI"] == "/to.cgi?/env.cgi/more?a=b" and "CONTENT_LENGTH" not in env
    # Ten times, and not more.
    assert curl(door, path="/chain.cgi?10")[::2] == (200, b"end\n")
    assert curl(door, path="/chain.cgi?11")[0] == 500
    door.fpm.wait_line("more than 10 local redirects")
    # Out of the root, and to another host.
    assert curl(door, path="/to.cgi?/../etc/passwd")[0] == 502
    status, fields, _ = curl(door, path="/to.cgi?http://example.org/")
    assert status == 302 and fields["location"] == "http://example.org/"
    status, fields, _ = curl(door, path="/to.cgi?//example.org/x")
    assert status == 302 and fields["location"] == "//example.org/x", "another host, not a path"
    status, fields, _ = curl(door, path="/sent.cgi")
    assert status == 303 and fields["location"] == "/file"


def test_x_sendfile_sends_files_of_the_root_alone(case):
    big = os.urandom(300_000)
    case.write("www/inside/big.png", "")
    (case.dir / "www" / "inside" / "big.png").write_bytes(big)
    case.write("www/.hidden", "hidden\n")
    case.write("outside", "s3cret\n")
    os.symlink(case.dir / "outside", case.dir / "www" / "link")
    script(case, "send.cgi", 'printf "X-Sendfile: $QUERY_STRING\\nX-More: 1\\n\\n"; echo unseen')
    script(case, "typed.cgi", 'printf "Content-Type: text/x\\nX-Sendfile: inside/big.png\\n\\n"')
    door = Door(case, "http.scripts = extension")
    for name in (f"{door.root}/inside/big.png", "inside/big.png"):
        status, fields, body = curl(door, path=f"/send.cgi?{name}")
        assert status == 200 and body == big and fields["x-more"] == "1", name
        assert fields["content-type"] == "image/png", fields
        assert "x-sendfile" not in fields
    assert curl(door, path="/typed.cgi")[1]["content-type"] == "text/x"
    status, _, body = curl(door, "-r", "10-19", path="/typed.cgi")
    assert status == 206 and body == big[10:20]
    assert curl(door, path="/send.cgi?.hidden")[2] == b"hidden\n", "the script may"
    for name in (f"{case.dir}/outside", "/etc/passwd", "../outside", "inside/../../outside", "link",
                 f"{door.root}/../outside", f"{door.root}x", "none", "inside", "/"):
        status, _, body = curl(door, path=f"/send.cgi?{name}")
        assert status in (404, 500) and b"s3cret" not in body and b"root:" not in body, (name, status)
    door.fpm.wait_line("script /send.cgi names no file of http.root in X-Sendfile")


def test_all_parameters_of_cgi(case):
    case.script("www/env.cgi", ENV)
    door = Door(case, "http.scripts = extension")
    _, _, body = curl(door, "-d", "x=1", "-H", "Cookie: a=b", "-H", "Authorization: Basic eDp5",
                      "-H", "X-Odd: 1", "-H", "X_Odd: 2", path="/env.cgi/a%20b%2Fc?d=%20e")
    env = told(body)
    root, port = str(door.root), str(door.port)
    for name, value in {
            "CONTENT_LENGTH": "3", "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "GATEWAY_INTERFACE": "CGI/1.1", "PATH_INFO": "/a b/c", "PATH_TRANSLATED": f"{root}/a b/c",
            "QUERY_STRING": "d=%20e", "REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "/env.cgi", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1", "SCRIPT_FILENAME": f"{root}/env.cgi", "DOCUMENT_ROOT": root,
            "REQUEST_URI": "/env.cgi/a%20b%2Fc?d=%20e", "REQUEST_SCHEME": "http", "HTTP_COOKIE": "a=b",
            "HTTP_HOST": f"127.0.0.1:{port}", "HTTP_AUTHORIZATION": "Basic eDp5",
            "HTTP_X_ODD": "1"}.items():
        assert env.get(name) == value, f"{name}: {env.get(name)}"
    assert re.fullmatch(r"fpm/[\d.]+\S*", env["SERVER_SOFTWARE"])
    assert 0 < int(env["REMOTE_PORT"]) < 65536
    # Nobody was asked for a password here; a program that reads a length would wait for a body.
    _, _, body = curl(door, path="/env.cgi")
    env = told(body)
    assert env["QUERY_STRING"] == ""
    for name in ("AUTH_TYPE", "REMOTE_USER", "HTTPS", "PATH_INFO", "PATH_TRANSLATED", "CONTENT_LENGTH",
                 "CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_CONNECTION"):
        assert name not in env, f"{name}: {env[name]}"


# Who asks ---------------------------------------------------------------------------------------------


def test_the_address_of_the_client_comes_from_trusted_proxies(case):
    case.script("www/env.cgi", ENV)
    log = case.folder("log") / "access.log"
    door = Door(case, f"""
        http.scripts = extension
        http.trusted_proxies = 127.0.0.1, 192.0.2.0/24
        http.real_ip_header = X-Forwarded-For
        access.log = {log}
    """)

    def remote(*fields):
        headers = [word for field in fields for word in ("-H", field)]
        return told(curl(door, *headers, path="/env.cgi")[2])["REMOTE_ADDR"]

    assert remote() == "127.0.0.1"
    assert remote("X-Forwarded-For: 198.51.100.7") == "198.51.100.7"
    assert remote("X-Forwarded-For: 198.51.100.7, 192.0.2.5") == "198.51.100.7"
    # What the client itself has written in front of it counts for nothing.
    assert remote("X-Forwarded-For: 10.0.0.1, 198.51.100.7, 192.0.2.5") == "198.51.100.7"
    assert remote("X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 198.51.100.7") == "198.51.100.7"
    assert remote("X-Forwarded-For: 2001:db8::7") == "2001:db8::7"
    assert remote("X-Forwarded-For: nobody") == "127.0.0.1"
    assert remote("X-Real-IP: 198.51.100.7") == "127.0.0.1"
    assert told(curl(door, "-H", "X-Forwarded-Proto: https", path="/env.cgi")[2])["HTTPS"] == "on"
    procs.wait_until(lambda: log.read_text().count("\n") == 9, "nine lines")
    assert [line.split()[0] for line in log.read_text().splitlines()][1] == "198.51.100.7"
    door.fpm.stop()
    door = Door(case, """
        http.scripts = extension
        http.trusted_proxies = 192.0.2.1
        http.real_ip_header = X-Forwarded-For
    """)
    assert remote("X-Forwarded-For: 198.51.100.7") == "127.0.0.1"
    assert "HTTPS" not in told(curl(door, "-H", "X-Forwarded-Proto: https", path="/env.cgi")[2])


def test_the_access_log_has_a_line_for_everybody(case):
    case.write("www/file", "file\n")
    script(case, "out.cgi", "printf 'Status: 201 Made\\nContent-Type: text/x\\n\\n'; cat")
    log = case.folder("log") / "access.log"
    door = Door(case, f"http.scripts = extension\naccess.log = {log}")
    curl(door, path="/file")
    curl(door, "-u", "ann:secret", "-d", "12345", path="/out.cgi?q=1")
    curl(door, "-I", path="/file")
    door.raw(b"nonsense\r\n\r\n")
    door.raw(b"GET /\x01 HTTP/1.1\r\n\r\n")
    procs.wait_until(lambda: log.read_text().count("\n") == 5, "five lines")
    common = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    for line, wanted in zip(log.read_text().splitlines(), [
            rf'127\.0\.0\.1 - - {common} "GET /file HTTP/1\.1" 200 5 "-" "curl/[\d.]+"',
            rf'127\.0\.0\.1 - ann {common} "POST /out\.cgi\?q=1 HTTP/1\.1" 201 5 "-" "curl/[\d.]+"',
            rf'127\.0\.0\.1 - - {common} "HEAD /file HTTP/1\.1" 200 0 "-" "curl/[\d.]+"',
            rf'127\.0\.0\.1 - - {common} "-" 400 \d+ "-" "-"',
            rf'127\.0\.0\.1 - - {common} "-" 400 \d+ "-" "-"']):
        assert re.fullmatch(wanted, line), line
    door.fpm.stop()
    log.unlink()
    door = Door(case, f"http.scripts = extension\naccess.log = {log}\naccess.format = json")
    curl(door, "-d", "12345", path="/out.cgi?q=1")
    curl(door, path="/none")
    procs.wait_until(lambda: log.exists() and log.read_text().count("\n") == 2, "two lines")
    made, none = (json.loads(line) for line in log.read_text().splitlines())
    for one, wanted in [(made, {"method": "POST", "uri": "/out.cgi", "query": "q=1", "status": 201,
                                "pool": "web"}),
                        (none, {"method": "GET", "uri": "/none", "status": 404})]:
        assert {name: one.get(name) for name in wanted} == wanted, one


# Bodies -----------------------------------------------------------------------------------------------


def test_large_bodies_with_expect_and_in_chunks_both_ways(case):
    body = os.urandom(2 << 20)
    (case.dir / "body").write_bytes(body)
    script(case, "echo.cgi", "printf 'Content-Type: application/x\\n\\n'; cat")
    door = Door(case, "http.scripts = extension")
    # curl asks first whether it may, above 1 MB; it would wait half a minute for an answer.
    began = time.monotonic()
    done = subprocess.run(["curl", "-sv", "--expect100-timeout", "30", "--data-binary",
                           f"@{case.dir}/body", f"http://127.0.0.1:{door.port}/echo.cgi"],
                          capture_output=True, timeout=60, check=True)
    assert b"< HTTP/1.1 100 Continue" in done.stderr and time.monotonic() - began < 20
    assert done.stdout == body
    status, fields, got = curl(door, "-H", "Transfer-Encoding: chunked", "--data-binary",
                               f"@{case.dir}/body", path="/echo.cgi")
    assert status == 200 and got == body and fields["transfer-encoding"] == "chunked"
    assert "content-length" not in fields
    # A refusal comes instead of the 100, and the body is not sent at all.
    done = subprocess.run(["curl", "-sv", "--expect100-timeout", "30", "--data-binary",
                           f"@{case.dir}/body", f"http://127.0.0.1:{door.port}/none"],
                          capture_output=True, timeout=60, check=True)
    assert b"< HTTP/1.1 404" in done.stderr and b"100 Continue" not in done.stderr


@plain_only
@needs_root
def test_files_of_64_kb_go_out_by_sendfile(case):
    if not shutil.which("strace"):
        case.skip("strace is not installed")
    folder = case.folder("www")
    for size in (65535, 65536, 500_000):
        (folder / str(size)).write_bytes(os.urandom(size))
    door = Door(case)
    trace = case.dir / "trace"
    tracer = Daemon(case, "strace", ["strace", "-p", door.pid(), "-e", "trace=sendfile,openat2,pread64",
                                     "-s", "0", "-o", trace])
    case.defer(tracer.kill)
    tracer.wait_line("attached")
    calls = {}
    for size in (65535, 65536, 500_000):
        before = len(trace.read_text())
        assert curl(door, path=f"/{size}")[2] == (folder / str(size)).read_bytes()
        calls[size] = trace.read_text()[before:]
    assert "sendfile" not in calls[65535] and "pread64" in calls[65535], calls
    for size in (65536, 500_000):
        sent = re.findall(r"sendfile\(.*\) += (\d+)", calls[size])
        assert sum(int(one) for one in sent) == size and "pread64" not in calls[size], calls


# What lies in the root ------------------------------------------------------------------------------------


def test_links_lead_nowhere_unless_they_may(case):
    case.write("outside/file", "outside\n")
    case.write("www/inside", "inside\n")
    www = case.dir / "www"
    os.symlink("inside", www / "near")
    os.symlink(www / "inside", www / "absolute")
    os.symlink("../outside/file", www / "far")
    os.symlink("../outside", www / "folder")
    os.symlink("/proc/self/root/etc/passwd", www / "proc")
    os.symlink("loop", www / "loop")
    wanted = {"/near": (200, 200), "/absolute": (403, 200), "/far": (403, 200), "/folder/file": (403, 200),
              "/folder/": (403, 403), "/proc": (403, 200), "/loop": (403, 403)}
    for number, follow in enumerate(("no", "yes")):
        door = Door(case, f"http.follow_links = {follow}")
        got = {path: curl(door, path=path)[0] for path in wanted}
        assert got == {path: statuses[number] for path, statuses in wanted.items()}, (follow, got)
        door.fpm.stop()


def test_types_are_the_systems(case):
    types = {}
    with open("/etc/mime.types", encoding="utf-8") as file:
        for line in file:
            kind, *suffixes = line.partition("#")[0].split() or [""]
            for suffix in suffixes:
                if suffix.isalnum():
                    types.setdefault(suffix.lower(), kind)
    sample = {suffix: types[suffix] for suffix in sorted(types)[::25]}
    sample.update({one: types[one] for one in ("html", "css", "js", "json", "svg", "png", "pdf", "txt")})
    for suffix in sample:
        case.write(f"www/file.{suffix}", "x")
    case.write("www/UPPER.HTML", "x")
    case.write("www/a.html.none", "x")
    case.write("www/none", "x")
    door = Door(case)
    with door.connect() as peer:
        for suffix, kind in sample.items():
            peer.sendall(f"GET /file.{suffix} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert read_response(peer)[1]["Content-Type"] == kind, suffix
    assert curl(door, path="/UPPER.HTML")[1]["content-type"] == "text/html"
    assert curl(door, path="/none")[1]["content-type"] == "application/octet-stream"
    assert curl(door, path="/a.html.none")[1]["content-type"] == "application/octet-stream"
    case.say(f"{len(sample)} types compared with /etc/mime.types")


def test_hidden_files_may_be_shown(case):
    for name in (".env", ".git/config", "a/.b/c", ".well-known/acme/token", ".well-known/.x"):
        case.write(f"www/{name}", "x")
    paths = ["/.env", "/.git/config", "/a/.b/c", "/.well-known/acme/token", "/.well-known/.x", "/%2eenv"]
    door = Door(case)
    assert [curl(door, path=path)[0] for path in paths] == [404, 404, 404, 200, 404, 404]
    door.fpm.stop()
    door = Door(case, "http.hidden = yes")
    assert [curl(door, path=path)[0] for path in paths] == [200] * 6


def test_executable_files_run_by_any_method_and_others_are_sent(case):
    case.script("www/prog", ENV)
    case.write("www/data.cgi", "data\n")
    case.script("www/folder/index.html", ENV)
    door = Door(case, "http.scripts = executable")
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "BREW"):
        env = told(curl(door, "-X", method, path="/prog?q")[2])
        assert (env["REQUEST_METHOD"], env["QUERY_STRING"]) == (method, "q")
    assert told(curl(door, path="/prog/more")[2])["PATH_INFO"] == "/more"
    assert curl(door, path="/data.cgi?cat=1")[::2] == (200, b"data\n")
    assert curl(door, "-d", "x", path="/data.cgi")[0] == 405
    assert told(curl(door, path="/folder/")[2])["SCRIPT_NAME"] == "/folder/index.html"


# fpm serve ----------------------------------------------------------------------------------------------


@plain_only
def test_serve_takes_another_port_when_its_own_is_taken(case):
    case.write("www/index.html", "index\n")
    taken = []
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8080))
            holder.listen()
            taken.append(8080)
        except OSError:
            pass  # somebody else has it: as good
        wrapper = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if is_root() else ()
        shown = Daemon(case, "fpm serve", [*wrapper, case.program, "serve", case.dir / "www"],
                       env=dict(os.environ, XDG_RUNTIME_DIR=str(case.dir)), cwd=case.dir)
        case.defer(shown.kill)
        port = int(shown.wait_line(r"^http://127\.0\.0\.1:(\d+)/ serves ").group(1))
        assert port != 8080
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = read_all(peer)
        assert status_of(answer) == 200 and answer.endswith(b"index\n")
    shown.process.terminate()
    assert shown.wait_exit() == 0
    shown.wait_closed()
