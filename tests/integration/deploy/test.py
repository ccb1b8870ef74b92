"""tools/deploy as an operator uses it: samples for web servers, units, rotation of logs."""

import http.client
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess

import procs
from case import needs_root
from fastcgi import Connection, ask, params_for, request
from fpm import run_once
from gate import WAITING_SCRIPT, Gate, first_line_read
from gittool import commit_file, git, head
from notify import Manager
from samples import (SampleApache, SampleCaddy, SampleHaproxy, SampleLighttpd, SampleNginx, Samples,
                     build_app)

# Not the proxy's own address, which the pool trusts.
CLIENT = "127.0.0.2"
CAP_SYS_MODULE = 16  # capabilities(7)


# Web servers -----------------------------------------------------------------------------------


class Visitor:
    """Asks a web server on behalf of www.example.org, unless `host` says otherwise."""

    def __init__(self, server):
        self.port = server.port

    def ask(self, path, body=None, host="www.example.org", method=None, client=CLIENT, **headers):
        """(status, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30,
                                                source_address=(client, 0))
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("POST" if body else "GET"), path, body, {"Host": host, **headers})
        with connection.getresponse() as response:
            answer = response.status, response.read().decode()
        connection.close()
        return answer


def check_sample(case, server_class, keeps, largest_push=2 << 20):
    """keeps: connections to the pool over TCP outlive their request."""
    samples = Samples(case)
    server = server_class(case, samples)
    visitor = Visitor(server)
    scripts_are_run(visitor)
    if samples.has_php:
        php_is_run(visitor)
    the_program_answers(visitor, samples.app_port, keeps)
    the_door_is_reached(visitor)
    repositories_are_cloned_and_pushed_to(case, samples, server.port, largest_push)
    return visitor


def scripts_are_run(visitor):
    expected = f"/cgi/hello /more x=1 {CLIENT}\n"
    assert visitor.ask("/cgi/hello/more?x=1") == (200, expected)
    body = "b" * 100_000
    assert visitor.ask("/cgi/hello/more?x=1", body) == (200, expected + body)
    assert visitor.ask("/cgi/missing")[0] == 404


def php_is_run(visitor):
    assert visitor.ask("/hello.php?x=1") == (200, "/hello.php  1\n")
    assert visitor.ask("/hello.php/more?x=1") == (200, "/hello.php /more 1\n")
    assert visitor.ask("/?x=2") == (200, "/index.php  2\n")
    assert visitor.ask("/missing.php")[0] == 404


def the_program_answers(visitor, port, keeps):
    for _ in range(3):
        assert visitor.ask("/app/x?print=3", "body") == (200, "yyybody 4\n")
    procs.wait_until(lambda: bool(established(port)) == keeps, f"connections that are kept: {keeps}")


def established(port):
    """Connections that a server on this port of 127.0.0.1 has."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return [row for row in rows if row[1] == f"0100007F:{port:04X}" and row[3] == "01"]


def the_door_is_reached(visitor):
    site = "site.example.org"
    assert visitor.ask("/", host=site) == (200, "the site\n")
    forged = visitor.ask("/hello.cgi/more?x=1", host=site, X_Forwarded_For="203.0.113.9")
    assert forged == (200, f"/hello.cgi /more x=1 {CLIENT}\n")


def repositories_are_cloned_and_pushed_to(case, samples, port, size):
    work = case.dir / "work"
    git("-c", "http.extraHeader=Host: www.example.org", "clone", "-q",
        f"http://127.0.0.1:{port}/git/project.git", work)
    assert (work / "readme").read_bytes() == b"hello\n"
    commit_file(work, "more", os.urandom(size))
    git("-c", "http.extraHeader=Host: www.example.org", "push", "-q", "origin", "main", folder=work)
    assert head(samples.origin) == head(work)


def test_nginx_runs_its_sample(case):
    visitor = check_sample(case, SampleNginx, keeps=True)
    assert visitor.ask("/ping", client="127.0.0.1") == (200, "pong")
    status, text = visitor.ask("/status", client="127.0.0.1")
    assert status == 200 and text.startswith("pool: "), text
    assert visitor.ask("/status")[0] == 403


def test_lighttpd_runs_its_sample(case):
    check_sample(case, SampleLighttpd, keeps=False)


def test_haproxy_runs_its_sample(case):
    # Above http.postBuffer (1 MiB) git sends chunks, which it refuses to pass on.
    check_sample(case, SampleHaproxy, keeps=True, largest_push=500_000)


def test_apache_runs_its_sample(case):
    check_sample(case, SampleApache, keeps=True)


def test_caddy_runs_its_sample(case):
    check_sample(case, SampleCaddy, keeps=False)


# Units -----------------------------------------------------------------------------------------

POOL = "cgi.root = {dir}/cgi\nping.path = /ping\nenv[GATE] = {dir}/gate\n"
TEMPLATES = ("fpm.service.in", "fpm.logrotate.in", "php-fpm.service.in")


def filled_in(case, name, **folders):
    """A file of tools/deploy with these folders; the others are meson's business."""
    text = (case.root / "tools/deploy" / name).read_text()
    for key, folder in folders.items():
        assert f"@{key}@" in text, f"{name} does not name {key}"
        text = text.replace(f"@{key}@", str(folder))
    return text


def unit_of(case):
    """{key: value} of fpm.service."""
    text = filled_in(case, "fpm.service.in", SBINDIR=case.program.parent)
    pairs = re.findall(r"^(\w+)=(.*)$", text, re.M)
    assert len(dict(pairs)) == len(pairs) > 15, pairs
    return dict(pairs)


def as_it_starts(unit):
    """A wrapper for case.fpm: the options are those of ExecStart, with the case's configuration."""
    program, *options = shlex.split(unit["ExecStart"])
    return program, ("sh", "-c", f'exec "$0" {shlex.join(options)} -y "$4"')


def test_systemd_takes_the_units_as_they_are(case):
    if shutil.which("systemd-analyze") is None:
        case.skip("systemd-analyze is not installed")
    shutil.copy(case.root / "tools/deploy/samples/fpm.socket", case.dir)
    for name in ("fpm.service", "php-fpm.service"):
        case.write(name, filled_in(case, f"{name}.in", SBINDIR=case.program.parent))
    for name in ("fpm.service", "php-fpm.service", "fpm.socket"):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", case.dir / name], check=False,
                              capture_output=True, text=True, timeout=60)
        ours = [line for line in (done.stdout + done.stderr).splitlines() if str(case.dir) in line]
        assert done.returncode == 0 and not ours, (name, ours)


def test_the_socket_units_addresses_are_those_of_the_pools(case):
    folder = case.root / "tools/deploy/samples"
    listens = re.findall(r"^ListenStream=(.*)$", (folder / "fpm.socket").read_text(), re.M)
    pools = re.findall(r"^listen = (.*)$", (folder / "pools.conf").read_text(), re.M)
    assert listens and set(listens) <= set(pools), (listens, pools)


def test_the_unit_starts_reloads_and_lets_requests_end(case):
    unit, manager, gate = unit_of(case), Manager(case), Gate(case)
    script = case.script("cgi/wait", WAITING_SCRIPT)
    program, wrapper = as_it_starts(unit)
    assert program == str(case.program) and unit["Type"] == "notify"
    fpm = case.fpm({"www": POOL}, wrapper=wrapper, environment={"NOTIFY_SOCKET": manager.path})
    manager.wait_for(rf"\AREADY=1\n(.*\n)*MAINPID={fpm.pid}\Z")
    before = fpm.workers()
    subprocess.run(shlex.split(unit["ExecReload"].replace("$MAINPID", str(fpm.pid))), check=True)
    procs.wait_until(lambda: len(now := fpm.workers()) == 2 and not set(now) & set(before),
                     "a new generation alone", 10)
    assert unit["KillMode"] == "mixed"  # so the signal goes to the master alone
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        client.read_answer(until=first_line_read)
        fpm.send(signal.Signals[unit["KillSignal"]])
        manager.wait_for("^STOPPING=1$")
        gate.open()
        answer = client.read_answer()
        assert answer.stdout.endswith(b"then go\n") and answer.app_status == 0, answer
    assert fpm.wait_exit() == 0
    fpm.check_nothing_left()


def test_the_unit_waits_longer_than_fpm_and_knows_its_refusals(case):
    unit = unit_of(case)
    config = case.write("fpm.conf", f"[global]\nerror_log = {case.dir}/log\n[www]\nuser = www-data\n"
                                    f"listen = {case.dir}/www.sock\npm = static\npm.max_children = 1\n")
    status, lines = run_once(case, [*shlex.split(unit["ExecStart"])[1:], "-tt", "-y", str(config)])
    assert status == 0, lines
    longest = sum(int(re.search(rf"\b{name} = (\d+)s?$", "\n".join(lines), re.M).group(1))
                  for name in ("process_control_timeout", "shutdown_delay"))
    assert 30 <= longest < int(unit["TimeoutStopSec"])
    refused = run_once(case, ["--nodaemonize", "-y", f"{case.dir}/missing.conf"])[0]
    wrong = run_once(case, ["--no-such-option"])[0]
    assert unit["RestartPreventExitStatus"].split() == [str(wrong), str(refused)]


# As systemd carries them out; each of ProtectSystem=full, PrivateTmp and the two others is a mount.
CONFINEMENT = {"ProtectSystem": "full", "PrivateTmp": "yes", "ProtectControlGroups": "yes",
               "ProtectKernelTunables": "yes"}
MOUNTS = """
for folder in /usr /boot /etc /sys /proc/sys; do
  mount --rbind $folder $folder
  mount -o remount,bind,ro $folder
done
mount -t tmpfs tmpfs /mnt
mkdir /mnt/kept
mount --bind "$1" /mnt/kept
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p "$1"
mount --bind /mnt/kept "$1"
shift
exec "$@"
"""
IDENTITY_SCRIPT = """\
#!/bin/sh
printf 'Content-Type: text/plain\\n\\n'
id -un
nice
sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status
"""


@needs_root
def test_what_the_unit_takes_away_is_missed_by_no_pool(case):
    unit = unit_of(case)
    assert {key: value for key, value in unit.items() if key.startswith(("Pr", "Re", "NoNew"))
            and key not in ("Restart", "RestartPreventExitStatus")} == CONFINEMENT, unit
    assert unit["CapabilityBoundingSet"].startswith("~CAP_")
    probe = subprocess.run(["unshare", "-m", "true"], check=False, stderr=subprocess.PIPE)
    if probe.returncode != 0:
        case.skip(f"no mount namespace: {probe.stderr.decode().strip()}")
    gone = unit["CapabilityBoundingSet"].lower().replace("~cap_", "-").replace(" cap_", ",-")
    wrapper = ["unshare", "-m", "sh", "-ec", MOUNTS, "sh", case.dir, "setpriv", f"--bounding-set={gone}"]
    identity = case.script("cgi/identity", IDENTITY_SCRIPT)
    stuck = case.script("cgi/stuck", '#!/bin/sh\nread -r line <"$GATE"\n')
    Gate(case)  # never opened
    case.folder("cage")
    build_app(case, case.dir / "app.fcgi")
    fpm = case.fpm({
        "www": POOL + "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 100ms\n"
                      "request_terminate_timeout = 1s\n",
        "other": POOL + "user = nobody\ngroup = nogroup\nprocess.priority = -5\nrlimit_files = 256\n",
        "caged": "ping.path = /ping\nchroot = {dir}/cage\n",
        "program": "handler = fastcgi\nfastcgi.command = {dir}/app.fcgi\nfastcgi.family = libfcgi\n",
    }, wrapper=wrapper)
    status = pathlib.Path(f"/proc/{fpm.pid}/status").read_text()
    assert int(re.search(r"CapBnd:\s*(\w+)", status).group(1), 16) & (1 << CAP_SYS_MODULE) == 0
    assert not os.access(f"/proc/{fpm.pid}/root/usr", os.W_OK)
    answer = ask(fpm.address("other"), params_for("/identity", identity))
    assert answer.body == b"nobody\n-5\n0\n", answer
    assert ask(fpm.address("caged"), params_for("/ping")).body == b"pong"
    assert ask(fpm.address("program"), params_for("/")).body == b"body 0\n"
    assert ask(fpm.address("www"), params_for("/stuck", stuck)).status == 504
    assert f"script_filename = {stuck}" in (case.dir / "slow.log").read_text()
    fpm.reload()
    fpm.stop()


# Logs ------------------------------------------------------------------------------------------


def test_the_files_that_are_built_name_the_programs_own_folders(case):
    (config,) = [re.search(r"the file is (/\S+)\.$", line).group(1)
                 for line in run_once(case, ["-h"])[1] if line.startswith("Without -y the file is")]
    here = case.write("fpm.conf", f"[www]\nuser = www-data\nlisten = {case.dir}/www.sock\n"
                                  "pm = static\npm.max_children = 1\n")
    dump = "\n".join(run_once(case, ["-tt", "-y", str(here)])[1])
    log = re.search(r"\berror_log = (/\S+)$", dump, re.M).group(1)
    texts = {name: (case.build / "tools/deploy" / name.removesuffix(".in")).read_text()
             for name in TEMPLATES}
    assert not any(re.search(r"@\w+@", text) for text in texts.values()), texts
    assert config in texts["fpm.service.in"], config
    assert f" -y {config} " in texts["fpm.logrotate.in"], config
    assert f"\n{log} /var/log/fpm/*.log {{" in texts["fpm.logrotate.in"], log


class Rotation:
    """The logrotate file with the case's folders, and fpm with logs in its places."""

    def __init__(self, case):
        self.program = shutil.which("logrotate", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if self.program is None:
            case.skip("logrotate is not installed")
        case.folder("log")
        (case.dir / "log/fpm").mkdir()
        os.chmod(case.dir / "log", 0o755)  # logrotate refuses folders that others may write to
        self.case, self.state = case, case.dir / "state"
        (case.dir / "fpm").symlink_to(case.dir)  # fpm/fpm.conf is the case's configuration
        text = filled_in(case, "fpm.logrotate.in", LOCALSTATEDIR=case.dir, SYSCONFDIR=case.dir,
                         BINDIR=case.build / "tools")
        self.config = case.write("logrotate.conf", text.replace("/var/log/", f"{case.dir}/log/"))
        self.fpm = case.fpm({"www": POOL + "access.log = {dir}/log/fpm/access.log\n"
                                           "access.suppress_path[] = /status\n"},
                            f"error_log = {case.dir}/log/fpm.log\ncontrol.socket = {case.dir}/ctl",
                            wrapper=("sh", "-c", 'exec "$0" -F -y "$4"'))

    def run(self, *options):
        """logrotate's output; its exit status is 0."""
        done = subprocess.run([self.program, *options, "-s", self.state, self.config], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
                              env={**os.environ, **self.case.sanitizer_environment()})
        assert done.returncode == 0, done.stdout
        return done.stdout

    def log(self, name):
        path = self.case.dir / "log" / name
        return path.read_text() if path.exists() else ""


def test_logrotate_gives_the_logs_new_files(case):
    rotation = Rotation(case)
    assert "error" not in rotation.run("-d")
    fpm = rotation.fpm
    workers = fpm.workers()
    for number in range(2):
        assert ask(fpm.address(), params_for(f"/ping?{number}")).body == b"pong"
        procs.wait_until(lambda: "/ping" in rotation.log("fpm/access.log"), "the ping's line")
        assert rotation.run("-f") == ""
        assert "/ping" in rotation.log("fpm/access.log.1")
        procs.wait_until(lambda: "error log file re-opened" in rotation.log("fpm.log"), "a new log")
        assert rotation.log("fpm/access.log") == ""
    assert (case.dir / "log/fpm.log.2.gz").exists(), os.listdir(case.dir / "log")
    assert fpm.workers() == workers
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit() == 0
    assert rotation.run("-f").startswith("fpmctl: "), "the rotation itself has no error"
