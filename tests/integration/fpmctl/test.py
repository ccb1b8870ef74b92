"""fpmctl and the control socket of a running fpm."""

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import fastcgi
import procs
from case import mode_of, needs_root
from fpm import SERVICE_USER, free_port, is_root, run_once
from gate import WAITING_SCRIPT, Gate
from reporter import POOL as WAITING_POOL, Reporter, fill, release

POOL = "ping.path = /ping\npm.status_path = /status\n"
CGI = POOL + "cgi.root = {dir}/cgi\n"


def fpm_with_control(case, pools, lines=""):
    return case.fpm(pools, f"control.socket = {case.dir}/ctl\n{lines}")


def ctl(case, *arguments, limit_s=20, wrapper=()):
    """(exit status, what was printed)"""
    program = case.build / "tools" / "fpmctl"
    done = subprocess.run([*wrapper, program, "-s", f"{case.dir}/ctl", *arguments], text=True,
                          capture_output=True, timeout=limit_s, check=False,
                          env=dict(os.environ, **case.sanitizer_environment()))
    return done.returncode, done.stdout + done.stderr


def status(case):
    code, text = ctl(case, "status", "--json")
    assert code == 0, text
    return {pool["pool"]: pool for pool in json.loads(text)["pools"]}


def connect(case):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(10)
    one.connect(f"{case.dir}/ctl")
    return one


def test_the_socket_is_for_its_user_alone_and_goes_with_fpm(case):
    fpm = fpm_with_control(case, {"www": POOL})
    assert mode_of(case.dir / "ctl") == 0o600
    assert ctl(case, "version")[0] == 0
    fpm.stop()
    assert not (case.dir / "ctl").exists()
    code, text = ctl(case, "version")
    assert code == 2, text


def test_it_is_found_by_the_configuration(case):
    fpm = fpm_with_control(case, {"www": POOL})
    program = case.build / "tools" / "fpmctl"
    done = subprocess.run([program, "-y", fpm.config, "version"], text=True, capture_output=True,
                          timeout=20, check=False)
    assert done.returncode == 0, done


def test_it_is_found_where_it_is_by_default(case):
    """Of a user: below XDG_RUNTIME_DIR."""
    there = {"XDG_RUNTIME_DIR": str(case.dir)}
    user = SERVICE_USER if is_root() else None
    fpm = case.fpm({"www": POOL}, as_user=user, environment=there)
    command = [case.build / "tools" / "fpmctl", "version"]
    if user:
        command = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups", *command]
    for environment, status in ((there, 0), ({"XDG_RUNTIME_DIR": f"{case.dir}/none"}, 2)):
        done = subprocess.run(command, text=True, capture_output=True, timeout=20, check=False,
                              env=dict(os.environ, **case.sanitizer_environment(), **environment))
        assert done.returncode == status, done
    assert mode_of(case.dir / "fpm.ctl") == 0o600
    fpm.stop()
    assert not (case.dir / "fpm.ctl").exists()


def test_without_a_control_socket_there_is_no_answer(case):
    fpm = case.fpm({"www": POOL}, "control.socket = off")
    done = subprocess.run([case.build / "tools" / "fpmctl", "-y", fpm.config, "status"], text=True,
                          capture_output=True, timeout=20, check=False)
    assert done.returncode == 2 and "off" in done.stderr, done
    fastcgi.ping(fpm.address())


def test_status_shows_all_pools(case):
    fpm = fpm_with_control(case, {"www": POOL, "other": POOL + "pm = ondemand\n"})
    fastcgi.ping(fpm.address("www"))
    pools = status(case)
    assert list(pools) == ["www", "other"]
    assert pools["www"]["accepted conn"] == 1 and pools["www"]["idle processes"] == 2
    assert pools["other"]["total processes"] == 0 and pools["other"]["max children"] == 2
    code, text = ctl(case, "status")
    assert code == 0 and re.search(r"^www +serving +static +0 +2 +2", text, re.M), text


def test_reload_waits_for_the_new_generation(case):
    fpm = fpm_with_control(case, {"www": POOL, "other": POOL})
    before = set(fpm.wait_workers(4))
    code, text = ctl(case, "reload", "www")
    assert (code, text) == (0, "1 pools reloaded\n"), text
    fpm.wait_workers(4)
    assert len(before & set(fpm.workers())) == 2
    assert status(case)["www"]["generation"] == 2 and status(case)["other"]["generation"] == 1
    assert ctl(case, "reload", "--changed") == (0, "0 pools reloaded\n")
    code, text = ctl(case, "reload", "none")
    assert code == 1 and "no pool of that name" in text


def test_a_reload_that_is_refused_says_why(case):
    fpm = fpm_with_control(case, {"www": POOL})
    fpm.config.write_text(fpm.config.read_text() + "\npm.max_children = many\n")
    code, text = ctl(case, "reload")
    assert code == 1 and "pm.max_children" in text and "many" in text, text


def test_drain_and_resume(case):
    case.script("cgi/slow.cgi", '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n"\n'
                'read line < "$QUERY_STRING"\necho "$line"\n')
    fpm = fpm_with_control(case, {"www": CGI, "other": POOL})
    gate, answers = case.fifo("gate"), []
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi", QUERY_STRING=str(gate))
    client = threading.Thread(target=lambda: answers.append(fastcgi.ask(fpm.address(), params)))
    client.start()
    procs.wait_until(lambda: status(case)["www"]["active processes"] == 1, "the request runs")
    assert ctl(case, "drain", "www") == (0, "the pool drains\n")
    assert not os.path.exists(fpm.address()), "the socket is still there"
    assert status(case)["www"]["state"] == "draining"
    procs.wait_until(lambda: len(fpm.workers()) == 3, "the idle worker has gone")
    fastcgi.ping(fpm.address("other"))
    gate.write_text("done\n")
    client.join(10)
    assert answers and answers[0].body == b"done\n"
    procs.wait_until(lambda: status(case)["www"]["state"] == "drained", "it is drained")
    fpm.wait_workers(2)
    assert ctl(case, "drain", "www")[0] == 1
    # A reload leaves it as it is.
    assert ctl(case, "reload")[0] == 0
    assert not os.path.exists(fpm.address())
    assert ctl(case, "resume", "www") == (0, "the pool serves\n")
    fastcgi.ping(fpm.address())
    assert status(case)["www"]["state"] == "serving"
    assert ctl(case, "resume", "www")[0] == 1
    assert ctl(case, "resume", "none")[0] == 1


def test_a_drained_pool_is_not_ready(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": WAITING_POOL, "other": WAITING_POOL},
                        f"control.socket = {case.dir}/ctl")
    assert reporter.get("/ready").status == 200
    busy = fill(reporter.fpm, case, 1)
    assert ctl(case, "drain", "www")[0] == 0
    wait_ready(reporter, 503, b"www: not ready, draining\nother: ready\n")
    assert reporter.get("/ready?pool=other").status == 200
    release(gate, busy)
    wait_ready(reporter, 503, b"www: not ready, drained\nother: ready\n")
    assert ctl(case, "resume", "www")[0] == 0
    wait_ready(reporter, 200, b"www: ready\nother: ready\n")
    fastcgi.ping(reporter.fpm.address())


def wait_ready(reporter, status, text):
    def look():
        answer = reporter.get("/ready")
        return (answer.status, answer.body) == (status, text)
    procs.wait_until(look, f"/ready to be {status} {text}", 10)


def test_drain_closes_a_tcp_address_and_resume_opens_it(case):
    fpm = fpm_with_control(case, {"www": POOL + f"listen = 127.0.0.1:{free_port()}\n"})
    assert ctl(case, "drain", "www")[0] == 0
    procs.wait_until(lambda: not fpm.workers(), "its workers have gone")

    def refused():
        with socket.socket() as probe:
            return probe.connect_ex(fpm.address()) != 0
    procs.wait_until(refused, "nobody listens any more")
    assert ctl(case, "resume", "www")[0] == 0
    fastcgi.ping(fpm.address())


def test_logs_are_reopened(case):
    fpm = fpm_with_control(case, {"www": POOL + "access.log = {dir}/access.log\n"})
    os.rename(case.dir / "access.log", case.dir / "access.log.1")
    assert ctl(case, "reopen-logs")[0] == 0
    assert (case.dir / "access.log").exists()
    assert fpm.find(r"fpmctl reopen-logs, sent by pid \d+, uid \d+")


def test_stop_finishes_and_stop_now_does_not_wait(case):
    fpm = fpm_with_control(case, {"www": POOL})
    family = procs.descendants(fpm.pid)
    assert ctl(case, "stop")[0] == 0
    fpm.wait_gone_cleanly(10, family)
    assert fpm.find("Finishing")


def test_stop_now(case):
    case.script("cgi/slow.cgi", "#!/bin/sh\nexec sleep 60\n")
    fpm = fpm_with_control(case, {"www": CGI})
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi")
    with fastcgi.Connection(fpm.address()) as slow:
        slow.send(fastcgi.request(params))
        procs.wait_until(lambda: status(case)["www"]["active processes"] == 1, "the request runs")
        family = procs.descendants(fpm.pid)
        assert ctl(case, "stop", "--now")[0] == 0
        assert slow.read_answer().status == 503
    fpm.wait_gone_cleanly(10, family)


def test_top_sees_workers_that_are_stuck(case):
    case.script("cgi/slow.cgi", "#!/bin/sh\nexec sleep 60\n")
    fpm = fpm_with_control(case, {"www": CGI})
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi", QUERY_STRING="a\x1b[31m=1")
    with fastcgi.Connection(fpm.address()) as slow:
        slow.send(fastcgi.request(params))
        procs.wait_until(lambda: status(case)["www"]["active processes"] == 1, "the request runs")
        for pid in fpm.workers():
            os.kill(pid, signal.SIGSTOP)
        try:
            code, text = ctl(case, "top", "-b", "-n", "2", "-d", "0.1")
        finally:
            for pid in fpm.workers():
                os.kill(pid, signal.SIGCONT)
    assert code == 0, text
    assert len(re.findall(r"^www +\d+ +Running .* GET /slow.cgi", text, re.M)) == 2, text
    assert "\x1b" not in text


def test_top_says_what_a_stuck_script_waits_for(case):
    case.script("cgi/slow.cgi", "#!/bin/sh\nsleep 60\n:\n")
    fpm = fpm_with_control(case, {"www": CGI})
    with fastcgi.Connection(fpm.address()) as slow:
        slow.send(fastcgi.request(fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi")))

        def look():
            code, text = ctl(case, "top", "-b")
            assert code == 0, text
            # Where the kernel does not tell us, a dash stands there.
            return re.search(r"^www +\d+ +Running +sleep: (\S*nanosleep\S*|-) +\d+\.\ds ", text, re.M)
        procs.wait_until(look, "top shows the sleep", 10)


class Terminal:
    """fpmctl top on a terminal of 30 lines of 100 columns."""

    def __init__(self, case, *words):
        ours, theirs = os.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.fd, self.text = ours, ""
        self.before = termios.tcgetattr(ours)
        self.process = subprocess.Popen(
            [case.build / "tools" / "fpmctl", "-s", f"{case.dir}/ctl", "top", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=dict(os.environ, **case.sanitizer_environment()))
        os.close(theirs)
        case.defer(self.end)

    def wait_for(self, pattern, after=0):
        """Reads until the text has it."""
        end = time.monotonic() + 20
        while not (found := re.search(pattern, self.text[after:])):
            assert time.monotonic() < end, f"no {pattern} in {self.text[after:]!r}"
            if select.select([self.fd], [], [], 0.5)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError as error:  # the other side has closed
                    raise AssertionError(f"no {pattern} in {self.text[after:]!r}") from error
        return found

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)


def test_top_on_a_terminal_is_live_and_leaves_it_as_it_was(case):
    case.script("cgi/slow.cgi", "#!/bin/sh\nexec sleep 60\n")
    fpm = fpm_with_control(case, {"www": CGI})
    terminal = Terminal(case, "-d", "0.2")
    terminal.wait_for(r"\x1b\[\?1049h")
    terminal.wait_for(r"POOL +PID +STATE +WAITS IN +FOR +AGE +REQUESTS +MEMORY +REQUEST")
    assert not termios.tcgetattr(terminal.fd)[3] & (termios.ECHO | termios.ICANON)
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi",
                                QUERY_STRING="long=" + "x" * 200)
    with fastcgi.Connection(fpm.address()) as slow:
        slow.send(fastcgi.request(params))
        terminal.wait_for(r"www +\d+ +Running [^\r]* GET /slow.cgi\?long=x")
        mark = len(terminal.text)
        terminal.wait_for(r"\x1b\[H(?s:.*)\x1b\[H", mark)  # it goes on
        for line in re.split(r"\r\n|\x1b\[[0-9?]*[a-zA-Z]", terminal.text):
            assert len(line) <= 100, line
    os.write(terminal.fd, b"q")
    assert terminal.process.wait(10) == 0
    terminal.wait_for(r"\x1b\[\?1049l", mark)
    assert termios.tcgetattr(terminal.fd) == terminal.before


def test_top_ends_when_the_instance_does(case):
    fpm = fpm_with_control(case, {"www": POOL})
    terminal = Terminal(case, "-d", "0.2")
    terminal.wait_for("WAITS IN")
    fpm.stop()
    assert terminal.process.wait(20) == 2
    terminal.wait_for(r"fpmctl: ")
    assert termios.tcgetattr(terminal.fd) == terminal.before


def test_rubbish_is_refused_and_dropped_while_others_are_served(case):
    fpm = fpm_with_control(case, {"www": POOL})
    for rubbish, words in ((b"hello\n", "no JSON"), (b"[]\n", "an order is an object"),
                           (b'{"order":7}\n', "is to be a string"), (b"{}\n", 'has \\"order\\"'),
                           (b'{"order":"dance"}\n', "no such order"),
                           (b'{"order":"drain"}\n', "which pool"),
                           (b'{"orders":"x"}\n', "has no"), (b"[" * 3000 + b"\n", "no JSON"),
                           (b"x" * 5000, "too long"), (b"\xff\xfe\n", "no JSON")):
        with connect(case) as client:
            client.sendall(rubbish)
            answer = client.makefile().readline()
            assert '"done":false' in answer and words in answer, (rubbish, answer)
        assert ctl(case, "version")[0] == 0
    assert not fpm.find("ERROR"), fpm.find("ERROR")


def test_clients_that_hang_are_dropped(case):
    fpm_with_control(case, {"www": POOL})
    with connect(case) as silent, connect(case) as half:
        half.sendall(b'{"order":')
        assert ctl(case, "version")[0] == 0
        assert silent.recv(1) == b"" and half.recv(1) == b""
    assert ctl(case, "version")[0] == 0


def test_more_clients_than_allowed_are_turned_away(case):
    fpm = fpm_with_control(case, {"www": POOL})
    many = [connect(case) for _ in range(17)]
    try:
        fpm.wait_line("16 clients are there already")
        assert many[16].recv(1) == b""
    finally:
        for one in many:
            one.close()
    procs.wait_until(lambda: ctl(case, "version")[0] == 0, "a client is let in again")


def test_orders_on_one_connection_are_answered_in_order(case):
    fpm_with_control(case, {"www": POOL})
    with connect(case) as client:
        client.sendall(b'{"order":"version"}\n{"order":"status"}\n{"order":"version"}\n')
        lines = client.makefile()
        assert "text" in json.loads(lines.readline())
        assert "pools" in json.loads(lines.readline())
        assert "text" in json.loads(lines.readline())


@needs_root
def test_another_user_is_turned_away(case):
    fpm = fpm_with_control(case, {"www": POOL})
    os.chmod(case.dir, 0o755)
    os.chmod(case.dir / "ctl", 0o666)  # the mode alone must not be what protects
    with connect(case):
        pass
    code, text = ctl(case, "stop", wrapper=("setpriv", "--reuid=nobody", "--regid=nogroup",
                                            "--clear-groups"))
    assert code == 2, text
    fpm.wait_line(r"uid \d+ may not give orders")
    fastcgi.ping(fpm.address())


def test_two_instances_do_not_take_each_others_socket(case):
    fpm = fpm_with_control(case, {"www": POOL})
    second = case.dir / "second.conf"
    user = "user = nobody\ngroup = nogroup\n" if is_root() else ""
    second.write_text(f"[global]\nerror_log = {case.dir}/2.log\ncontrol.socket = {case.dir}/ctl\n"
                      f"[www]\nlisten = {case.dir}/2.sock\npm = static\npm.max_children = 1\n{user}")
    code, lines = run_once(case, ["-F", "-O", "-y", str(second)])
    assert code == 78 and any("control.socket" in line for line in lines), lines
    assert ctl(case, "version")[0] == 0
    fpm.stop()


def test_wrong_command_lines(case):
    for words in (["dance"], [], ["drain"], ["status", "www"], ["top", "-d", "0"], ["--none"]):
        code, text = ctl(case, *words)
        assert code == 64 and text.startswith("fpmctl: "), (words, code, text)
    assert ctl(case, "-h")[0] == 0
