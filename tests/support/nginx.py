"""Debian's nginx in front of fpm, with a configuration and a port of the case's own."""

import http.client
import os
import shutil
import signal

from daemon import Daemon
from fpm import SERVICE_USER, free_port, is_root

TEMPLATE = """\
daemon off;
pid {dir}/nginx.pid;
error_log stderr notice;
worker_processes 1;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type text/plain;
  client_max_body_size 0;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
{http}
}}
"""


SERVER = """\
  server {{
    listen 127.0.0.1:{port};
    server_name localhost;
{locations}
  }}
"""


class Nginx(Daemon):
    """locations: text for the server block. `url(path)` and `get(path)` go to it. `http`: text for the
    whole http block instead, with {port}."""

    def __init__(self, case, locations, http=None):
        folder = case.dir / "nginx"
        folder.mkdir(mode=0o755)
        self.port = free_port()
        config = folder / "nginx.conf"
        config.write_text(TEMPLATE.format(dir=folder, http=self._http(locations, http),
                                          user=f"user {SERVICE_USER};" if is_root() else ""))
        super().__init__(case, "nginx", [program(), "-e", "stderr", "-p", folder, "-c", config])
        case.defer(self.stop)
        self.wait_line("start worker process ")

    def _http(self, locations, http):
        if http is None:
            return SERVER.format(port=self.port, locations=locations)
        return http.replace("{port}", str(self.port))

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def open(self, method, path, body=None, headers=None, limit_s=30):
        """A response as http.client has it, to be read piece by piece."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        connection.request(method, path, body, headers or {})
        return connection.getresponse()

    def get(self, path, headers=None):
        """(status, headers, body)"""
        return self.ask("GET", path, None, headers)

    def ask(self, method, path, body=None, headers=None, limit_s=30):
        response = self.open(method, path, body, headers, limit_s)
        with response:
            return response.status, dict(response.getheaders()), response.read()

    def stop(self):
        if self.running():
            os.kill(self.pid, signal.SIGTERM)
            self.wait_exit()
        self.wait_closed()


def program():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
