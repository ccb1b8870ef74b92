"""The programs that are compared, each started on a configuration of its own in the bench's folder."""

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import fastcgi
from daemon import Daemon

HERE = pathlib.Path(__file__).resolve().parent
USER = "www-data"  # of the workers, when root measures
PHP_FPM = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))


class Wrong(Exception):
    """A server did not do what it is measured for."""


class Bench:
    """The folder with the compiled helpers; the servers under way. A context: leaves nothing."""

    def __init__(self, build):
        self.program = pathlib.Path(build).resolve() / "fpm" / "fpm"
        self.daemons = []  # as support/daemon.py wants it
        self._stack = contextlib.ExitStack()
        self._number = 0

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fpm-bench-"))
        self._stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        os.chmod(self.dir, 0o755)
        self.client = self._compile("client")
        self.limit = self._compile("limit")
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _compile(self, source, name=None, *defines):
        target = self.dir / (name or source)
        subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", *defines,
                        HERE / f"{source}.c", "-o", target], check=True)
        return target

    def folder(self):
        self._number += 1
        path = self.dir / str(self._number)
        path.mkdir()
        os.chmod(path, 0o755)
        return path

    def script(self, kind, sleep_ms=0):
        """What says hello after a while, as a program for fpm, in PHP for php-fpm."""
        path = self.dir / (f"wait{sleep_ms}" + (".php" if kind == "php-fpm" else ""))
        if path.exists():
            return path
        if kind == "php-fpm":
            path.write_text(f"<?php usleep({sleep_ms * 1000}); echo 'hello';\n")
        else:
            self._compile("script", path.name, f"-DSLEEP_MS={sleep_ms}")
        return path

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

    def ask(self, address, params, expected, clients=1, total=1):
        """What the client says of its requests, see client.c. Wrong unless every answer is right."""
        file = self.dir / "request"
        file.write_bytes(fastcgi.request(params))
        words = [self.client, address, file, clients, total, expected]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode != 0:
            raise Wrong(f"{address}: {done.stderr}")
        said = json.loads(done.stdout)
        if said["right"] != total:
            raise Wrong(f"{address}: {said['right']} of {total} answers are right: {said}")
        return said


class Server:
    """fpm or php-fpm. pools: {name: lines}; both read the same format."""

    def __init__(self, bench, kind, pools, global_lines="", listen=None):
        """listen: where its one pool listens, instead of on a UNIX socket."""
        self.kind, self.dir = kind, bench.folder()
        self.listen = listen or f"{self.dir}/www.sock"
        config = self.dir / "fpm.conf"
        config.write_text(self._text(pools, global_lines))
        program = PHP_FPM if kind == "php-fpm" else bench.program
        self._began = time.monotonic()
        self.daemon = Daemon(bench, kind, [program, "-F", "-O", "-y", config], cwd=self.dir)
        self.pid = self.daemon.pid

    def _text(self, pools, global_lines):
        lines = ["[global]", f"error_log = {self.dir}/log", "daemonize = no", global_lines]
        for name, text in pools.items():
            lines += [f"[{name}]", f"listen = {self.listen if name == 'www' else self.address(name)}",
                      "listen.mode = 0666"]
            if os.geteuid() == 0:
                lines += [f"user = {USER}", f"group = {USER}"]
            lines.append(text)
        return re.sub(r"^\s+", "", "\n".join(lines), flags=re.M) + "\n"

    def address(self, pool="www"):
        return f"{self.dir}/{pool}.sock"

    @property
    def connect_to(self):
        """Of its one pool, as fastcgi.ask() wants it."""
        host, _, port = self.listen.rpartition(":")
        return self.listen if "/" in self.listen else (host, int(port))

    def wait_ready(self):
        """Sets `ready_ms`: from the start to the line that says so."""
        self.daemon.wait_line("ready to handle connections", 60)
        self.ready_ms = (time.monotonic() - self._began) * 1000

    def stays(self, seconds):
        """Waits that long; Wrong if the server ends."""
        if self._ended_within(seconds):
            raise Wrong(f"{self.kind} has ended: {self.daemon.text[-2000:]}")

    def _ended_within(self, seconds):
        handle = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(handle)

    def stop(self):
        """Sets `stop_ms`: from TERM to its end."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        if not self._ended_within(30):
            raise Wrong(f"{self.kind} does not stop")
        self.stop_ms = (time.monotonic() - began) * 1000
        self.daemon.wait_exit()


@contextlib.contextmanager
def limit_server(bench, workers):
    """The floor, see limit.c: (pid, address)."""
    address = str(bench.folder() / "limit.sock")
    with subprocess.Popen([bench.limit, address, str(workers)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        try:
            if process.stdout.readline() != b"ready\n":
                raise Wrong("limit does not start")
            yield process.pid, address
        finally:
            process.stdin.close()
