"""Two of Debian's php-fpm and ours, side by side on the same scripts, and what they answer.

Each side has a folder of its own for what it writes; the scripts are the same files. All three get
the same requests in the same order, so that also what a worker keeps from one to the next is
compared. What the two php-fpm do not agree on says nothing about ours and does not count.
"""

import dataclasses
import os
import re
import socket
import threading
import time

import fastcgi
from daemon import Daemon

from table import MASKS, POOLS

MINIMAL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
           "LANG": "C", "FROM_OUTSIDE": "kept"}

# Debian's php.ini-production, with errors shown and limits that a test can reach.
PHP_INI = """\
engine = On
short_open_tag = Off
expose_php = On
output_buffering = 4096
max_execution_time = 30
max_input_time = 60
memory_limit = 32M
error_reporting = E_ALL
display_errors = On
display_startup_errors = On
log_errors = On
html_errors = On
variables_order = "EGPCS"
request_order = "GP"
post_max_size = 2M
upload_max_filesize = 1M
max_file_uploads = 5
max_input_vars = 50
default_charset = "UTF-8"
default_mimetype = "text/html"
date.timezone = UTC
zend.assertions = -1
upload_tmp_dir = {side}/tmp
session.save_path = {side}/sessions
session.use_strict_mode = 0
session.gc_probability = 0
user_ini.cache_ttl = 0
sendmail_path = /bin/false
[PATH={www}/sections]
precision = 5
user_agent = of the path
post_max_size = 7M
[HOST=section.example]
precision = 6
memory_limit = 44M
"""


@dataclasses.dataclass
class Request:
    """One request. Where a parameter says side0 each side gets its own name."""
    name: str
    params: dict
    body: bytes = b""
    pool: str = "main"
    role: int = fastcgi.RESPONDER
    limit_s: float = 20
    half_close: bool = False  # the client ends its side; php-fpm else waits for what is missing
    prepare: object = None  # called with the folder of the scripts before the request goes out


@dataclasses.dataclass
class Outcome:
    """What came back: both streams, the end of the request, and of the connection."""
    stdout: bytes = b""
    stderr: bytes = b""
    end: str = ""

    def parts(self):
        return {"STDOUT": self.stdout, "STDERR": self.stderr, "end": self.end.encode()}


class Side:
    """One php-fpm with the pools of table.POOLS."""

    def __init__(self, case, name, program, www):
        self.case, self.name, self.program, self.www = case, name, str(program), www
        self.dir = case.dir / name
        for folder in ("tmp", "sessions", "out"):
            (self.dir / folder).mkdir(parents=True)
            os.chmod(self.dir / folder, 0o777)
        self.daemon = None

    def start(self):
        ini = self.case.write(f"{self.name}/php.ini", self._own(PHP_INI))
        pools = [self._pool(name, lines) for name, lines in POOLS.items()]
        config = self.case.write(
            f"{self.name}/php-fpm.conf",
            f"[global]\nerror_log = {self.dir}/error.log\npid = {self.dir}/pid\n"
            "daemonize = no\nlog_limit = 4096\n" + "".join(pools))
        environment = {**MINIMAL, **self.case.sanitizer_environment()}
        command = [self.program, "-F", "-O", "-c", ini, "-y", config]
        self.daemon = Daemon(self.case, self.name, command, env=environment, cwd=self.case.dir)
        self.case.defer(self.stop)
        self.daemon.wait_line("ready to handle connections", 30)

    def _pool(self, name, lines):
        text = f"""
[{name}]
user = www-data
group = www-data
listen = {self.dir}/{name}.sock
listen.mode = 0666
pm = static
pm.max_children = 1
{lines}"""
        return self._own(text)

    def _own(self, text):
        return text.replace("{side}", str(self.dir)).replace("{www}", str(self.www))

    def stop(self):
        if self.daemon.running():
            self.daemon.process.terminate()
            self.daemon.wait_exit(15)
        self.daemon.wait_closed(10)

    def ask(self, request):
        outcome = Outcome()
        try:
            with fastcgi.Connection(str(self.dir / f"{request.pool}.sock"),
                                    request.limit_s) as connection:
                self._exchange(connection, self._request(request), outcome)
        except TimeoutError:
            outcome.end += " and stands still"
        except (ConnectionError, fastcgi.Closed) as error:
            outcome.end += f" cut: {type(error).__name__}"
        return outcome

    def _request(self, request):
        params = {name: value.replace("side0", self.name) if isinstance(value, str) else value
                  for name, value in request.params.items()}
        return dataclasses.replace(request, params=params)

    @staticmethod
    def _exchange(connection, request, outcome):
        data = fastcgi.request(request.params, request.body, role=request.role)
        sender = threading.Thread(target=send_all, args=(connection, data, request.half_close),
                                  daemon=True)
        sender.start()
        while True:
            record = connection.read_record()
            if record is None:
                outcome.end += " closed"
                return
            kind, _, content = record
            if kind == fastcgi.STDOUT:
                outcome.stdout += content
            elif kind == fastcgi.STDERR:
                outcome.stderr += content
            elif kind == fastcgi.END_REQUEST:
                outcome.end += f"END_REQUEST {content[:5].hex()}"
            else:
                outcome.end += f"record {kind} {content.hex()}"


def send_all(connection, data, half_close):
    try:
        connection.send(data)
        if half_close:
            connection.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Sides:
    """All three, and the count of what was compared."""

    def __init__(self, case, tally, www):
        case.needs_php()
        self.www = www
        programs = [case.debians_php_fpm, case.debians_php_fpm, case.php_fpm]
        self.sides = [Side(case, f"side{at}", program, www)
                      for at, program in enumerate(programs, 1)]
        self.tally = tally
        run_all([side.start for side in self.sides])

    def compare(self, group, requests):
        """Sends them one after the other. Texts of what differs."""
        return [text for request in requests for text in self._compare_one(group, request)]

    def _compare_one(self, group, request):
        if request.prepare:
            request.prepare(self.www)
        answers = [Outcome()] * 3

        def ask(at):
            answers[at] = self.sides[at].ask(request)

        began = time.monotonic()
        run_all([lambda at=at: ask(at) for at in range(3)])
        if "COMPARE_TRACE" in os.environ:
            with open(os.environ["COMPARE_TRACE"], "a", encoding="utf-8") as trace:
                print(group, request.name, f"{time.monotonic() - began:.2f} s", answers[0],
                      file=trace)
        masked, used = zip(*(mask(answer) for answer in answers))
        return self.tally.count(group, request, masked, used[2])


def run_all(functions):
    failures = []

    def guarded(function):
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def mask(answer):
    """({part: bytes} with the masks on, names of the masks that found something)"""
    used, out = [], {}
    for part, data in answer.parts().items():
        for name, pattern, by in MASKS:
            data, count = re.subn(pattern, by, data)
            if count:
                used.append(name)
        out[part] = data
    return out, used
