"""The reporter's process: what it holds, its ends, reloads."""

import json
import os
import re
import signal

import fastcgi
import procs
from fastcgi import params_for, request
from fpm import free_port, is_root, run_once
from gate import WAITING_SCRIPT, Gate
from reporter import POOL, Http, Reporter, fill, read_all, release, status_field, status_of


# The process.

def test_the_process_holds_nothing_of_the_master(case):
    reporter = Reporter(case, {"www": POOL + "env[PASSWORD] = from-the-pool-42"},
                        environment={"MASTERS_SECRET": "from-outside-42"})
    pid = reporter.pid()
    assert procs.command_line(pid) == "fpm: reporter"
    for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status_field(pid, field), 16) == 0, field
    assert status_field(pid, "NoNewPrivs") == "1"
    if is_root():
        import pwd  # pylint: disable=import-outside-toplevel
        nobody = pwd.getpwnam("nobody")
        assert set(status_field(pid, "Uid").split()) == {str(nobody.pw_uid)}
        assert set(status_field(pid, "Gid").split()) == {str(nobody.pw_gid)}
        assert status_field(pid, "Groups").split() == [str(nobody.pw_gid)]
        assert procs.environment(pid) == {}
        with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
            shared = [line for line in file if "memfd:fpm-" in line]
        assert len(shared) == 2 and all(" r--s " in line for line in shared), shared
        if not case.sanitized:
            assert not found_in_memory(pid, [b"from-the-pool-42", b"from-outside-42"])
        kinds = [target.split(":")[0] for target in procs.open_files(pid).values()]
        for kind in set(kinds):
            assert kind in ("/dev/null", "socket", "anon_inode"), kinds
    reporter.fpm.stop()


def found_in_memory(pid, texts):
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or "[v" in line:
                continue
            memory.seek(begin)
            content = memory.read(end - begin)
            found += [text for text in texts if text in content]
    return found


def test_it_comes_back_when_it_is_killed(case):
    reporter = Reporter(case, {"www": POOL})
    fastcgi.ping(reporter.fpm.address())
    first = reporter.pid()
    kept = Http(reporter.address)
    assert kept.get("/ping").body == b"pong"
    client = reporter.connect()
    os.kill(first, signal.SIGKILL)
    reporter.fpm.wait_line(rf"WARNING: the reporter, pid {first}, exited on signal 9 \(SIGKILL\); "
                           "a new one is started in 250 ms")
    # The master holds the sockets: who connects now is served by the next one.
    assert reporter.pool()["accepted conn"] == 1
    second = reporter.pid()
    assert second != first
    assert read_all(client) == b""
    # Each one that does not live long is followed later.
    for delay in (500, 1000):
        os.kill(second, signal.SIGKILL)
        mark = reporter.fpm.mark()
        procs.wait_gone(second)
        if delay == 500:  # the 1st, 2nd, 4th, 8th are told
            reporter.fpm.wait_line(rf"the reporter, pid {second}, exited on signal 9 \(SIGKILL\); "
                                   f"a new one is started in {delay} ms", after=mark - 1)
        assert reporter.pool()["accepted conn"] == 1
        second = reporter.pid()
    reporter.fpm.stop()


def test_it_ends_with_its_master(case):
    reporter = Reporter(case, {"www": POOL})
    pid = reporter.pid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(pid, number)  # for the master to judge, not for it
    assert reporter.get("/ping").body == b"pong"
    assert reporter.pid() == pid
    family = procs.descendants(reporter.fpm.pid)
    reporter.fpm.send(signal.SIGKILL)
    reporter.fpm.process.wait()
    for one in family:
        procs.wait_gone(one.pid)
    os.unlink(reporter.fpm.address())
    os.unlink(reporter.fpm.pid_file)


def test_it_says_stopping_to_the_end(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": POOL}, "shutdown_delay = 60s")
    fpm = reporter.fpm
    fpm.send(signal.SIGQUIT)
    procs.wait_until(lambda: reporter.get("/ready").status == 503, "it is not ready")
    assert reporter.get("/ready").body == b"www: not ready, stopping\n"
    busy = fill(fpm, case, 1)  # during the delay clients are served as before
    assert reporter.pool()["active processes"] == 1
    fpm.send(signal.SIGQUIT)
    fpm.send(signal.SIGTERM)
    gate_or_end(gate)
    del busy
    fpm.wait_gone_cleanly()
    assert status_of(reporter.port) is None


def gate_or_end(gate):
    try:
        gate.open(limit_s=0.2)
    except (AssertionError, BrokenPipeError):
        pass  # the script has been ended, or is just then


def test_there_is_none_unless_it_is_asked_for(case):
    fpm = case.fpm({"www": POOL})
    procs.wait_until(lambda: len(procs.children(fpm.pid)) == 2, "two workers")
    fastcgi.ping(fpm.address())
    assert len(procs.children(fpm.pid)) == 2
    fpm.stop()


def test_a_taken_port_is_refused_with_its_line(case):
    fpm = case.fpm({"www": POOL}, f"status.listen = 127.0.0.1:{free_port()}", wait=False)
    fpm.wait_line("ready to handle connections")
    port = re.search(r"status.listen = \S+:(\d+)", fpm.config.read_text()).group(1)
    config = case.write("other.conf", f"""[global]
error_log = {case.dir}/other.log
daemonize = no
status.listen = 127.0.0.1:{port}
[www]
{"user = www-data" if is_root() else ""}
listen = {case.dir}/other.sock
pm = static
pm.max_children = 1
pm.status_listen = {case.dir}/no/such/folder
""")
    status, lines = run_once(case, ["-F", "-O", "-y", config])
    assert status == 78, lines
    text = "\n".join(lines)
    assert f"{config}:4: status.listen: bind 127.0.0.1:{port}: Address already in use" in text, text
    assert re.search(r"other.conf:5: \[pool www\] pm.status_listen: bind .*No such file", text), text
    fpm.stop()


def test_it_is_not_started_by_hand(case):
    status, lines = run_once(case, ["--reporter", "-"])
    assert status == 64 and "for fpm itself" in lines[0], (status, lines)


# Reloads.

def test_a_reload_is_seen_without_a_new_process(case):
    reporter = Reporter(case, {"www": POOL, "old": POOL})
    fpm, pid = reporter.fpm, reporter.pid()
    fastcgi.ping(fpm.address())
    second = f"{case.dir}/second.sock"
    text = fpm.config.read_text()
    text = re.sub(r"\[old\]", "[new]", text).replace("old.sock", "new.sock")
    fpm.config.write_text(text + f"pm.status_listen = {second}\n")
    for number in range(1, 4):
        mark = fpm.mark()
        fpm.send(signal.SIGUSR2)
        fpm.wait_line("ready to handle connections", after=mark)
        procs.wait_until(lambda n=number: reporter.pool("www", "extended")["generation"] == n + 1,
                         "the new generation is shown")
        procs.wait_until(lambda: [pool["pool"] for pool in reporter.json("/status")["pools"]]
                         == ["www", "new"], "the pools of the new configuration")
        assert reporter.pool()["accepted conn"] == 1, "counters survive"
        procs.wait_until(lambda: reporter.pool()["total processes"] == 2, "the old ones have gone")
    assert json.loads(fastcgi.ask(second, params_for("/status?json")).body)["pool"] == "new"
    assert reporter.pid() == pid
    # The address moves, the second one goes.
    port = free_port()
    text = text.replace(str(reporter.port), str(port))
    fpm.config.write_text(text)
    fpm.send(signal.SIGUSR2)
    procs.wait_until(lambda: status_of(port) == 200, "the new address answers")
    procs.wait_until(lambda: status_of(reporter.port) is None, "the old address is closed")
    procs.wait_until(lambda: not os.path.exists(second), "the second address is gone")
    # And it goes, when nobody asks for it any more.
    fpm.config.write_text(re.sub(r"status.listen = .*", "", text))
    fpm.send(signal.SIGUSR2)
    procs.wait_gone(pid)
    fpm.pools = {"www": fpm.pools["www"]}
    fpm.stop()


def test_a_reload_that_cannot_listen_changes_nothing(case):
    reporter = Reporter(case, {"www": POOL})
    fpm = reporter.fpm
    text = fpm.config.read_text()
    fpm.config.write_text(re.sub(r"status.listen = .*", "status.listen = 192.0.2.1:9", text))
    mark = fpm.mark()
    fpm.send(signal.SIGUSR2)
    fpm.wait_line(r"fpm.conf:\d+: status.listen: bind 192.0.2.1:9: ", after=mark)
    assert reporter.pool()["pool"] == "www"
    fpm.stop()


def test_generations_that_drain_are_counted(case):
    case.script("cgi/wait", WAITING_SCRIPT)
    gate = Gate(case)
    reporter = Reporter(case, {"www": POOL})
    busy = fill(reporter.fpm, case, 1)
    mark = reporter.fpm.mark()
    reporter.fpm.send(signal.SIGUSR2)
    reporter.fpm.wait_line("ready to handle connections", after=mark)
    busy += fill(reporter.fpm, case, 1)
    procs.wait_until(lambda: reporter.pool()["active processes"] == 2, "both are shown")
    uris = [one["request uri"] for one in reporter.pool()["processes"] if one["state"] == "Running"]
    assert uris == ["/wait", "/wait"], uris
    release(gate, busy)
    reporter.fpm.stop()
