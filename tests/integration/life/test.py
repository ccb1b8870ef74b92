"""Start and stop: what the log says, what waits for whom, what is left (nothing)."""

import os
import re
import signal
import socket

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from fpm import free_port, run_once
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

POOL = "cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nping.path = /ping\n"


def with_request(case, global_lines=""):
    """(fpm, gate, connection, process of its script): one request is under way."""
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL}, global_lines)
    client = Connection(fpm.address())
    case.defer(client.close)
    client.send(request(params_for("/wait", script)))
    process = procs.process(pid_in(client.read_answer(until=first_line_read)))
    return fpm, gate, client, process


def test_the_log_tells_that_it_runs_and_is_ready(case):
    fpm = case.fpm({"www": POOL})
    stamp = r"^\[\d\d-\w\w\w-\d{4} \d\d:\d\d:\d\d\] NOTICE: "
    running = fpm.find(stamp + rf"fpm is running, pid {fpm.pid}$")
    ready = fpm.find(stamp + r"ready to handle connections$")
    assert len(running) == 1 and len(ready) == 1, fpm.text
    assert fpm.lines.index(running[0]) < fpm.lines.index(ready[0])
    assert fpm.pid_file.read_text().strip() == str(fpm.pid)
    assert len(fpm.workers()) == 2
    fpm.stop()


def test_start_and_stop_are_silent_at_log_level_warning(case):
    fpm = case.fpm({"www": POOL}, "log_level = warning", wait=False)
    procs.wait_until(lambda: os.path.exists(fpm.address()) and len(fpm.workers()) == 2, "ready", 10)
    fastcgi.ping(fpm.address())
    fpm.send(signal.SIGQUIT)
    assert fpm.wait_exit() == 0
    fpm.wait_closed()
    assert fpm.lines == []
    fpm.check_nothing_left()


def test_QUIT_lets_a_running_request_finish(case):
    fpm, gate, client, _ = with_request(case)
    fpm.send(signal.SIGQUIT)
    fpm.wait_line(r"NOTICE: Finishing \.\.\.")
    procs.wait_until(lambda: not os.path.exists(fpm.address()), "no new requests are taken")
    assert fpm.running()
    gate.open("after QUIT")
    assert client.read_answer().stdout == b"then after QUIT\n"
    fpm.wait_gone_cleanly()


def test_QUIT_serves_what_has_already_connected(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL + "pm.max_children = 1"})
    clients = [Connection(fpm.address()) for _ in range(4)]
    for client in clients:
        client.send(request(params_for("/wait", script)))
    clients[0].read_answer(until=first_line_read)
    fpm.send(signal.SIGQUIT)
    fpm.wait_line(r"Finishing \.\.\.")
    for client in clients:
        gate.open("served")
        assert b"then served\n" in client.read_answer().stdout
        client.close()
    fpm.wait_gone_cleanly()


def stops_now(case, number):
    fpm, _, client, process = with_request(case)
    fpm.send(number)
    fpm.wait_line(r"NOTICE: Terminating \.\.\.")
    assert fpm.wait_exit(3) == 0
    fpm.wait_gone_cleanly()
    assert client.at_end()
    assert not procs.group(process.group), "the script of the request still runs"


def test_TERM_stops_now(case):
    stops_now(case, signal.SIGTERM)


def test_INT_stops_now(case):
    stops_now(case, signal.SIGINT)


def test_a_second_signal_hurries(case):
    fpm, _, client, process = with_request(case)
    fpm.send(signal.SIGQUIT)
    fpm.wait_line(r"Finishing \.\.\.")
    assert procs.alive(process.pid)
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit(3) == 0
    fpm.wait_gone_cleanly()
    assert client.at_end()
    assert not procs.group(process.group)


def test_process_control_timeout_bounds_QUIT(case):
    fpm, _, client, process = with_request(case, "process_control_timeout = 1s")
    fpm.send(signal.SIGQUIT)
    assert fpm.wait_exit(5) == 0
    fpm.wait_gone_cleanly()
    assert client.at_end()
    assert not procs.group(process.group)


def test_the_log_names_who_sent_the_signal(case):
    fpm = case.fpm({"www": POOL})
    fpm.stop(signal.SIGTERM)
    named = [line for line in fpm.lines if re.search(rf"\bpid {os.getpid()}\b", line)
             and re.search(rf"\buid {os.getuid()}\b", line)]
    assert named, f"no line with pid {os.getpid()} and uid {os.getuid()}"


def test_the_master_killed_takes_its_workers_along_and_can_start_again(case):
    fpm, _, client, process = with_request(case)
    workers = fpm.workers()
    fpm.process.kill()
    fpm.wait_exit()
    # Busy workers may finish their request; this one's script waits for ever, so end the client.
    client.close()
    for worker in workers:
        procs.wait_gone(worker)
    procs.wait_until(lambda: not procs.group(process.group), "the script is gone")
    fpm.wait_closed()
    assert os.path.exists(fpm.address()), "a killed master cannot unlink its socket"
    again = case.fpm({"www": POOL})
    fastcgi.ping(again.address())
    again.stop()


def test_a_taken_socket_is_left_alone_by_the_second_instance(case):
    fpm = case.fpm({"www": POOL})
    status, lines = run_once(case, ["-F", "-O", "-y", str(fpm.config)])
    assert status == 78, lines
    assert any(fpm.address() in line for line in lines), lines
    fastcgi.ping(fpm.address())
    assert fpm.pid_file.read_text().strip() == str(fpm.pid)
    fpm.stop()


def test_a_leaving_instance_does_not_unlink_its_successors_files(case):
    fpm = case.fpm({"www": POOL})
    os.unlink(fpm.address())
    os.unlink(fpm.pid_file)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(fpm.address())
        fpm.pid_file.write_text("1")
        fpm.send(signal.SIGTERM)
        assert fpm.wait_exit() == 0
        fpm.wait_closed()
        assert os.path.exists(fpm.address()) and fpm.pid_file.read_text() == "1"


def test_children_of_the_master_hold_no_files_of_other_pools(case):
    fpm = case.fpm({"www": POOL, "other": POOL})
    sockets = {name: {line.split()[6] for line in open("/proc/net/unix", encoding="ascii")
                      if line.rstrip().endswith(fpm.address(name))} for name in fpm.pools}

    def pools_of(worker):
        held = " ".join(procs.open_files(worker).values())
        return tuple(name for name, inodes in sockets.items()
                     if inodes & set(re.findall(r"socket:\[(\d+)\]", held)))

    # The log says that fpm is ready when its workers may still be on their way.
    procs.wait_until(lambda: sorted(map(pools_of, fpm.workers())) ==
                     [("other",), ("other",), ("www",), ("www",)],
                     "each worker holds its own pool's socket and no other")
    fpm.stop()


def test_command_line(case):
    status, lines = run_once(case, ["-h"])
    assert status == 0 and any("-y" in line for line in lines)
    status, lines = run_once(case, ["-v"])
    assert status == 0 and re.search(r"\bfpm\b.*\d+\.\d+", lines[0]), lines
    for wrong in (["--no-such-option"], ["stray"]):
        status, lines = run_once(case, wrong)
        assert status == 64, (wrong, status, lines)
        assert any("sage" in line for line in lines), lines


def test_t_checks_a_configuration_and_starts_nothing(case):
    case.folder("cgi")
    config = case.write("good.conf", f"[www]\nlisten = {case.dir}/www.sock\npm = static\n"
                        f"pm.max_children = 1\nuser = nobody\ngroup = nogroup\n"
                        f"cgi.root = {case.dir}/cgi\n")
    status, lines = run_once(case, ["-t", "-y", str(config)])
    assert status == 0, lines
    assert any(f"configuration file {config} test is successful" in line for line in lines), lines
    assert not (case.dir / "www.sock").exists()


# Waits before it prints anything.
SILENT_SCRIPT = '#!/bin/sh\nread line <"$GATE"\nprintf "Content-Type: text/plain\\n\\n$line"\n'


def QUIT_with_a_backlog(case, listen):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL + f"pm.max_children = 1\n{listen}\n"})
    first = Connection(fpm.address())
    case.defer(first.close)
    first.send(request(params_for("/wait", script)))
    first.read_answer(until=first_line_read)
    queued = [Connection(fpm.address()) for _ in range(20)]
    for client in queued:
        case.defer(client.close)
        client.send(request(params_for("/ping")))
    fpm.send(signal.SIGQUIT)
    fpm.wait_line(r"Finishing \.\.\.")
    gate.open("served")
    assert first.read_answer().stdout.endswith(b"then served\n")
    for number, client in enumerate(queued):
        assert client.read_answer().body == b"pong", f"client {number} of the queue"
        client.close()
    fpm.wait_gone_cleanly()


def test_QUIT_serves_a_whole_queue(case):
    QUIT_with_a_backlog(case, "listen = {dir}/www.sock")


def test_QUIT_serves_a_whole_queue_over_TCP(case):
    QUIT_with_a_backlog(case, f"listen = 127.0.0.1:{free_port()}")


def next_starts_while_the_first_finishes(case, pool):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    first = case.fpm({"www": pool})
    with Connection(first.address()) as client:
        client.send(request(params_for("/wait", script)))
        client.read_answer(until=first_line_read)
        first.send(signal.SIGQUIT)
        first.wait_line(r"Finishing \.\.\.")
        procs.wait_until(lambda: address_is_free(first.address()), "the address is free")
        second = case.fpm({"www": pool})
        fastcgi.ping(second.address())
        gate.open("of the first")
        assert client.read_answer().stdout == b"then of the first\n"
    assert first.wait_exit() == 0
    first.wait_closed()
    assert second.pid_file.read_text().strip() == str(second.pid)
    fastcgi.ping(second.address())
    second.stop()


def address_is_free(address):
    if isinstance(address, str):
        return not os.path.exists(address)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
        return True


def test_a_successor_starts_while_the_first_finishes(case):
    next_starts_while_the_first_finishes(case, POOL)


def test_a_successor_starts_on_the_same_port(case):
    next_starts_while_the_first_finishes(case, POOL + f"listen = 127.0.0.1:{free_port()}\n")


def test_TERM_answers_503_where_nothing_was_answered_yet(case):
    script, gate = case.script("cgi/silent", SILENT_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/silent", script)))
        # Opens when the script waits, and lets it wait.
        held = os.fdopen(procs.wait_until(gate._try_open, "the script waits"), "w")
        case.defer(held.close)
        family = procs.descendants(fpm.pid)
        (process,) = [one for one in family if one.name == "silent"]
        fpm.send(signal.SIGTERM)
        answer = client.read_answer()
        assert answer.headers["status"].startswith("503 ") and answer.body.strip(), answer
        assert client.at_end()
    fpm.wait_gone_cleanly(family=family)
    assert not procs.group(process.group)
