"""Real FastCGI programs behind fpm, unchanged, and beside them what happens without it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import fastcgi
import procs
from fpm import free_port
from spawnfcgi import spawned

IIPSRV = "/usr/lib/iipimage-server/iipsrv.fcgi"
TILE = "/x?DeepZoom=image.tif_files/10/1_1.jpg"
PERL = """\
#!/usr/bin/perl
use FCGI;
my $count = 0;
my $request = FCGI::Request();
while ($request->Accept() >= 0) {
  $count++;
  my $size = read(STDIN, my $body, 1 << 20) // 0;
  if (($ENV{QUERY_STRING} // '') =~ /die/) { exit 7; }
  if (($ENV{QUERY_STRING} // '') =~ /err/) { print STDERR "said by Perl\\n"; }
  print "Content-Type: text/plain\\r\\n\\r\\nhello from $$, $count, $size\\n";
}
"""
PHP = """\
<?php
while (ob_get_level() > 0) { ob_end_flush(); }
if (isset($_GET['abort'])) {
  register_shutdown_function(function () { touch($_GET['abort'] . connection_status()); });
  while (true) { echo str_repeat('x', 1000); flush(); usleep(5000); }
}
if (isset($_GET['stream'])) { echo 'first '; flush(); usleep(600000); }
if (isset($_GET['exit'])) { exit(3); }
if (isset($_FILES['file'])) {
  echo 'file ', $_FILES['file']['size'], ' ', md5_file($_FILES['file']['tmp_name']); exit;
}
echo 'hello ', strlen(file_get_contents('php://input'));
"""


def bench(case, *words, fails=False):
    """The report of fcgi-bench; every request was answered rightly."""
    command = [case.build / "tools" / "fcgi-bench", "--json", *words]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert fails or (said["failed"] == 0 and done.returncode == 0), said
    return said


def pool(command, family, *lines):
    return "\n".join(["handler = fastcgi", f"fastcgi.command = {command}", f"fastcgi.family = {family}",
                      "catch_workers_output = yes", *lines])


def application(case):
    """The program of the case fastcgi."""
    target = case.dir / "app"
    if not target.exists():
        subprocess.run(["cc", "-O1", "-o", target, case.root / "tests/integration/fastcgi/app.c", "-lfcgi"],
                       check=True)
    return target


# iipsrv.

def image(folder):
    """A TIFF of three sizes in tiles."""
    levels = []
    for size in (1024, 512, 256):
        row = bytes(range(256)) * (3 * size // 256)
        raw, level = folder / "raw", folder / f"{size}.tif"
        raw.write_bytes(row * size)
        subprocess.run(["raw2tiff", "-w", str(size), "-l", str(size), "-b", "3", "-p", "rgb", raw, level],
                       check=True)
        levels.append(level)
    subprocess.run(["tiffcp", "-t", "-w", "256", "-l", "256", *levels, folder / "image.tif"], check=True)
    os.chmod(folder / "image.tif", 0o644)


def nginx_with(case, addresses):
    """nginx with 16 kept connections to each; the path /NAME is address NAME's."""
    upstreams = "".join(f"upstream {name} {{ server {address}; keepalive 16; }}\n"
                        for name, address in addresses.items())
    locations = "".join(f"location /{name} {{ include /etc/nginx/fastcgi_params; fastcgi_keep_conn on;"
                        f" fastcgi_pass {name}; }}\n" for name in addresses)
    return case.nginx(None, f"{upstreams}server {{ listen 127.0.0.1:{{port}};\n{locations}}}\n")


def test_iipsrv_behind_kept_connections_of_nginx(case):
    if not os.path.exists(IIPSRV):
        case.skip("iipimage-server is not installed")
    folder = case.folder("images")
    image(folder)
    environment = {"FILESYSTEM_PREFIX": f"{folder}/", "LOGFILE": f"{folder}/log", "VERBOSITY": "1"}
    lines = [f"env[{name}] = {value}" for name, value in environment.items()]
    pools = {"unix": pool(IIPSRV, "libfcgi", "pm.max_children = 2", *lines),
             "tcp": pool(IIPSRV, "libfcgi", "pm.max_children = 2", f"listen = 127.0.0.1:{free_port()}",
                         *lines)}
    fpm = case.fpm(pools)
    count = 300 if case.sanitized else 2000
    with spawned(case.dir, [IIPSRV], 2, environment) as (alone, _):
        nginx = nginx_with(case, {"unix": fpm.nginx_address("unix"), "tcp": fpm.nginx_address("tcp"),
                                  "alone": f"unix:{alone}"})
        server = f"127.0.0.1:{nginx.port}"
        query = TILE.partition("?")[2]
        status, headers, tile = nginx.get(f"/unix?{query}")
        assert status == 200 and headers["Content-Type"] == "image/jpeg" and tile[:2] == b"\xff\xd8"
        bench(case, "--http", server, "-k", "-c", 16, "-n", count, "-u", f"/unix?{query}", "--status", 200)
        bench(case, "--http", server, "-k", "-c", 16, "-n", count, "-u", f"/tcp?{query}", "--status", 200,
              "--mix", "POST:1", "--body", "2K")
        # The control: each of its processes serves the first connection of nginx, and nobody else.
        said = bench(case, "--http", server, "-k", "-c", 16, "-t", 2, "--timeout", 1.5,
                     "-u", f"/alone?{query}", fails=True)
        assert said["failures"]["timeout"] >= 10, said
        nginx.stop()
    fpm.stop()


# Recycling under load.

def test_php_cgi_over_its_recycling(case):
    program = shutil.which("php-cgi8.2")
    if program is None:
        case.skip("php8.2-cgi is not installed")
    script = case.write("hello.php", PHP)
    fpm = case.fpm({"www": pool(program, "php-cgi", "pm.max_children = 4",
                                f"pm.max_requests = {100 if case.sanitized else 500}")})
    count = 1000 if case.sanitized else 10000
    bench(case, fpm.address(), "-c", 16, "-n", count, "-e", f"SCRIPT_FILENAME={script}",
          "-e", "REDIRECT_STATUS=200", "--mix", "GET:4,POST:1", "--body", "1K", "--expect", "hello ")
    # A worker serves on until its successor is ready, which takes long with sanitizers.
    assert len(fpm.find("child .* started")) >= (1 if case.sanitized else 3), fpm.text
    fpm.stop()


def test_perl_over_its_recycling(case):
    script = case.script("hello.pl", PERL)
    fpm = case.fpm({"www": pool(script, "perl", "pm.max_children = 4",
                                f"pm.max_requests = {100 if case.sanitized else 500}")})
    count = 1000 if case.sanitized else 10000
    bench(case, fpm.address(), "-c", 16, "-n", count, "--mix", "GET:4,POST:1", "--body", "1K",
          "--expect", "hello from")
    # A worker serves on until its successor is ready, which takes long with sanitizers.
    assert len(fpm.find("child .* started")) >= (1 if case.sanitized else 3), fpm.text
    fpm.stop()


def test_a_start_of_3_seconds_under_recycling_and_reload(case):
    fpm = case.fpm({"www": pool(application(case), "libfcgi", "pm.max_children = 2", "pm.max_requests = 150",
                                "env[START_DELAY_MS] = 3000")})
    assert fastcgi.ask(fpm.address(), fastcgi.params_for("/x")).body == b"body 0\n"
    pids = set(fpm.workers())
    load = subprocess.Popen([case.build / "tools" / "fcgi-bench", "--json", fpm.address(), "-r", "100",
                             "-t", "20", "-c", "16", "--expect", "body 0"], stdout=subprocess.PIPE, text=True)
    most = 0
    end = time.monotonic() + 6
    while time.monotonic() < end:
        most = max(most, len(fpm.workers()))
        pids |= set(fpm.workers())
    assert len(pids) >= 3, "nobody was recycled"
    before = set(fpm.workers())
    fpm.send(signal.SIGUSR2)
    while load.poll() is None:
        most = max(most, len(fpm.workers()))
    assert most <= 3, most
    assert not before & set(fpm.workers()), "the reload replaced them"
    said = json.loads(load.communicate()[0])
    assert load.returncode == 0 and said["failed"] == 0, said
    assert said["latency_us"]["max"] < 1_000_000, said
    assert len(fpm.find("ready to handle connections")) == 2
    fpm.stop()


# Single habits.

def test_php_cgi_does_what_it_does(case):
    program = shutil.which("php-cgi8.2")
    if program is None:
        case.skip("php8.2-cgi is not installed")
    script, marks = case.write("hello.php", PHP), case.folder("marks")
    fpm = case.fpm({"www": pool(program, "php-cgi", "pm.max_children = 1")})

    def params(query="", **more):
        return fastcgi.params_for("/hello.php?" + query, script, REDIRECT_STATUS=200, **more)
    # An upload.
    content = os.urandom(1 << 20)
    body = (b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + content
            + b"\r\n--b--\r\n")
    answer = fastcgi.ask(fpm.address(), params(method="POST", body=body,
                                               CONTENT_TYPE="multipart/form-data; boundary=b"), body)
    assert answer.body.startswith(b"file %d " % len(content)), answer
    # What is flushed comes at once.
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(params("stream=1")))
        began = time.monotonic()
        client.read_answer(until=lambda answer: b"first" in answer.body)
        first = time.monotonic() - began
        assert client.read_answer().ended
        assert first < 0.4 or case.sanitized, first
    # A script that ends itself ends nothing else.
    assert fastcgi.ask(fpm.address(), params("exit=1")).ended
    # A client that leaves: it stops at the next output.
    with fastcgi.Connection(fpm.address()) as client:
        client.send(fastcgi.request(params(f"abort={marks}/status-")))
        client.read_answer(until=lambda answer: b"xxx" in answer.body)
    procs.wait_until(lambda: os.listdir(marks) == ["status-1"], "PHP has heard of it")
    assert fastcgi.ask(fpm.address(), params()).body == b"hello 0"
    fpm.stop()


def test_perl_says_and_dies(case):
    script = case.script("hello.pl", PERL)
    fpm = case.fpm({"www": pool(script, "perl", "pm.max_children = 1", "request_retry = no")})
    first = fastcgi.ask(fpm.address(), fastcgi.params_for("/x?err"))
    assert first.stderr == b"said by Perl\n" and b"hello from" in first.body, first
    assert fastcgi.ask(fpm.address(), fastcgi.params_for("/x?die")).status == 502
    fpm.wait_line(r"hello.pl \(pid \d+\) ended the request without an answer")
    fpm.wait_line("exited with status 7")
    answer = fastcgi.ask(fpm.address(), fastcgi.params_for("/x"))
    assert re.match(rb"hello from \d+, 1, 0", answer.body), answer
    assert answer.body.split()[2] != first.body.split()[2]
    fpm.stop()


def test_libfcgi_beside_spawn_fcgi(case):
    program = application(case)
    fpm = case.fpm({"www": pool(program, "libfcgi", "pm.max_children = 2")})
    with spawned(case.dir, [program], 2) as (alone, pids):
        for address in (fpm.address(), alone):
            bench(case, address, "-c", 2, "-n", 2000, "--expect", "body 0")
        # It dies: here it comes back, there it does not.
        for address, right in ((fpm.address(), True), (alone, False)):
            for _ in range(2):
                try:
                    fastcgi.ask(address, fastcgi.params_for("/x?die", method="POST"))
                except (fastcgi.Closed, ConnectionError):
                    assert not right
            try:
                answer = fastcgi.ask(address, fastcgi.params_for("/x"))
                assert right and answer.body == b"body 0\n", answer
            except OSError:
                assert not right, "fpm does not answer"
        for pid in pids:
            procs.wait_gone(pid)
    fpm.stop()
