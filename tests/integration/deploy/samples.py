"""tools/deploy/samples with a case's own folders and ports, and the web servers that run them."""

import re
import subprocess

import fronts
from fpm import SERVICE_USER, free_port, give_to_service_user, is_root
from gittool import make_origin
from nginx import Nginx

HELLO = """\
#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
echo "$SCRIPT_NAME $PATH_INFO $QUERY_STRING $REMOTE_ADDR"
cat
"""
PHP = """\
<?php echo $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'] ?? '', ' ', $_GET['x'] ?? '', "\\n";
"""


def build_app(case, path):
    """A FastCGI program that tells how long the body was."""
    subprocess.run(["cc", "-O1", "-o", path, case.root / "tests/integration/fastcgi/app.c", "-lfcgi"],
                   check=True)


class Samples:
    """What the samples name, made below the case's folder, and their pools in a running fpm."""

    def __init__(self, case):
        self.folder = case.root / "tools/deploy/samples"
        self.dir = case.dir
        self.app_port, self.door_port = free_port(), free_port()
        case.folder("run")
        self._make_sites(case)
        self.has_php = any((case.build / "fpm/handlers/php").glob("php*.so"))
        self.fpm = case.fpm(self._pools())

    def _make_sites(self, case):
        case.script("srv/cgi/hello", HELLO)
        case.write("srv/www/hello.php", PHP)
        case.write("srv/www/index.php", PHP)
        case.write("srv/site/index.html", "the site\n")
        case.script("srv/site/hello.cgi", HELLO)
        (case.dir / "srv/app").mkdir()
        build_app(case, case.dir / "srv/app/app.fcgi")
        (case.dir / "srv/git").mkdir()
        self.origin = case.dir / "srv/git/project.git"
        make_origin(self.origin, case.dir / "author", {"readme": b"hello\n"})
        give_to_service_user(case.dir / "srv/git")

    def _pools(self):
        """{name: lines}, with the modes that sockets have when nothing is said."""
        pools = {}
        for part in re.split(r"^(?=\[)", self.text("pools.conf"), flags=re.M)[1:]:
            name, lines = re.match(r"\[(\w+)\]\n(.*)", part, re.S).groups()
            lines = lines.replace("user = git\n", f"user = {SERVICE_USER}\n")
            if not is_root():
                lines = re.sub(r"^(user|listen\.group) = .*\n", "", lines, flags=re.M)
            if re.search("^listen = /", lines, re.M):
                lines += "listen.mode = 0660\n"
            if "handler = php" not in lines or self.has_php:
                pools[name] = lines
        return pools

    def text(self, name, replaced=()):
        """A sample; replaced: {what is there: what shall be there}."""
        text = (self.folder / name).read_text()
        for old, new in dict(replaced).items():
            assert old in text, f"{name} has no {old!r}"
            text = text.replace(old, new)
        text = text.replace("/run/", f"{self.dir}/run/").replace("/srv", f"{self.dir}/srv")
        for old, new in ((9000, self.app_port), (8080, self.door_port)):
            assert re.search(rf"\b{old}\b", text), f"{name} has no {old}"
            text = re.sub(rf"\b{old}\b", str(new), text)
        return text


class SampleNginx(Nginx):
    def __init__(self, case, samples):
        text = samples.text("nginx.conf", {"listen 80;": "listen 127.0.0.1:{port};",
                                           "fastcgi_params;": "/etc/nginx/fastcgi_params;"})
        super().__init__(case, None, text)


class SampleLighttpd(fronts.Lighttpd):
    """Below Debian's lighttpd.conf a file of conf-enabled finds a port and modules."""

    def config(self, pools):
        user = f'server.username = "{SERVICE_USER}"\nserver.groupname = "{SERVICE_USER}"\n'
        return (f'server.modules = ("mod_access", "mod_alias", "mod_redirect")\n'
                f'server.document-root = "{self.folder}"\nindex-file.names = ("index.php")\n'
                f'server.bind = "127.0.0.1"\nserver.port = {self.port}\n'
                f'server.upload-dirs = ("{self.folder}")\n{user if is_root() else ""}'
                + pools.text("lighttpd.conf"))


class SampleCaddy(fronts.Front):
    kind = "caddy"
    GLOBAL = "{\n admin off\n auto_https off\n default_bind 127.0.0.1\n}\n"

    def config(self, pools):
        return self.GLOBAL + pools.text("Caddyfile", {
            f"\n{name} {{": f"\nhttp://{name}:{self.port} {{" for name in
            ("www.example.org", "site.example.org")})

    def command_for(self, config):
        user = ["setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups"]
        return [*(user if is_root() else []), "env", f"HOME={self.folder}", fronts.found("caddy"), "run",
                "--adapter", "caddyfile", "--config", config]


class SampleHaproxy(fronts.Haproxy):
    def config(self, pools):
        user = f"  user {SERVICE_USER}\n  group {SERVICE_USER}\n"
        return (f"global\n  log stdout format raw local0\n{user if is_root() else ''}"
                "defaults\n  mode http\n  log global\n  timeout connect 5s\n  timeout client 30s\n"
                "  timeout server 30s\n"
                + pools.text("haproxy.cfg", {"bind :80": f"bind 127.0.0.1:{self.port}"}))


class SampleApache(fronts.Apache):
    MODULES = ("mpm_event", "authz_core", "dir", "headers", "proxy", "proxy_fcgi", "proxy_http")

    def config(self, pools):
        lines = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
                 for name in self.MODULES]
        lines += ["ServerName localhost", f"Listen 127.0.0.1:{self.port}",
                  f"PidFile {self.folder}/pid", "ErrorLog /dev/stderr", "LogLevel warn",
                  f"DefaultRuntimeDir {self.folder}", "Timeout 30", "DirectoryIndex index.php"]
        if is_root():
            lines += [f"User {SERVICE_USER}", f"Group {SERVICE_USER}"]
        return "\n".join(lines) + "\n" + pools.text("apache.conf", {"*:80": f"127.0.0.1:{self.port}"})


__all__ = ["SampleApache", "SampleCaddy", "SampleHaproxy", "SampleLighttpd", "SampleNginx", "Samples",
           "build_app"]
