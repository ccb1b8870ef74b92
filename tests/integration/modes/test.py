"""How many workers a pool has, under which load, and what it costs when none can start."""

import json
import os
import signal
import time

import fastcgi
import procs
from fastcgi import KEEP_CONN, Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read

POOL = ("cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate\nping.path = /ping\n"
        "pm.status_path = /status\n")
ONDEMAND = POOL + "pm = ondemand\npm.max_children = 50\n"
DYNAMIC = POOL + ("pm = dynamic\npm.max_children = 50\npm.start_servers = 2\n"
                  "pm.min_spare_servers = 1\npm.max_spare_servers = 3\n")
AT_LIMIT = r"\[pool www\] server reached pm\.max_children setting \(8\), consider raising it"
PROCESS_MAX = r"WARNING: The maximum number of processes has been reached\."


class Crowd:
    """Requests whose scripts run until they are let go, any number of them at once."""

    def __init__(self, case):
        self._case = case
        self._script = case.script("cgi/wait", WAITING_SCRIPT)
        # With both ends open no script waits for the opening, each waits for a line.
        self._gate = os.open(Gate(case).path, os.O_RDWR)
        case.defer(lambda: os.close(self._gate))

    def send(self, fpm, count, pool="www"):
        """So many connections with a request each."""
        clients = [Connection(fpm.address(pool)) for _ in range(count)]
        for client in clients:
            self._case.defer(client.close)
            client.send(request(params_for("/wait", self._script)))
        return clients

    def let_go(self, count):
        os.write(self._gate, b"\n" * count)


def wait_running(clients):
    for client in clients:
        client.read_answer(until=first_line_read)


def wait_answered(clients):
    for client in clients:
        answer = client.read_answer()
        assert answer.stdout.endswith(b"then \n") and answer.app_status == 0, answer


def all_sleep(fpm):
    """Of workers whose requests have been answered: the end of a request needs no sleep."""
    return all(procs.process(worker).state == "S" for worker in fpm.workers())


def status_of(fpm, pool="www"):
    return json.loads(fastcgi.ask(fpm.address(pool), params_for("/status?json")).body)


def fifty_at_once(case, pool, at_start):
    crowd = Crowd(case)
    fpm = case.fpm({"www": pool})
    assert len(fpm.workers()) == at_start, "workers before the first client"
    begin = time.monotonic()
    clients = crowd.send(fpm, 50)
    wait_running(clients)
    took = time.monotonic() - begin
    assert len(fpm.workers()) == 50, "workers while 50 requests run"
    crowd.let_go(50)
    wait_answered(clients)
    # A pool that grows with the clock, once a second, needs several.
    assert case.sanitized or took < 1, f"{took:.3f} s until all 50 ran"
    fpm.stop()


def test_ondemand_runs_50_requests_at_once(case):
    fifty_at_once(case, ONDEMAND, 0)


def test_dynamic_runs_50_requests_at_once(case):
    fifty_at_once(case, DYNAMIC, 2)


def test_ondemand_makes_as_many_workers_as_clients_and_uses_them_again(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": ONDEMAND})
    workers = []
    for _ in range(3):
        clients = crowd.send(fpm, 10)
        wait_running(clients)
        assert len(fpm.workers()) == 10, fpm.workers()
        workers.append(fpm.workers())
        crowd.let_go(10)
        wait_answered(clients)
        procs.wait_until(lambda: all_sleep(fpm), "all workers are back in accept")
    assert workers[0] == workers[1] == workers[2]
    fpm.stop()


def burst_over_the_limit(case, pool, at_once=False):
    crowd = Crowd(case)
    fpm = case.fpm({"www": pool.replace("max_children = 50", "max_children = 8")})
    if at_once:  # the master's first look sees all of them, and not a worker yet
        fpm.send(signal.SIGSTOP)
    clients = crowd.send(fpm, 60)
    if at_once:
        fpm.send(signal.SIGCONT)
    fpm.wait_line("WARNING: " + AT_LIMIT)
    fpm.wait_workers(8)
    crowd.let_go(60)
    wait_answered(clients)
    assert len(fpm.workers()) <= 8
    assert status_of(fpm)["max children reached"] == 1
    assert len(fpm.find(AT_LIMIT)) == 1
    fpm.stop()


def test_ondemand_serves_a_burst_over_max_children_one_after_the_other(case):
    burst_over_the_limit(case, ONDEMAND)


def test_a_crowd_that_is_there_before_the_first_worker(case):
    burst_over_the_limit(case, ONDEMAND, at_once=True)


def test_dynamic_serves_a_burst_over_max_children_one_after_the_other(case):
    burst_over_the_limit(case, DYNAMIC)


def test_ondemand_goes_down_to_no_worker_and_comes_back(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": ONDEMAND + "pm.process_idle_timeout = 300ms\n"})
    for _ in range(2):
        clients = crowd.send(fpm, 6)
        wait_running(clients)
        crowd.let_go(6)
        wait_answered(clients)
        assert fpm.workers(), "they end before they have been idle for the time"
        procs.wait_until(lambda: not fpm.workers(), "no worker is left")
    assert not fpm.find("WARNING"), fpm.text
    fpm.stop()


def test_a_busy_ondemand_worker_does_not_go(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": ONDEMAND + "pm.process_idle_timeout = 100ms\n"})
    clients = crowd.send(fpm, 4)
    wait_running(clients)
    assert len(fpm.workers()) == 4
    crowd.let_go(3)  # nobody knows which
    procs.wait_until(lambda: len(fpm.workers()) == 1, "three workers went")
    crowd.let_go(1)
    wait_answered(clients)
    procs.wait_until(lambda: not fpm.workers(), "the last one went")
    fpm.stop()


def test_dynamic_comes_down_to_max_spare_servers(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": DYNAMIC})
    clients = crowd.send(fpm, 12)
    wait_running(clients)
    assert len(fpm.workers()) >= 12
    crowd.let_go(12)
    wait_answered(clients)
    procs.wait_until(lambda: len(fpm.workers()) <= 3, "three are left", 15)
    assert len(fpm.workers()) == 3
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_process_max_holds_over_two_pools(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": ONDEMAND, "other": ONDEMAND}, "process.max = 6")
    clients = crowd.send(fpm, 5)
    wait_running(clients)
    clients += crowd.send(fpm, 5, "other")
    wait_running(clients[5:6])
    fpm.wait_line(PROCESS_MAX)
    assert len(fpm.workers()) == 6
    assert status_of_busy(fpm) is None, "a seventh worker answers"
    crowd.let_go(10)
    wait_answered(clients[:5] + clients[6:] + clients[5:6])
    assert len(fpm.workers()) <= 6
    assert len(fpm.find(PROCESS_MAX)) == 1, "it is told once"
    fpm.stop()


def status_of_busy(fpm):
    """The answer of a pool without a free worker: None."""
    with Connection(fpm.address("other"), 0.3) as client:
        client.send(request(params_for("/ping")))
        try:
            return client.read_answer()
        except OSError:
            return None


def test_a_process_max_that_suffices_is_no_news(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 2"}, "process.max = 2")
    old = fpm.workers()[0]
    os.kill(old, signal.SIGKILL)  # so that the master looks once more
    procs.wait_until(lambda: old not in fpm.workers() and len(fpm.workers()) == 2, "a new worker")
    for _ in range(4):
        fastcgi.ping(fpm.address())
    fpm.stop()
    assert not fpm.find(PROCESS_MAX), fpm.text


def test_kept_connections_shut_nobody_out(case):
    keeping = request(params_for("/ping"), flags=KEEP_CONN)
    two = "pm.max_children = 2\n"
    fpm = case.fpm({"static": POOL + two, "ondemand": POOL + "pm = ondemand\n" + two,
                    "dynamic": POOL + "pm = dynamic\npm.min_spare_servers = 1\n"
                                      "pm.max_spare_servers = 2\n" + two})
    for pool in fpm.pools:
        for _ in range(5):
            kept = [Connection(fpm.address(pool)) for _ in range(2)]
            for client in kept:
                client.send(keeping)
                assert client.read_answer().body == b"pong"
            for _ in range(3):
                fastcgi.ping(fpm.address(pool), limit_s=5)
            for client in kept:
                client.close()
    fpm.stop()


def test_an_idle_kept_connection_gives_way_to_a_client_that_waits(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": POOL})
    kept = Connection(fpm.address())
    case.defer(kept.close)
    kept.send(request(params_for("/ping"), flags=KEEP_CONN))
    assert kept.read_answer().body == b"pong"
    busy = crowd.send(fpm, 1)
    wait_running(busy)
    fastcgi.ping(fpm.address(), limit_s=5)
    assert kept.at_end(), "the worker sits on both"
    crowd.let_go(1)
    wait_answered(busy)
    fpm.stop()


def test_a_pool_that_cannot_start_workers_backs_off_and_others_are_served(case):
    home = case.folder("home")
    fpm = case.fpm({"broken": POOL + "chdir = {dir}/home\npm.max_children = 1", "www": POOL})
    fastcgi.ping(fpm.address("broken"))
    (worker,) = [int(one["pid"]) for one in full_status(fpm, "broken")]
    home.rmdir()
    mark, begin = fpm.mark(), time.monotonic()
    os.kill(worker, signal.SIGKILL)
    failed = rf"\[pool broken\] child \d+ failed to initialize: chdir.*{home}.*No such file"
    fpm.wait_line(failed, after=mark)
    pings = 0
    while len(fpm.find(failed, after=mark)) < 3:
        fastcgi.ping(fpm.address(), limit_s=2)
        pings += 1
        assert time.monotonic() < begin + 20, "it gave up, or says nothing any more"
    took = time.monotonic() - begin
    forks = len(fpm.find(r"\[pool broken\] child \d+ started", after=mark))
    assert 3 < forks <= 4 * max(1, took), f"{forks} starts in {took:.3f} s"
    assert pings > 20, "the other pool was hardly served"
    home.mkdir(mode=0o777)
    fastcgi.ping(fpm.address("broken"), limit_s=10)
    fpm.stop()


def full_status(fpm, pool="www"):
    answer = fastcgi.ask(fpm.address(pool), params_for("/status?json&full"))
    return json.loads(answer.body)["processes"]


def test_emergency_restart_replaces_all_workers(case):
    crowd = Crowd(case)
    fpm = case.fpm({"www": POOL + "pm.max_children = 4", "other": POOL},
                   "emergency_restart_threshold = 2\nemergency_restart_interval = 1m\n"
                   "rlimit_core = 0")
    procs.wait_until(lambda: status_of(fpm)["idle processes"] == 3, "all workers are ready")
    busy = crowd.send(fpm, 1, "other")
    wait_running(busy)
    before = set(fpm.workers())
    assert len(before) == 6
    victims = [int(one["pid"]) for one in full_status(fpm)][:2]
    os.kill(victims[0], signal.SIGSEGV)
    fpm.wait_line(rf"child {victims[0]} exited on signal 11 \(SIGSEGV")
    assert len(before & set(fpm.workers())) == 5, "one crash replaces one worker"
    os.kill(victims[1], signal.SIGSEGV)
    fpm.wait_line(r"WARNING: failed processes threshold \(2 in 60 sec\) is reached, "
                  r"initiating reload")
    procs.wait_until(lambda: len(before & set(fpm.workers())) == 1, "all but the busy one changed")
    crowd.let_go(1)
    wait_answered(busy)
    procs.wait_until(lambda: not before & set(fpm.workers()) and len(fpm.workers()) == 6,
                     "six new workers")
    for pool in fpm.pools:
        fastcgi.ping(fpm.address(pool))
    fpm.stop()
