"""The status page beside php-fpm's: the same requests, the same pages but for pids and times."""

import os
import re
import shutil
import signal

import fastcgi
import procs
from case import plain_only
from daemon import Daemon
from fpm import SERVICE_USER, free_port, is_root

POOL = """
pm = static
pm.max_children = 1
pm.status_path = /status
ping.path = /ping
listen.backlog = 100
listen = 127.0.0.1:{port}
"""
FORMATS = ("", "html", "xml", "json", "openmetrics")
# What differs from run to run: pids, times, and what the engine takes of memory and processor.
NAMES = r"(pid|start[ -]time|start[ -]since|request[ -]duration|last[ -]request[ -](?:cpu|memory))"
MASKS = [
    (re.compile(rf"^{NAMES}:( +).*$", re.M), r"\1:\2#"),                        # text
    (re.compile(rf'"{NAMES}":("[^"]*"|[\d.]+)'), r'"\1":#'),                     # json
    (re.compile(rf"<{NAMES}>[^<]*<"), r"<\1>#<"),                               # xml
    (re.compile(rf"<th>{NAMES}</th><td>[^<]*<"), r"<th>\1</th><td>#<"),         # html, the pool
    (re.compile(r"^phpfpm_start_since \d+$", re.M), "phpfpm_start_since #"),
    (re.compile(r"X-Powered-By: [^\r]*\r\n"), ""),                              # the engine's own
]


def masked(answer):
    text = answer.stdout.decode()
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    # The cells of an html row have no names: pid, times, duration, cpu and memory by their places.
    return re.sub(r"<tr><td>.*?</tr>", lambda row: mask_row(row.group(0)), text)


def mask_row(row):
    cells = re.findall(r"<td>(.*?)</td>", row)
    for place in (0, 2, 3, 5, 11, 12):
        cells[place] = "#"
    return "|".join(cells)


class Asker:
    """Asks a pool with one worker, each time when that waits in accept: no client waits in the queue,
    which both pools would show."""

    def __init__(self, address, master):
        self.address = address
        self.master = master
        self.wait_accepting()

    def wait_accepting(self):
        procs.wait_until(self.accepts, "the worker accepts", 10)

    def accepts(self):
        return any(procs.process(pid).state == "S" and waits_in_accept(pid)
                   for pid in procs.children(self.master))

    def ask(self, params, body=b""):
        with fastcgi.Connection(self.address) as client:
            client.send(fastcgi.request(params, body))
            answer = client.read_answer()
            assert client.at_end()
        self.wait_accepting()
        return answer


def waits_in_accept(pid):
    """True where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            channel = file.read()
    except OSError:
        return True
    return channel in ("", "0") or "accept" in channel or "recvmsg" in channel


# What is asked, with what parameters and body: each is seen in the page with `full`. (Of REMOTE_USER,
# which the front vouches for, php-fpm knows nothing.)
ASKED = [
    ("GET", {}, b""),
    ("POST", {}, b"a=b&c=d"),
    ("GET", {"HTTP_AUTHORIZATION": "Basic amFuZTpz", "SCRIPT_FILENAME": "/srv/<b>\"'&amp;/\\x"}, b""),
    ("GET", {"REQUEST_URI": "/elsewhere?x=y"}, b""),
]


def pages(address, master):
    asker, found = Asker(address, master), {}
    for query in ("", "?number=1&x=<&>", "?full"):
        for method in ("GET", "HEAD", "POST"):
            params = fastcgi.params_for(f"/ping{query}", "/srv/ping", method, HTTP_X="y")
            found[f"{method} /ping{query}"] = masked(asker.ask(params))
    for place, (method, more, body) in enumerate(ASKED):
        for word in FORMATS:
            for full in ("", "full"):
                query = "&".join(part for part in (word, full) if part)
                params = fastcgi.params_for("/status" + (f"?{query}" if query else ""),
                                            "/srv/status", method, body, **more)
                found[f"{place} {query or 'text'}"] = masked(asker.ask(params, body))
    return found


@plain_only
def test_five_formats_are_php_fpms(case):
    program = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        case.skip("php-fpm8.2 is not installed")
    port = free_port()
    user = f"user = {SERVICE_USER}\ngroup = {SERVICE_USER}\n" if is_root() else ""
    config = case.write("php.conf", f"[global]\nerror_log = {case.dir}/php.log\ndaemonize = no\n[www]\n"
                                    f"{user}{POOL.format(port=port)}")
    theirs = Daemon(case, "php-fpm", [program, "-n", "-F", "-O", "-y", config])
    try:
        theirs.wait_line("ready to handle connections")
        expected = pages(("127.0.0.1", port), theirs.pid)
    finally:
        os.kill(theirs.pid, signal.SIGTERM)
        theirs.wait_exit()
    fpm = case.fpm({"www": POOL.format(port=free_port())})
    got = pages(fpm.address(), fpm.pid)
    assert len(expected) == 9 + 10 * len(ASKED)
    for query, page in expected.items():
        assert got[query] == page, f"{query}:\n{page}\n--- ours:\n{got[query]}"
    print(f"{len(expected)} pages are the same, {sum(map(len, expected.values()))} characters")
