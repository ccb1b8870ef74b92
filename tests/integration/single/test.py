"""fpm --single POOL: one process that is the worker, for debuggers and profilers."""

import os
import signal

import fastcgi
import procs
from fastcgi import Connection, params_for, request
from fpm import run_once
from gate import WAITING_SCRIPT, Gate, first_line_read, pid_in

# A folder that belongs to the pool's user: without root nothing can be removed from another's.
POOL = ("listen = {dir}/run/www.sock\ncgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\n"
        "ping.path = /ping\npm.max_children = 5\n")


def start(case, pools=None):
    (case.dir / "run").exists() or case.folder("run")
    fpm = case.fpm(pools or {"www": POOL}, options=("--single", "www"), wait=False)
    fpm.wait_line(rf"NOTICE: this process, pid {fpm.pid}, is the one worker of pool www", 20)
    return fpm


def ends(fpm, number):
    """It ends by that signal, in an orderly way, and leaves nothing."""
    fpm.send(number)
    assert fpm.wait_exit() == 0
    fpm.wait_closed()
    assert not os.path.exists(fpm.address()), "its socket file is left"
    assert not fpm.pid_file.exists()


def serves_in_one_process(case, number):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = start(case)
    for _ in range(3):
        fastcgi.ping(fpm.address())
    assert fpm.workers() == [], "it has children"
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        child = pid_in(client.read_answer(until=first_line_read))
        assert procs.process(child).parent == fpm.pid
        assert fpm.workers() == [child], "another child than the script"
        gate.open("served")
        assert client.read_answer().stdout == b"then served\n"
    fastcgi.ping(fpm.address())
    assert fpm.workers() == []
    ends(fpm, number)


def test_it_serves_in_one_process_until_TERM(case):
    serves_in_one_process(case, signal.SIGTERM)


def test_it_serves_in_one_process_until_INT(case):
    serves_in_one_process(case, signal.SIGINT)


def test_QUIT_lets_its_request_finish(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = start(case)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        client.read_answer(until=first_line_read)
        fpm.send(signal.SIGQUIT)
        gate.open("served")
        assert client.read_answer().stdout == b"then served\n"
    assert fpm.wait_exit() == 0
    fpm.wait_closed()
    assert not os.path.exists(fpm.address())


def ended_in_a_request(case, number):
    script = case.script("cgi/wait", WAITING_SCRIPT)
    Gate(case)  # never opened
    fpm = start(case)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        child = pid_in(client.read_answer(until=first_line_read))
        ends(fpm, number)
        assert client.at_end()
    assert not procs.group(child), "the script still runs"


def test_TERM_in_a_request_ends_the_script_too(case):
    ended_in_a_request(case, signal.SIGTERM)


def test_INT_in_a_request_ends_the_script_too(case):
    ended_in_a_request(case, signal.SIGINT)


def test_other_pools_are_left_alone(case):
    fpm = start(case, {"www": POOL, "other": POOL.replace("www.sock", "other.sock")})
    assert not os.path.exists(fpm.address("other")), "it listens for another pool"
    fastcgi.ping(fpm.address())
    ends(fpm, signal.SIGTERM)


def test_an_unknown_pool_is_one_line_and_exit_78(case):
    fpm = start(case)
    status, lines = run_once(case, ["--single", "nosuch", "-O", "-y", str(fpm.config)])
    assert status == 78, lines
    (line,) = [one for one in lines if "initialization failed" not in one]
    assert "ERROR" in line and "nosuch" in line, lines
    fastcgi.ping(fpm.address())
    ends(fpm, signal.SIGTERM)


def test_a_socket_file_that_it_may_not_remove_is_no_hindrance(case):
    """The pool's user may not remove it out of root's folder."""
    pools = {"www": POOL.replace("{dir}/run/", "{dir}/")}
    first = start(case, pools)
    fastcgi.ping(first.address())
    first.send(signal.SIGTERM)
    assert first.wait_exit() == 0
    again = start(case, pools)
    fastcgi.ping(again.address())
    again.send(signal.SIGTERM)
    assert again.wait_exit() == 0
