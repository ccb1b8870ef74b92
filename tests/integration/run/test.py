"""tools/run, the first thing that somebody new does."""

import os
import re
import signal
import socket
import subprocess
import subprocess
import urllib.request

import gittool
from case import plain_only
from daemon import Daemon
from fpm import free_port


def start(case, port):
    temporary = case.folder("tmp")
    environment = dict(os.environ, FPM_PORT=str(port), FPM_BUILD=str(case.build),
                       TMPDIR=str(temporary))
    shown = Daemon(case, "tools/run", [case.root / "tools/run"], env=environment, cwd=case.dir,
                   start_new_session=True)
    case.defer(lambda: stop(shown))
    return shown, temporary


def stop(shown):
    """For cleaning up after a failure: it has more to end than itself."""
    if shown.running():
        shown.process.terminate()
        shown.wait_exit(20)


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        return response.status, response.read().decode()


@plain_only
def test_it_serves_what_it_says_and_leaves_nothing(case):
    port = free_port()
    shown, temporary = start(case, port)
    shown.wait_line("Ctrl-C stops", 120)
    status, page = get(port, "/")
    assert status == 200 and "fpm" in page
    for link in re.findall(r'href="([^"]+)"', page):
        if link != "/cgi/clock":  # takes its ten seconds
            status, body = get(port, link.replace("&amp;", "&"))
            assert status == 200 and body.strip(), link
    assert get(port, "/ping")[1] == "pong"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi/upload", b"u" * 70000, 20) as answer:
        told = answer.read().decode()
    assert "bytes read      70000" in told, told

    work = case.dir / "work"
    gittool.git("clone", "-q", f"http://127.0.0.1:{port}/git/demo.git", work)
    gittool.commit_file(work, "new", b"new\n")
    gittool.git("push", "-q", "origin", "main", folder=work)

    shown.process.send_signal(signal.SIGTERM)
    assert shown.wait_exit(20) == 0
    shown.wait_closed()
    assert not list(temporary.iterdir()), "its folder was left behind"


@plain_only
def test_ctrl_c_ends_it(case):
    shown, temporary = start(case, free_port())
    shown.wait_line("Ctrl-C stops", 120)
    os.killpg(shown.pid, signal.SIGINT)  # as a terminal does
    assert shown.wait_exit(20) == 0
    shown.wait_closed()
    assert not list(temporary.iterdir()), "its folder was left behind"


@plain_only
def test_a_taken_port_is_said_at_once(case):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        shown, temporary = start(case, port)
        assert shown.wait_exit(60) == 1
        shown.wait_line(f"port {port} is taken")
        assert not list(temporary.iterdir())


@plain_only
def test_the_scripts_of_the_tools_are_sound(case):
    for name in ("run", "test", "setup", "build"):
        subprocess.run(["bash", "-n", case.root / "tools" / name], check=True)
