"""What `meson install` puts into a system, run from the places that are built in."""

import json
import os
import shutil
import subprocess

import fastcgi
import front_params
import php
import procs
from case import needs_root, plain_only
from daemon import Daemon


def option(case, name):
    """The value that the build folder was configured with."""
    options = json.loads((case.build / "meson-info/intro-buildoptions.json").read_text())
    return next(one["value"] for one in options if one["name"] == name)


def install(case):
    """Into a folder of the case's own, from what is built. Its prefix there, and in the system."""
    meson = shutil.which("meson")
    if meson is None:
        case.skip("meson is not installed")
    staged, prefix = case.dir / "staged", option(case, "prefix")
    subprocess.run([meson, "install", "-C", case.build, "--no-rebuild", "--quiet", "--destdir", staged],
                   check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return f"{staged}{prefix}", prefix


@needs_root
@plain_only
def test_the_installed_program_finds_php_and_serves_a_script(case):
    php.settings(case)
    staged, prefix = install(case)
    programs = f"{prefix}/{option(case, 'sbindir')}"
    library = f"{prefix}/{option(case, 'libdir')}/fpm/php8.2.so"
    if not os.path.isdir(prefix):
        case.skip(f"there is no {prefix} to stand in for")
    if subprocess.run(["unshare", "-m", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        case.skip("no mount namespace")
    config = case.write("php-fpm.conf", f"""[global]
error_log = {case.dir}/error.log
control.socket =
[www]
user = www-data
listen = {case.dir}/php.sock
pm = static
pm.max_children = 1
""")
    script = case.write("www/a.php", "<?php echo PHP_SAPI, ' ', PHP_BINARY;")
    # What was installed stands in its place for this program alone.
    inside = f"mount --bind {staged} {prefix} && exec {programs}/php-fpm -n -F -O -y {config}"
    daemon = Daemon(case, "php-fpm", ["unshare", "-m", "sh", "-ec", inside], cwd="/")
    case.defer(lambda: end(daemon))
    daemon.wait_line("ready to handle connections", 30)
    answer = fastcgi.ask(f"{case.dir}/php.sock", front_params.nginx(str(script.parent), "/a.php"))
    assert answer.body.decode() == f"fpm-fcgi {programs}/php-fpm", answer
    assert any(library in maps_of(one) for one in procs.children(daemon.pid)), library


def maps_of(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return maps.read()


def end(daemon):
    if daemon.running():
        daemon.process.terminate()
        daemon.wait_exit(20)
    daemon.wait_closed(10)
