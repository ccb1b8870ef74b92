"""The built fpm with a configuration of the case's own."""

import os
import pathlib
import re
import signal
import socket

import procs
from daemon import Daemon

# As root the pools and nginx run as this user, as on a Debian server.
SERVICE_USER = "www-data"


def is_root():
    return os.geteuid() == 0


class Fpm(Daemon):
    """Starts `fpm -F -O -y FILE` and waits until it is ready.

    pools: {name: lines}. What every pool needs (listen, pm, pm.max_children, user, group) is added
    unless the lines say it. The socket of pool NAME is `address(NAME)`. `program`: another one, for
    example case.php_fpm, which takes the same.
    """

    def __init__(self, case, pools, global_lines="", *, options=(), wrapper=(), environment=None,
                 as_user=None, wait=True, program=None):
        self.case = case
        self.as_user = as_user
        self.dir = case.dir
        self.pools = {name: self._complete(name, lines) for name, lines in pools.items()}
        self.config = case.dir / "fpm.conf"
        self.pid_file = case.dir / "fpm.pid"
        if as_user:
            os.chmod(case.dir, 0o777)
            wrapper = ("setpriv", f"--reuid={as_user}", "--regid=nogroup", "--clear-groups",
                       *wrapper)
        self.rewrite(global_lines)
        env = dict(os.environ, **case.sanitizer_environment(), **(environment or {}))
        command = [*wrapper, program or case.program, "-F", "-O", "-y", self.config, *options]
        super().__init__(case, "fpm", command, env=env, cwd=case.dir)
        case.defer(self._clean_up)
        if wait:
            self.wait_line("ready to handle connections", 20 if case.sanitized else 10)
            self.children()

    def _complete(self, name, lines):
        lines = lines.strip().replace("{dir}", str(self.dir))
        if f"{self.dir}/cgi" in lines:
            (self.dir / "cgi").mkdir(mode=0o755, exist_ok=True)
        said = set(re.findall(r"^\s*([\w.]+)\s*=", lines, re.M))
        defaults = {
            "listen": f"{self.dir}/{name}.sock",
            "listen.mode": "0666",
            "pm": "static",
            "pm.max_children": "2",
        }
        if is_root() and not self.as_user:
            defaults.update({"user": SERVICE_USER, "group": SERVICE_USER})
        if "http.listen" in said and "listen" not in said:
            del defaults["listen"], defaults["listen.mode"]
        if "listen" in said and not re.search(r"^\s*listen\s*=\s*/", lines, re.M):
            del defaults["listen.mode"]  # TCP
        added = [f"{key} = {value}" for key, value in defaults.items() if key not in said]
        return "\n".join([f"[{name}]", *added, *(line.strip() for line in lines.splitlines())])

    def rewrite(self, global_lines=""):
        """The configuration file, as `pools` has it by now."""
        head = ["[global]", f"error_log = {self.dir}/error.log", f"pid = {self.pid_file}",
                "daemonize = no", *(line.strip() for line in global_lines.strip().splitlines())]
        self.config.write_text("\n".join(head) + "\n\n" + "\n\n".join(self.pools.values()) + "\n")
        os.chmod(self.config, 0o644)

    def change(self, pool, old, new):
        """Edits the configuration file as an operator does."""
        assert old in self.pools[pool], self.pools[pool]
        self.pools[pool] = self.pools[pool].replace(old, new)
        self.rewrite()

    def reload(self, number=signal.SIGUSR2):
        """Sends the signal and waits until the reload is over."""
        mark = "ready to handle connections" if number == signal.SIGUSR2 else "reloaded: "
        before = len(self.find(mark))
        self.send(number)
        procs.wait_until(lambda: len(self.find(mark)) > before, f"{mark!r} after a reload", 10)

    # Where it listens.

    def address(self, pool="www"):
        """A path, or (host, port)."""
        found = re.search(r"^listen\s*=\s*(\S+)", self.pools[pool], re.M)
        if not found:
            return None  # its door's alone
        text = found.group(1)
        if text.startswith("/"):
            return text
        host, _, port = text.rpartition(":")
        return (host.strip("[]") or "127.0.0.1", int(port))

    def nginx_address(self, pool="www"):
        """As fastcgi_pass wants it."""
        address = self.address(pool)
        return f"unix:{address}" if isinstance(address, str) else f"{address[0]}:{address[1]}"

    def sockets(self):
        found = (self.address(name) for name in self.pools)
        return [path for path in found if isinstance(path, str)]

    # Its processes.

    def children(self, limit_s=5):
        """{pid: title} of one look at which each had said what it is: a new process bears the title
        of the one that forked it for a moment."""
        def look():
            titles = {pid: procs.command_line(pid) for pid in procs.children(self.pid)}
            if procs.command_line(self.pid) in titles.values():
                return None
            return ({pid: title for pid, title in titles.items() if title},)  # without: it ends just now
        return procs.wait_until(look, "children with titles of their own", limit_s)[0]

    def workers(self):
        """The pids of the workers, oldest first."""
        return sorted(pid for pid, title in self.children().items()
                      if not (is_reporter(title) or is_door(title) or is_template(title)))

    def doors(self):
        """The pids of the doors."""
        return sorted(pid for pid, title in self.children().items() if is_door(title))

    def templates(self):
        """The pids of the processes that load applications."""
        return sorted(pid for pid, title in self.children().items() if is_template(title))

    def wait_workers(self, count, limit_s=5):
        """Their pids; all children are looked at once for it."""
        def look():
            found = self.workers()
            return len(found) == count and found
        return procs.wait_until(look, f"{count} workers", limit_s)

    def wait_templates(self, count=1, limit_s=5):
        """The same for templates: a worker that one has forked just now bears its title for a moment."""
        def look():
            found = self.templates()
            return len(found) == count and (found or [0])
        return procs.wait_until(look, f"{count} templates", limit_s)

    # Its end.

    def send(self, number):
        os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, limit_s=10):
        """Asks it to stop, and checks that it leaves in an orderly way and nothing behind."""
        family = procs.descendants(self.pid)
        self.send(number)
        self.wait_gone_cleanly(limit_s, family)

    def wait_gone_cleanly(self, limit_s=10, family=()):
        status = self.wait_exit(limit_s)
        assert status == 0, f"fpm's exit status is {status}, not 0"
        self.wait_closed(5)
        assert self.find("exiting, bye-bye!"), "fpm did not say good-bye"
        for one in family:
            # A script's orphan may need a moment to be reaped, none may live on.
            procs.wait_until(lambda one=one: not same_process_alive(one),
                             f"{one.name} ({one.pid}) has ended with fpm", 2)
        self.check_nothing_left()

    def check_nothing_left(self):
        for path in self.sockets():
            assert not os.path.exists(path), f"{path} was left behind"
        assert not self.pid_file.exists(), f"{self.pid_file} was left behind"

    def _clean_up(self):
        if not self.running():
            return
        if self.case.failed:
            family = procs.descendants(self.pid)
            self.kill()
            for one in family:
                procs.end(one.pid)
        else:
            self.stop(signal.SIGTERM)


def is_reporter(title):
    """The master's child that shows the pools, as ps has it."""
    return re.match(r"(php-)?fpm(: reporter| --reporter)", title) is not None


def is_door(title):
    """A child of the master that speaks HTTP for a pool."""
    return re.match(r"(php-)?fpm(: door| --door)", title) is not None


def is_template(title):
    """A child of the master that loads an application and forks workers, as ps has it."""
    return re.match(r"(php-)?fpm: template", title) is not None


def same_process_alive(one):
    now = procs.process(one.pid)
    return now is not None and now.state not in "ZX" and now.name == one.name


def run_once(case, arguments, environment=None, limit_s=15):
    """Runs fpm with arguments until it ends: (exit status, lines)."""
    env = dict(os.environ, **case.sanitizer_environment(), **(environment or {}))
    daemon = Daemon(case, "fpm", [case.program, *arguments], env=env, cwd=case.dir)
    case.defer(daemon.kill)
    status = daemon.wait_exit(limit_s)
    daemon.wait_closed(5)
    return status, daemon.lines


def free_port():
    """A TCP port of 127.0.0.1 on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def give_to_service_user(path):
    """Makes files the service user's, when fpm runs its pools as another user than ours."""
    if not is_root():
        return
    import shutil  # pylint: disable=import-outside-toplevel
    for one in [pathlib.Path(path), *pathlib.Path(path).rglob("*")]:
        shutil.chown(one, SERVICE_USER, SERVICE_USER)
