"""The programs that are compared, each started on a configuration of its own in the bench's folder."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import nginx
import procs
from daemon import Daemon

HERE = pathlib.Path(__file__).resolve().parent
USER = "www-data"  # of the workers, when root measures
PATH = "/usr/sbin:/usr/bin:" + os.environ.get("PATH", "")
PHP_FPM = shutil.which("php-fpm8.2", path=PATH)
PHP_CGI = shutil.which("php-cgi", path=PATH)
# What php-fpm reads, for programs that are PHP.
PHP_INI = pathlib.Path("/etc/php/8.2/fpm/php.ini")
PHP_SCAN = {"PHP_INI_SCAN_DIR": str(PHP_INI.parent / "conf.d")}
SPAWN_FCGI = shutil.which("spawn-fcgi", path=PATH)
FCGIWRAP = shutil.which("fcgiwrap", path=PATH)
NGINX = nginx.program()
WRK = shutil.which("wrk", path=PATH)


class Wrong(Exception):
    """A server did not do what it is measured for."""


class Bench:
    """The folder with the compiled helpers; the servers under way. A context: leaves nothing."""

    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.program = self.build / "fpm" / "fpm"
        self.daemons = []  # as support/daemon.py wants it
        self._stack = contextlib.ExitStack()
        self._number = 0

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fpm-bench-"))
        self._stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        self._runtime = self.dir
        if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK):
            # As /run is: a socket on a disk costs what the file system takes for an inode.
            self._runtime = pathlib.Path(tempfile.mkdtemp(prefix="fpm-bench-", dir="/dev/shm"))
            self._stack.callback(shutil.rmtree, self._runtime, ignore_errors=True)
        for folder in {self.dir, self._runtime}:
            os.chmod(folder, 0o755)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def compiled(self, source, name=None, *options):
        """A program of this folder; None where it cannot be compiled (a library is missing)."""
        target = self.dir / (name or source)
        if not target.exists():
            done = subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", HERE / f"{source}.c",
                                   "-o", target, *options], stderr=subprocess.PIPE, text=True,
                                  check=False)
            if done.returncode != 0 and not options:
                raise Wrong(done.stderr)
        return target if target.exists() else None

    @property
    def limit(self):
        return self.compiled("limit", "limit", "-static")

    def php_fork(self, count):
        """Microseconds of CPU time of a child that a process with PHP forks and that ends at once; None
        where PHP's headers are not installed. PHP loads what php-fpm does."""
        program = self.with_php("forked")
        if not program:
            return None
        return float(subprocess.run([program, str(count), PHP_INI], capture_output=True, text=True, check=True,
                                    env=dict(os.environ, **PHP_SCAN)).stdout)

    def with_php(self, source):
        """A program of this folder that is PHP with its extensions; None without PHP's headers."""
        config = shutil.which("php-config8.2")
        if not config or not PHP_INI.exists():
            return None
        includes = subprocess.run([config, "--includes"], capture_output=True, text=True, check=True).stdout
        return self.compiled(source, source, "-Wno-unused-parameter", *includes.split(), "-lphp8.2")

    @property
    def libfcgi_hello(self):
        return self.compiled("hello", "hello", "-lfcgi")

    def folder(self):
        self._number += 1
        path = self._runtime / str(self._number)
        path.mkdir()
        os.chmod(path, 0o755)
        return path

    def cgi_script(self, sleep_ms=0):
        return self.compiled("script", f"wait{sleep_ms}", "-static", f"-DSLEEP_MS={sleep_ms}")

    def php_script(self, name, text):
        path = self.dir / f"{name}.php"
        path.write_text(f"<?php {text}\n")
        return path

    def script(self, kind, sleep_ms=0):
        """What says hello after a while, as a program for fpm, in PHP for php-fpm."""
        if kind == "php-fpm":
            return self.php_script(f"wait{sleep_ms}", f"usleep({sleep_ms * 1000}); echo 'hello';")
        return self.cgi_script(sleep_ms)

    def has_handler(self, lines):
        """Whether this fpm takes a pool with these lines."""
        folder = self.folder()
        config = folder / "fpm.conf"
        config.write_text(pool_text("www", lines, f"{folder}/www.sock"))
        return subprocess.run([self.program, "-t", "-y", config], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    @contextlib.contextmanager
    def server(self, kind, pools, **options):
        """Started and ready; stopped at the end."""
        server = Server(self, kind, pools, **options)
        try:
            server.wait_ready()
            yield server
            server.stop()
        finally:
            server.daemon.kill()
            self.daemons.remove(server.daemon)
            shutil.rmtree(server.dir, ignore_errors=True)

    @contextlib.contextmanager
    def peer(self, command, address, environment=None):
        """A program that serves at the address until it is ended, workers and all: its pid."""
        with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=dict(os.environ, **(environment or {})),
                              start_new_session=True) as process:
            try:
                procs.wait_until(lambda: answers(address), f"{command[0]} to listen", 20)
                yield process.pid
            finally:
                process.stdin.close()
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)

    def nginx(self, stack, http):
        """support/nginx.py, stopped with the stack."""
        class Case:  # what it wants of a case
            daemons = self.daemons
            dir = self.folder()
            defer = staticmethod(stack.callback)
        return nginx.Nginx(Case, "", http=http)

    def spawn_fcgi(self, address, *command, **environment):
        """peer() of a FastCGI program under spawn-fcgi."""
        where = ["-s", address] if "/" in address else ["-a", *address.split(":")[:1], "-p",
                                                         address.rpartition(":")[2]]
        return self.peer([SPAWN_FCGI, "-n", "-b", 4096, *where, "--", *command], address, environment)

    def load(self, address, *words, check=True):
        """What fcgi-bench says. Wrong unless every answer is right."""
        command = [self.build / "tools" / "fcgi-bench", "--json", *words, address]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=300, check=False)
        if not done.stdout:
            raise Wrong(f"{address}: {done.stderr}")
        said = json.loads(done.stdout)
        if check and said["failed"]:
            raise Wrong(f"{address}: {' '.join(map(str, words))}: {said}")
        return said


def pool_text(name, lines, address):
    text = [f"[{name}]", f"listen = {address}"]
    if "/" in address:
        text.append("listen.mode = 0666")
    if os.geteuid() == 0:
        text += [f"user = {USER}", f"group = {USER}"]
    return re.sub(r"^\s+", "", "\n".join([*text, lines]), flags=re.M) + "\n"


def answers(address):
    family = socket.AF_UNIX if "/" in address else socket.AF_INET
    host, _, port = address.rpartition(":")
    with socket.socket(family) as probe:
        try:
            probe.connect(address if "/" in address else (host, int(port)))
            return True
        except OSError:
            return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """fpm or php-fpm. pools: {name: lines}; both read the same format."""

    def __init__(self, bench, kind, pools, global_lines="", listen=None, tcp=False):
        """listen: where its one pool listens; tcp: each pool at a port of its own."""
        self.kind, self.dir = kind, bench.folder()
        self.addresses = {name: f"127.0.0.1:{free_port()}" if tcp else f"{self.dir}/{name}.sock"
                          for name in pools}
        if listen:
            self.addresses["www"] = listen
        self.listen = self.addresses.get("www")
        config = self.dir / "fpm.conf"
        head = f"[global]\nerror_log = {self.dir}/log\ndaemonize = no\n{global_lines}\n"
        if kind == "fpm":
            head += f"control.socket = {self.dir}/fpm.ctl\n"
        config.write_text(head + "".join(pool_text(name, lines, self.addresses[name])
                                         for name, lines in pools.items()))
        program = PHP_FPM if kind == "php-fpm" else bench.program
        self._began = time.monotonic()
        self.daemon = Daemon(bench, kind, [program, "-F", "-O", "-y", config], cwd=self.dir)
        self.pid = self.daemon.pid

    def address(self, pool="www"):
        return self.addresses[pool]

    @property
    def connect_to(self):
        """Of its one pool, as fastcgi.ask() wants it."""
        host, _, port = self.listen.rpartition(":")
        return self.listen if "/" in self.listen else (host, int(port))

    def wait_ready(self):
        """Sets `ready_ms`: from the start to the line that says so."""
        self.daemon.wait_line("ready to handle connections", 60)
        self.ready_ms = (time.monotonic() - self._began) * 1000

    def stop(self):
        """Sets `stop_ms`: from TERM to its end."""
        began = time.monotonic()
        if not self.daemon.running():
            raise Wrong(f"{self.kind} has ended: {self.daemon.text[-2000:]}")
        os.kill(self.pid, signal.SIGTERM)
        self.daemon.wait_exit(60)
        self.stop_ms = (time.monotonic() - began) * 1000


def limit_server(bench, workers, *how, tcp=False):
    """The floor, see limit.c: peer(), and its address."""
    address = f"127.0.0.1:{free_port()}" if tcp else str(bench.folder() / "limit.sock")
    return bench.peer([bench.limit, address, workers, *how], address), address


def engine_server(bench, workers, script, *how, tcp=False):
    """The floor of PHP, see engine.c: peer(), and its address; None without PHP's headers."""
    program = bench.with_php("engine")
    address = f"127.0.0.1:{free_port()}" if tcp else str(bench.folder() / "engine.sock")
    return program and (bench.peer([program, address, workers, script, PHP_INI, *how], address, PHP_SCAN), address)


def runner_server(bench, program):
    """The least that runs a CGI program, see runner.c: peer(), and its address."""
    address = str(bench.folder() / "runner.sock")
    return bench.peer([bench.compiled("runner", "runner", "-static"), address, program], address), address
