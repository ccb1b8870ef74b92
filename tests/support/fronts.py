"""Web servers besides nginx in front of fpm, each with a configuration and a port of the case's own.

pools: {first part of the path: Fpm.address() of a pool}. A request for /NAME/... goes to pool NAME.
"""

import http.client
import os
import shutil
import signal
import socket

from daemon import Daemon
from fpm import SERVICE_USER, free_port, is_root
from nginx import Nginx
import procs


class Front(Daemon):
    """A started one; ended by its pid with the case. `kind` names it in failures."""

    kind = program = config_name = None
    log = "stderr"

    def __init__(self, case, pools):
        self.folder = case.dir / self.kind
        self.folder.mkdir(mode=0o755)
        os.chmod(self.folder, 0o777)
        self.port = free_port()
        config = self.folder / "config"
        config.write_text(self.config(pools))
        super().__init__(case, self.kind, self.command_for(config))
        case.defer(self.stop)
        procs.wait_until(self.listens, f"{self.kind} listens", 10)

    def listens(self):
        assert self.running(), f"{self.kind} has ended: {self.text}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def open(self, method, path, body=None, headers=None, limit_s=30):
        """A response as http.client has it, to be read piece by piece."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        connection.request(method, path, body, headers or {})
        return connection.getresponse()

    def ask(self, method, path, body=None, headers=None, limit_s=30):
        """(status, headers, body)"""
        with self.open(method, path, body, headers, limit_s) as response:
            return response.status, dict(response.getheaders()), response.read()

    def stop(self):
        if not self.running():
            return
        family = [self.pid, *(one.pid for one in procs.descendants(self.pid))]
        os.kill(self.pid, signal.SIGTERM)
        self.wait_exit()
        for pid in family:
            procs.wait_gone(pid)


def unix_path(address):
    assert isinstance(address, str), "a UNIX socket"
    return address


class Lighttpd(Front):
    kind = "lighttpd"

    def config(self, pools):
        servers = ",\n".join(
            f'  "/{name}/" => (("socket" => "{unix_path(address)}", "check-local" => "disable"))'
            for name, address in pools.items())
        user = f'server.username = "{SERVICE_USER}"\nserver.groupname = "{SERVICE_USER}"\n'
        return (f'server.modules = ("mod_fastcgi")\nserver.document-root = "{self.folder}"\n'
                f'server.bind = "127.0.0.1"\nserver.port = {self.port}\n'
                f'server.upload-dirs = ("{self.folder}")\nserver.stream-response-body = 1\n{user if is_root() else ""}'
                f'fastcgi.server = (\n{servers}\n)\n')

    def command_for(self, config):
        return [found("lighttpd"), "-D", "-f", config]


class Haproxy(Front):
    """Asks with GET_VALUES and would put several requests on one connection."""

    kind = "haproxy"

    def config(self, pools):
        lines = ["global", "  log stdout format raw local0",
                 *([f"  user {SERVICE_USER}", f"  group {SERVICE_USER}"] if is_root() else []),
                 "defaults", "  mode http", "  timeout connect 5s", "  timeout client 30s",
                 "  timeout server 30s", "  log global",
                 "fcgi-app fpm", "  log-stderr global", f"  docroot {self.folder}",
                 "  option keep-conn", "  option get-values", "  option mpxs-conns",
                 "  option max-reqs 10",
                 "frontend www", f"  bind 127.0.0.1:{self.port}"]
        lines += [f"  use_backend {name} if {{ path_beg /{name}/ }}" for name in pools]
        for name, address in pools.items():
            lines += [f"backend {name}", "  use-fcgi-app fpm",
                      f"  server one unix@{unix_path(address)} proto fcgi"]
        return "\n".join(lines) + "\n"

    def command_for(self, config):
        return [found("haproxy"), "-db", "-f", config]


class Apache(Front):
    kind = "apache"

    def config(self, pools):
        modules = {"mpm_event": "mpm_event", "authz_core": "authz_core", "proxy": "proxy",
                   "proxy_fcgi": "proxy_fcgi"}
        lines = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{file}.so"
                 for name, file in modules.items()]
        lines += ["ServerName localhost", f"Listen 127.0.0.1:{self.port}",
                  f"PidFile {self.folder}/pid", "ErrorLog /dev/stderr", "LogLevel warn",
                  f"DefaultRuntimeDir {self.folder}", f"DocumentRoot {self.folder}", "Timeout 30"]
        if is_root():
            lines += [f"User {SERVICE_USER}", f"Group {SERVICE_USER}"]
        # The host's name is what Apache tells the workers of two sockets apart by.
        lines += [f'ProxyPass "/{name}/" "unix:{unix_path(address)}|fcgi://{name}/"'
                  for name, address in pools.items()]
        return "\n".join(lines) + "\n"

    def command_for(self, config):
        return [found("apache2"), "-DFOREGROUND", "-d", self.folder, "-f", config]


class NginxFront(Nginx):
    """With kept connections, and one path more for each pool that does not collect bodies first."""

    kind = "nginx"

    def __init__(self, case, pools):
        upstreams, locations = "", ""
        for name, address in pools.items():
            upstreams += f"upstream {name} {{ server unix:{unix_path(address)}; keepalive 16; }}\n"
            for prefix, more in ((name, ""), (f"stream-{name}", "fastcgi_request_buffering off;\n"
                                                                 "fastcgi_buffering off;\n")):
                locations += (f"location /{prefix}/ {{\n include /etc/nginx/fastcgi_params;\n{more}"
                              f" fastcgi_keep_conn on;\n fastcgi_pass {name};\n}}\n")
        super().__init__(case, None, f"{upstreams}server {{\nlisten 127.0.0.1:{{port}};\n"
                                     f"{locations}}}\n")


def found(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert path is not None, f"{program} is not installed"
    return path


FRONTS = (NginxFront, Lighttpd, Haproxy, Apache)
