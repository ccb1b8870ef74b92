"""Logs: nobody is stopped by one that is not read, and the access log's lines are php-fpm's."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios

import fastcgi
import procs
from daemon import Daemon
from fpm import SERVICE_USER, is_root

PHP_FPM = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin:/usr/local/sbin")

# So many lines that a few requests fill any pipe.
NOISY = """\
#!/bin/sh
i=0
while [ $i -lt 90 ]; do
  echo "noise $i 0123456789012345678901234567890123456789012345678901234567890123456789" >&2
  i=$((i + 1))
done
printf 'Content-Type: text/plain\\r\\n\\r\\nserved'
"""
HELLO = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nserved'\n"


class Bare:
    """fpm with its log at a place of the test's choice, where the harness cannot wait for lines."""

    def __init__(self, case, error_log, pool="", global_lines="", **options):
        self.case = case
        self.script = case.script("cgi/noisy", NOISY)
        self.address = f"{case.dir}/bare.sock"
        user = f"user = {SERVICE_USER}\ngroup = {SERVICE_USER}\n" if is_root() else ""
        self.config = case.write("bare.conf", f"""\
[global]
error_log = {error_log}
daemonize = no
{global_lines}
[www]
{user}listen = {self.address}
listen.mode = 0666
pm = static
pm.max_children = 2
cgi.root = {case.dir}/cgi
ping.path = /ping
{pool}
""")
        environment = dict(os.environ, **case.sanitizer_environment())
        self.process = subprocess.Popen(
            [case.program, "-F", "-y", self.config], stdin=subprocess.DEVNULL,
            env=environment, cwd=case.dir, **options)
        case.defer(self._clean_up)
        procs.wait_until(self._serves, "fpm serves", 20)

    def _serves(self):
        assert self.process.poll() is None, f"fpm ended with {self.process.returncode}"
        with contextlib.suppress(OSError):
            fastcgi.ping(self.address)
            return True
        return False

    def request(self):
        answer = fastcgi.ask(self.address, fastcgi.params_for("/noisy", self.script))
        assert answer.body == b"served", answer

    def request_missing(self):
        """One line of the log: 404."""
        params = fastcgi.params_for("/missing", self.script.parent / "missing")
        assert fastcgi.ask(self.address, params).status == 404

    def flood(self):
        """Far more lines than pipes hold and processes keep."""
        for _ in range(60):
            self.request()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(10)
        assert status == 0, f"fpm's exit status is {status}"

    def _clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def read_all(handle):
    """What a non-blocking descriptor has now."""
    data = b""
    while True:
        try:
            more = os.read(handle, 65536)
        except (BlockingIOError, OSError):
            return data
        if not more:
            return data
        data += more


def check_still_alive(bare):
    """Workers serve, and the master replaces one that was killed: it is at its loop."""
    bare.request()
    victim = min(procs.children(bare.process.pid))
    os.kill(victim, signal.SIGKILL)
    procs.wait_until(lambda: len([one for one in procs.children(bare.process.pid)
                                  if one != victim]) == 2, "the worker was replaced")
    bare.request()


def check_lost_lines_are_told(bare, read):
    """Once the log is read again, somebody says how many lines were lost."""
    text = b""

    def told():
        nonlocal text
        text += read()
        # What is kept is tried again with the next line: give the workers one to say.
        bare.request_missing()
        text += read()
        return re.search(rb"WARNING: \d+ lines of this log were lost: it was not read", text)

    procs.wait_until(told, "the lost lines are told", 10)


def test_a_fifo_that_nobody_reads_stops_nobody(case):
    fifo = case.fifo("error.fifo")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    case.defer(lambda: os.close(reader))
    bare = Bare(case, fifo)
    bare.flood()
    check_still_alive(bare)
    check_lost_lines_are_told(bare, lambda: read_all(reader))
    bare.flood()  # and full again: it can be stopped all the same
    bare.stop(signal.SIGQUIT)


def test_a_stopped_terminal_stops_nobody(case):
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    case.defer(lambda: (os.close(ours), os.close(theirs)))
    bare = Bare(case, f"{case.dir}/error.log", stdout=theirs, stderr=theirs)
    termios.tcflow(theirs, termios.TCOOFF)  # ^S
    bare.flood()
    check_still_alive(bare)
    termios.tcflow(theirs, termios.TCOON)
    check_lost_lines_are_told(bare, lambda: read_all(ours))
    bare.stop()


def test_a_full_disk_stops_nobody(case):
    bare = Bare(case, "/dev/full", "access.log = /dev/full")
    bare.flood()
    check_still_alive(bare)
    bare.stop()


def test_an_access_log_that_nobody_reads_stops_no_worker(case):
    fifo = case.fifo("access.fifo")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    case.defer(lambda: os.close(reader))
    filler = "x" * 900
    fpm = case.fpm({"www": f"""
        access.log = {fifo}
        access.format = "%r {filler}"
        ping.path = /ping
        """})
    for _ in range(400):
        fastcgi.ping(fpm.address())
    fpm.wait_line(r"ERROR: \[pool www\] access log .*/access.fifo: it is not read")

    def told():
        read_all(reader)
        fastcgi.ping(fpm.address())
        return fpm.find(r"WARNING: \[pool www\] \d+ lines of the access log .* were lost")

    procs.wait_until(told, "the lost lines are told", 10)
    fpm.stop()


def test_json(case):
    case.script("cgi/noisy", NOISY)
    fpm = case.fpm({"www": f"""
        cgi.root = {case.dir}/cgi
        access.log = {case.dir}/access.log
        access.format = json
        """}, "log_format = json")
    params = fastcgi.params_for("/noisy?a=%22", case.dir / "cgi/noisy", REQUEST_ID="r-1",
                                REMOTE_USER="j\xf6 \"q\"\n")
    assert fastcgi.ask(fpm.address(), params).body == b"served"
    fpm.wait_line("noise 89")
    fpm.stop()
    for line in fpm.lines:
        entry = json.loads(line)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d",
                            entry["time"]), line
        assert entry["level"] in ("debug", "notice", "warning", "error", "alert"), line
        assert entry["pid"] > 0, line
    assert any(json.loads(line).get("message") == "exiting, bye-bye!" for line in fpm.lines)
    assert sum(json.loads(line).get("pool") == "www" for line in fpm.lines) >= 90
    about_request = [line for line in fpm.lines if "noise" in line]
    assert all(json.loads(line)["request_id"] == "r-1" for line in about_request), about_request[0]
    access = [json.loads(line) for line in (case.dir / "access.log").read_text().splitlines()]
    assert len(access) == 1, access
    expected = {"pool": "www", "request_id": "r-1", "method": "GET", "uri": "/noisy",
                "query": "a=%22", "status": 200, "bytes": 6, "end": "ok",
                "user": "j\xf6 \"q\"\n"}
    found = {name: access[0][name] for name in expected}
    assert found == expected, found


def test_suppressed_paths(case):
    case.script("cgi/a", HELLO)
    fpm = case.fpm({"www": f"""
        cgi.root = {case.dir}/cgi
        access.log = {case.dir}/access.log
        access.format = "%m %r%Q%q %s"
        access.suppress_path[] = /ping
        access.suppress_path[] = /a
        access.suppress_path[] = /missing
        ping.path = /ping
        pm.max_children = 1
        """})
    script = case.dir / "cgi/a"
    fastcgi.ping(fpm.address())
    for uri, method, body in [("/a", "GET", b""), ("/a", "HEAD", b""), ("/a?x", "GET", b""),
                              ("/a", "POST", b"y"), ("/b", "GET", b"")]:
        fastcgi.ask(fpm.address(), fastcgi.params_for(uri, script, method, body), body)
    fastcgi.ask(fpm.address(), fastcgi.params_for("/missing", case.dir / "cgi/missing"))
    fpm.stop()
    lines = lines_of_log(case.dir / "access.log")
    assert lines == ["GET /a?x 200", "POST /a 200", "GET /b 200", "GET /missing 404"], lines


# The same lines as php-fpm -----------------------------------------------------------------------

CGI = """\
#!/bin/sh
[ "$QUERY_STRING" = missing ] && printf 'Status: 404 Not Found\\r\\n'
[ "$REQUEST_METHOD" = POST ] && cat >/dev/null
printf 'Content-Type: text/plain\\r\\nX-Thing: a b\\r\\n\\r\\n'
[ "$REQUEST_METHOD" = HEAD ] || echo "hello"
"""
PHP = """\
<?php
if ($_SERVER['QUERY_STRING'] == 'missing') header('HTTP/1.1 404 Not Found');
header('Content-Type: text/plain');
header('X-Thing: a b');
if ($_SERVER['REQUEST_METHOD'] == 'POST') file_get_contents('php://input');
echo "hello\\n";
"""
FORMATS = [
    '%R - %u %t "%m %r%Q%q" %s',
    '%R %u %s',
    '%m %r %Q %q',
    '%m %r%Q%q %l',
    '[%n] %f',
    '%{HTTP_HOST}e %{NOT_THERE}e %{REQUEST_ID}e',
    # Not Content-Type: php-fpm keeps that apart from the headers and shows `-`.
    '%{X-Thing}o|%{x-thing}o|%{Not-There}o',
    '%{%Y}t %{%H}T',
    '%p %P',
    '%d %{seconds}d %{mili}d %{milliseconds}d %{micro}d',
    '%C %{user}C %{system}C %{total}C%%',
    '%M %{kilobytes}M %{mega}M',
    'literal text, 100%% "quoted" \\ and ; done',
    '%t|%T',
    '%{%d/%b/%Y:%H:%M:%S %z}t "%m %r%Q%q" %s %f %{mili}d %{kilo}M %C%%',
]
REQUESTS = [
    ("/app/a", "GET", b"", {}),
    ("/app/a?x=1&y=%20z", "GET", b"", {"HTTP_AUTHORIZATION": "Basic am9lOnNlY3JldA==",
                                        "REQUEST_ID": "r-1"}),
    ("/app/a?missing", "GET", b"", {}),
    ("/app/a", "HEAD", b"", {}),
    ("/app/a", "POST", b"0123456789", {"CONTENT_TYPE": "application/octet-stream"}),
]
# What differs from run to run: times with a dot, then whole numbers of a length that only pids,
# memory and microseconds have, then dates.
MASKS = [
    (re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}"), "DATE"),
    (re.compile(r"\b\d+\.(\d+)"), lambda found: "N." + "N" * len(found.group(1))),
]
NUMBERS = re.compile(r"\d+")
# Of these formats every number is a measurement or a pid.
MEASURED = re.compile(r"%(\{\w+\})?[pPdCM]")


def mask(format_text, line):
    if MEASURED.search(format_text) and "%m" not in format_text:
        line = re.sub(r"\d+\.(\d+)", lambda found: "N." + "N" * len(found.group(1)), line)
        return NUMBERS.sub("N", line)
    for pattern, word in MASKS:
        line = pattern.sub(word, line)
    # Memory stands before the percentage of the long format.
    return re.sub(r"(N\.NNN) \d+ (N\.NN%)", r"\1 N \2", line)


def pools_for(lines_of_pool):
    return {f"p{number}": lines_of_pool(number, text) for number, text in enumerate(FORMATS)}


def lines_of_log(path):
    return path.read_text().splitlines()


def start_php_fpm(case, script):
    folder = case.folder("php")
    user = f"user = {SERVICE_USER}\ngroup = {SERVICE_USER}\n" if is_root() else ""
    pools = "\n".join(f"""[p{number}]
{user}listen = {folder}/p{number}.sock
listen.mode = 0666
pm = static
pm.max_children = 1
security.limit_extensions =
access.log = {folder}/p{number}.log
access.format = "{quoted(text)}"
""" for number, text in enumerate(FORMATS))
    config = case.write("php.conf", f"[global]\nerror_log = {folder}/error.log\n"
                                    f"daemonize = no\n{pools}")
    options = ["-R"] if is_root() else []
    daemon = Daemon(case, "php-fpm", [PHP_FPM, "-n", "-F", "-O", *options, "-y", config])
    case.defer(daemon.kill)
    daemon.wait_line("ready to handle connections", 20)
    ask_all(lambda number: f"{folder}/p{number}.sock", script)
    daemon.process.send_signal(signal.SIGQUIT)
    daemon.wait_exit(10)
    return folder


def quoted(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def ask_all(address, script):
    for number in range(len(FORMATS)):
        for uri, method, body, more in REQUESTS:
            params = fastcgi.params_for(uri, script, method, body, **more)
            answer = fastcgi.ask(address(number), params, body)
            assert answer.ended, answer


def test_access_lines_are_those_of_php_fpm(case):
    if PHP_FPM is None:
        case.skip("php-fpm 8.2 is not installed")
    # One path for both, so that %f is the same: each program is given its own file there.
    script = case.script("www/a", PHP)
    theirs = start_php_fpm(case, script)
    script = case.script("www/a", CGI)
    ours = case.folder("ours")
    fpm = case.fpm(pools_for(lambda number, text: f"""
        listen = {ours}/p{number}.sock
        pm.max_children = 1
        cgi.root = {case.dir}/www
        access.log = {ours}/p{number}.log
        access.format = "{quoted(text)}"
        """))
    ask_all(lambda number: f"{ours}/p{number}.sock", script)
    fpm.stop()
    differences = []
    for number, text in enumerate(FORMATS):
        expected = [mask(text, line) for line in lines_of_log(theirs / f"p{number}.log")]
        found = [mask(text, line) for line in lines_of_log(ours / f"p{number}.log")]
        assert len(expected) == len(REQUESTS), (text, expected)
        if expected != found:
            differences.append((text, expected, found))
    assert not differences, "\n".join(
        f"{text}\n  php-fpm {expected}\n  fpm     {found}" for text, expected, found in differences)
