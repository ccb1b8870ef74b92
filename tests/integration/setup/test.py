"""What a worker is allowed, and what it cannot see: limits, scheduling, other pools' secrets."""

import os
import pathlib
import pwd
import re
import signal
import subprocess

import fastcgi
import procs
from case import needs_root, plain_only
from fastcgi import ask, params_for
from fpm import SERVICE_USER

POOL = "ping.path = /ping\ncgi.root = {dir}/cgi\npm.max_children = 1\n"


def limits(pid):
    """{name: (soft, hard)} as texts."""
    text = pathlib.Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    found = re.findall(r"^(Max [a-z ]+?)\s{2,}(\S+)\s+(\S+)", text, re.M)
    return {name: (soft, hard) for name, soft, hard in found}


def status(pid, field):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    return re.search(rf"^{field}:\s*(.*)$", text, re.M).group(1)


def nice_of(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text[text.rindex(")") + 2:].split()[16])


def workers(fpm):
    """{pool: pid} of pools with one worker each, which have been set up: they answer."""
    for pool in fpm.pools:
        fastcgi.ping(fpm.address(pool))
    titles = {procs.command_line(pid): pid for pid in fpm.wait_workers(len(fpm.pools))}
    return {pool: titles[f"fpm: pool {pool}"] for pool in fpm.pools}


def only_worker(fpm):
    return workers(fpm)["www"]


# Limits.

@plain_only  # a sanitizer's memory does not fit into any rlimit_as
def test_the_limits_of_a_pool_hold_in_its_worker_and_its_scripts(case):
    script = case.script("cgi/limits", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                                       "cat /proc/self/limits\n")
    fpm = case.fpm({"www": POOL + "rlimit_files = 99\nrlimit_core = 4096\n"
                                  "rlimit_as = 2000000000\nrlimit_nproc = 777\n"})
    seen = limits(only_worker(fpm))
    assert seen["Max open files"] == ("99", "99"), seen
    assert seen["Max core file size"] == ("4096", "4096"), seen
    assert seen["Max address space"] == ("2000000000", "2000000000"), seen
    assert seen["Max processes"] == ("777", "777"), seen
    answer = ask(fpm.address(), params_for("/limits", script)).body.decode()
    assert re.search(r"Max open files\s+99\s+99", answer), answer
    fpm.stop()


def test_unlimited_is_no_limit(case):
    if limits(os.getpid())["Max core file size"][1] != "unlimited":
        case.skip("the size of core files is limited here")
    fpm = case.fpm({"www": POOL + "rlimit_core = unlimited\n"}, wrapper=["prlimit", "--core=0:"])
    assert limits(fpm.pid)["Max core file size"] == ("0", "unlimited")
    assert limits(only_worker(fpm))["Max core file size"] == ("unlimited", "unlimited")
    fpm.stop()


def test_the_master_takes_all_open_files_it_may_and_workers_what_was(case):
    # A program that uses select(2) must not get descriptors beyond 1023.
    fpm = case.fpm({"www": POOL}, wrapper=["prlimit", "--nofile=200:900"])
    assert limits(fpm.pid)["Max open files"] == ("900", "900")
    assert limits(only_worker(fpm))["Max open files"] == ("200", "900")
    fpm.stop()


def test_global_limits_are_the_masters_and_its_workers(case):
    fpm = case.fpm({"www": POOL}, "rlimit_files = 333\nrlimit_core = 8192")
    for pid in (fpm.pid, only_worker(fpm)):
        assert limits(pid)["Max open files"] == ("333", "333")
        assert limits(pid)["Max core file size"] == ("8192", "8192")
    fpm.stop()


def test_a_limit_of_php_fpm_that_is_refused_is_a_warning(case):
    # More than fs.nr_open can be, which not even root gets.
    fpm = case.fpm({"www": POOL + "rlimit_files = 2000000000\n"})
    fpm.wait_line(r"WARNING: \[pool www\] failed to set rlimit_files = 2000000000: "
                  r"Operation not permitted")
    fastcgi.ping(fpm.address())
    fpm.stop()


# Scheduling and rights.

@needs_root
def test_priorities_of_master_and_pool(case):
    fpm = case.fpm({"www": POOL + "process.priority = -5\n", "plain": POOL},
                   "process.priority = 3")
    assert nice_of(fpm.pid) == 3
    assert {pool: nice_of(pid) for pool, pid in workers(fpm).items()} == {"www": -5, "plain": 3}
    fpm.stop()


def test_a_pool_is_bound_to_its_processors(case):
    mine = min(os.sched_getaffinity(0))
    fpm = case.fpm({"www": POOL + f"process.cpu_affinity = {mine}\n"})
    assert status(only_worker(fpm), "Cpus_allowed_list") == str(mine)
    assert os.sched_getaffinity(fpm.pid) == os.sched_getaffinity(0)
    fpm.stop()


def test_no_new_privs_holds_in_scripts(case):
    script = case.script("cgi/privs", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                                      "grep NoNewPrivs /proc/self/status\n")
    fpm = case.fpm({"www": POOL + "no_new_privs = yes\n", "free": POOL})
    for pool, value in (("www", b"1"), ("free", b"0")):
        answer = ask(fpm.address(pool), params_for("/privs", script)).body
        assert answer.split() == [b"NoNewPrivs:", value], answer
    fpm.stop()


@needs_root
def test_the_user_may_trace_a_worker_only_if_it_is_dumpable(case):
    fpm = case.fpm({"www": POOL + "process.dumpable = yes\n", "shut": POOL})
    owners = {pool: os.stat(f"/proc/{pid}/mem").st_uid for pool, pid in workers(fpm).items()}
    assert owners == {"www": pwd.getpwnam(SERVICE_USER).pw_uid, "shut": 0}, owners
    fpm.stop()


def test_an_apparmor_hat_that_cannot_be_taken_on_is_named_and_the_pool_backs_off(case):
    fpm = case.fpm({"www": POOL + "apparmor_hat = no-such-hat\n", "other": POOL})
    wrong = (r"\[pool www\] child \d+ failed to initialize: failed to (query apparmor "
             r"confinement|change to new confinement)")
    fpm.wait_line(wrong)
    fpm.wait_line(wrong, after=fpm.mark())  # it is tried again
    fastcgi.ping(fpm.address("other"))
    assert len(fpm.find(wrong)) < 6, fpm.text
    fpm.stop()


# Who may connect.

def may_connect(path, user=None, group=None):
    """Whether a process of that user and of that one group may connect."""
    code = "import socket,sys\nsocket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    done = subprocess.run(["python3", "-c", code, path], user=user, group=group, extra_groups=[],
                          stderr=subprocess.PIPE, cwd="/", check=False)
    assert done.returncode == 0 or b"PermissionError" in done.stderr, done
    return done.returncode == 0


@needs_root
def test_users_and_groups_of_the_acl_may_connect_besides_the_owner(case):
    fpm = case.fpm({"www": POOL + "listen.mode = 0600\nlisten.acl_users = daemon,4242\n"
                                  "listen.acl_groups = games\n"})
    path = fpm.address()
    assert may_connect(path, "daemon", "nogroup")
    assert may_connect(path, 4242, "nogroup")
    assert may_connect(path, "nobody", "games")
    assert not may_connect(path, "nobody", "nogroup")
    assert not may_connect(path, SERVICE_USER, SERVICE_USER)
    fpm.stop()


# What is not a pool's own.

def memory_with(pid, words):
    """Those of the words that are somewhere in the memory of a process."""
    found = set()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            area, rights = line.split()[:2]
            if "r" not in rights or "[v" in line:
                continue
            begin, end = (int(word, 16) for word in area.split("-"))
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except OSError:
                continue
            found |= {word for word in words if word.encode() in content}
    return found


@needs_root
@plain_only  # a sanitizer keeps what is freed
def test_a_worker_holds_no_secret_of_another_pool(case):
    # Short enough to be stored within the string, longer, from the environment, and of PHP.
    secrets = {pool: {f"{pool}-pw1", f"{pool}-a-password-that-is-rather-long" * 3,
                      f"{pool}-from-the-environment", f"{pool}-php-value-0123456789"}
               for pool in ("red", "blue")}
    pools, environment = {}, {}
    for pool in secrets:
        environment[f"SECRET_OF_{pool}"] = f"{pool}-from-the-environment"
        long = f"{pool}-a-password-that-is-rather-long" * 3
        pools[pool] = (POOL + f"env[SHORT] = {pool}-pw1\nenv[LONG] = {long}\n"
                       f"env[FROM] = $SECRET_OF_{pool}\n"
                       f"php_value[my.value] = {pool}-php-value-0123456789\n")
    fpm = case.fpm(pools, environment=environment)
    every = secrets["red"] | secrets["blue"]
    assert memory_with(fpm.pid, every) == every, "the search does not find what must be there"
    for pool, pid in workers(fpm).items():
        seen = memory_with(pid, every)
        assert seen == secrets[pool], (pool, seen)
    fpm.stop()


@needs_root
@plain_only
def test_a_worker_that_takes_a_dead_ones_place_holds_none_either(case):
    fpm = case.fpm({"red": POOL + "env[KEY] = red-password-0123456789\n", "blue": POOL})
    dead = workers(fpm)["blue"]
    os.kill(dead, signal.SIGKILL)
    fpm.wait_line(r"\[pool blue\] child \d+ started")
    blue = workers(fpm)["blue"]
    assert blue != dead and not memory_with(blue, {"red-password-0123456789"})
    fpm.stop()


def sockets_of(pid):
    return [target for target in procs.open_files(pid).values() if target.startswith("socket:")]


def listener_inodes():
    """{path: inode} of listening UNIX sockets."""
    lines = pathlib.Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    return {line.split()[7]: line.split()[6] for line in lines
            if len(line.split()) > 7 and line.split()[3] == "00010000"}


@needs_root
def test_a_worker_has_no_descriptor_and_no_mapping_that_is_not_its_own(case):
    fpm = case.fpm({name: POOL + f"access.log = {case.dir}/{name}.log\nlisten.mode = 0666\n"
                    for name in ("red", "blue")})
    listening = listener_inodes()
    for pool, pid in workers(fpm).items():
        other = {"red": "blue", "blue": "red"}[pool]
        # The connection of the ping is closed after its answer was sent.
        procs.wait_until(lambda pid=pid: len(sockets_of(pid)) <= 3, "the client's connection is closed")
        files = procs.open_files(pid)
        assert {files.pop(fd) for fd in (0, 1, 2)} == {"/dev/null"}, files
        targets = list(files.values())
        assert f"socket:[{listening[fpm.address(pool)]}]" in targets, files
        assert f"socket:[{listening[fpm.address(other)]}]" not in targets, files
        assert f"{case.dir}/{pool}.log" in targets, files
        assert f"{case.dir}/{other}.log" not in targets, files
        # Listening socket, channel, and the one that takes the first one's place at the end;
        # access log and the master's log; the pool's eventfd.
        kinds = sorted(re.sub(r":\[.*|^/.*", "", target) for target in targets)
        assert kinds.count("socket") <= 3 and kinds.count("anon_inode") <= 1, files
        assert len(targets) <= (7 if case.sanitized else 6), files  # its report
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
        assert maps.count("fpm-scoreboard") == 1, maps
    fpm.stop()


def test_a_script_gets_no_socket_and_no_shared_memory(case):
    script = case.script("cgi/look", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                                     "ls -l /proc/self/fd | grep -c 'socket\\|memfd'\n")
    fpm = case.fpm({"www": POOL, "other": POOL})
    assert ask(fpm.address(), params_for("/look", script)).body == b"0\n"
    fpm.stop()
