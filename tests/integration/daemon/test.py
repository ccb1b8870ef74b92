"""daemonize = yes: the shell goes on when fpm serves, and knows when it does not."""

import errno
import fcntl
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import termios

import fastcgi
import procs
from case import plain_only
from fpm import SERVICE_USER, free_port, is_root

POOL = """
pm = static
pm.max_children = 2
ping.path = /ping
cgi.root = {dir}/cgi
"""


class Daemonized:
    """fpm as a shell starts it, with its configuration in the case's folder."""

    def __init__(self, case, pool="", global_lines=""):
        self.case = case
        self.socket = f"{case.dir}/www.sock"
        self.pid_file = case.dir / "fpm.pid"
        self.log = case.dir / "error.log"
        (case.dir / "cgi").mkdir(exist_ok=True)
        user = f"user = {SERVICE_USER}\ngroup = {SERVICE_USER}\n" if is_root() else ""
        listen = "" if "listen =" in pool else f"listen = {self.socket}\n"
        case.write("fpm.conf", f"[global]\nerror_log = {self.log}\npid = {self.pid_file}\n"
                   f"{global_lines}\n[www]\n{user}{listen}"
                   + POOL.replace("{dir}", str(case.dir)) + pool)
        self.environment = dict(os.environ, **case.sanitizer_environment())
        self.pid = None
        case.defer(self._clean_up)

    def start(self, *options, **popen_options):
        """Runs it to the end of what the shell waits for; stderr is read to its end."""
        done = subprocess.run([self.case.program, *options, "-y", "fpm.conf"], cwd=self.case.dir,
                              env=self.environment, stdin=subprocess.DEVNULL, timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              text=True, **popen_options)
        if self.pid_file.exists():
            self.pid = int(self.pid_file.read_text())
        return done

    def started(self, *options, **popen_options):
        done = self.start(*options, **popen_options)
        assert done.returncode == 0, done
        return done

    def stop(self, number=signal.SIGTERM):
        os.kill(self.pid, number)
        procs.wait_gone(self.pid)
        assert not self.pid_file.exists()
        assert not os.path.exists(self.socket)
        assert "exiting, bye-bye!" in self.log.read_text()
        self.pid = None

    def _clean_up(self):
        if self.pid and procs.alive(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            procs.wait_gone(self.pid)


def tty_of(pid):
    """The number of the controlling terminal, 0: none."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(text[text.rindex(")") + 2:].split()[4])


def test_the_shell_goes_on_when_fpm_answers(case):
    fpm = Daemonized(case)
    fpm.started()
    # No waiting: exit status 0 means that it serves.
    fastcgi.ping(fpm.socket)
    assert len(procs.children(fpm.pid)) == 2
    assert procs.command_line(fpm.pid).startswith(f"fpm: master process ({case.dir}/fpm.conf)")
    log = fpm.log.read_text()
    assert f"fpm is running, pid {fpm.pid}" in log and "ready to handle connections" in log
    fpm.stop()


def test_the_daemon_has_no_terminal_and_cannot_get_one(case):
    fpm = Daemonized(case)
    fpm.started()
    master = procs.process(fpm.pid)
    assert tty_of(fpm.pid) == 0
    assert master.session not in (master.pid, os.getsid(0)), master
    assert os.readlink(f"/proc/{fpm.pid}/cwd") == "/"
    files = procs.open_files(fpm.pid)
    assert files[0] == "/dev/null" and files[1] == "/dev/null", files
    # What a library prints is found in the log.
    assert files[2] == str(fpm.log), files
    fpm.stop()


def read_terminal(terminal):
    """All that was written to it, to its hang-up."""
    said = b""
    try:
        while piece := os.read(terminal, 65536):
            said += piece
    except OSError as error:
        if error.errno != errno.EIO:  # pty(7): nobody has the other end open any more
            raise
    return said.decode()


def test_a_terminal_that_is_closed_does_not_end_the_daemon(case):
    fpm = Daemonized(case)
    ours, theirs = pty.openpty()
    case.defer(lambda: os.close(ours))

    def take_terminal():
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    # A login shell that starts fpm and ends, whereupon its session is hung up.
    shell = subprocess.Popen(
        ["sh", "-c", '"$@"; echo "status $?"', "sh", str(case.program), "-y", "fpm.conf"],
        cwd=case.dir, env=fpm.environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True, preexec_fn=take_terminal)
    os.close(theirs)
    assert shell.wait(20) == 0
    said = read_terminal(ours)
    assert "status 0" in said, said
    assert "ready to handle connections" in said, said
    fpm.pid = int(fpm.pid_file.read_text())
    assert tty_of(fpm.pid) == 0
    fastcgi.ping(fpm.socket)
    fpm.stop()


def test_nobody_keeps_the_descriptors_of_the_caller(case):
    fpm = Daemonized(case)
    read, write = os.pipe()
    case.defer(lambda: os.close(read))
    fpm.started(pass_fds=[write])
    os.close(write)
    os.set_blocking(read, False)
    assert os.read(read, 1) == b"", "somebody could still write"
    fpm.stop()


def test_what_refuses_is_told_on_stderr_and_by_status_78(case):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fpm = Daemonized(case, f"listen = 127.0.0.1:{port}\n")
        done = fpm.start()
    assert done.returncode == 78, done
    assert f"127.0.0.1:{port}" in done.stderr and "Address already in use" in done.stderr, done
    assert "FPM initialization failed" in done.stderr, done
    assert not fpm.pid_file.exists()
    # The same is in the log, for those who were not there.
    assert "FPM initialization failed" in fpm.log.read_text()
    # What refused has ended before the shell went on; a zombie may take a moment to be reaped.
    procs.wait_until(lambda: not procs.descendants(os.getpid()), "nothing is left", 1)


def test_a_pid_file_that_cannot_be_written_is_a_refusal(case):
    fpm = Daemonized(case)
    fpm.pid_file.mkdir()
    done = subprocess.run([case.program, "-y", "fpm.conf"], cwd=case.dir, env=fpm.environment,
                          stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert done.returncode == 78, done
    assert str(fpm.pid_file) in done.stderr, done
    assert not os.path.exists(fpm.socket), "the socket was left behind"
    procs.wait_until(lambda: not procs.descendants(os.getpid()), "the end of its other half")


def test_a_second_instance_is_refused_and_the_first_serves_on(case):
    fpm = Daemonized(case)
    fpm.started()
    first = fpm.pid
    done = fpm.start()
    assert done.returncode == 78, done
    assert fpm.socket in done.stderr, done
    assert fpm.pid == first
    fastcgi.ping(fpm.socket)
    fpm.stop()


def test_D_goes_into_the_background_whatever_the_file_says(case):
    fpm = Daemonized(case, global_lines="daemonize = no")
    fpm.started("-D")
    assert procs.process(fpm.pid).session != os.getsid(0)
    fastcgi.ping(fpm.socket)
    fpm.stop()


def test_t_says_whether_so_many_files_may_be_open(case):
    fpm = Daemonized(case, "pm.max_children = 500\ncatch_workers_output = yes\n")
    for limit, level in ((4000, "NOTICE"), (600, "WARNING")):
        done = subprocess.run(["prlimit", f"--nofile={limit}:{limit}", case.program, "-t", "-y",
                               "fpm.conf"], cwd=case.dir, env=fpm.environment, timeout=20,
                              stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, done
        need = re.search(rf"{level}: the master needs (\d+) open files, (\d+) while it reloads; "
                         rf"{limit} are allowed", done.stderr)
        assert need and 1500 < int(need.group(1)) < 1600 and int(need.group(2)) > 3000, done


@plain_only
def test_the_files_that_t_counts_are_those_that_are_open(case):
    fpm = Daemonized(case, "pm.max_children = 20\ncatch_workers_output = yes\n")
    fpm.started()
    said = fpm.start("-t").stderr
    need = int(re.search(r"needs (\d+) open files", said).group(1))
    opened = len(os.listdir(f"/proc/{fpm.pid}/fd"))
    assert opened <= need <= opened + 40, (opened, need)
    fpm.stop()


def test_F_stays_in_the_foreground(case):
    fpm = case.fpm({"www": POOL}, "daemonize = yes")
    assert int(fpm.pid_file.read_text()) == fpm.pid
    assert os.readlink(f"/proc/{fpm.pid}/cwd") == str(case.dir)
    fpm.stop()


def test_QUIT_lets_the_daemon_go_in_an_orderly_way(case):
    fpm = Daemonized(case, f"listen = 127.0.0.1:{free_port()}\n")
    fpm.started()
    family = procs.descendants(fpm.pid)
    fpm.stop(signal.SIGQUIT)
    for one in family:
        procs.wait_gone(one.pid)
