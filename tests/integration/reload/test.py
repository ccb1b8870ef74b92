"""A reload: the new configuration is in force, and no client notices the change."""

import os
import re
import signal
import socket
import threading
import time

import fastcgi
import procs
from case import mode_of, needs_root, plain_only
from fpm import SERVICE_USER, free_port
from gate import WAITING_SCRIPT, Gate
from reporter import Reporter, fill, release

POOL = "ping.path = /ping\npm.status_path = /status\n"
CGI = POOL + "cgi.root = {dir}/cgi\n"
SLOW = """#!/bin/sh
echo "Content-Type: text/plain"
echo
echo begun
read line < "$QUERY_STRING"
echo "$line"
"""


def test_every_worker_is_new_after_usr2(case):
    fpm = case.fpm({"www": POOL, "other": POOL + "pm = ondemand\n"})
    before = set(fpm.wait_workers(2))
    fpm.reload()
    procs.wait_until(lambda: len(fpm.workers()) == 2 and not before & set(fpm.workers()),
                     "two new workers")
    fastcgi.ping(fpm.address("www"))
    fastcgi.ping(fpm.address("other"))
    lines = [line for line in fpm.lines if "NOTICE" in line]
    order = ["Reloading in progress", "reloading: ", 'using inherited socket fd=', "fpm is running",
             "ready to handle connections"]
    text = "\n".join(lines[next(i for i, line in enumerate(lines) if order[0] in line):])
    places = [text.index(word) for word in order]
    assert places == sorted(places), text
    assert len(re.findall(r'using inherited socket fd=\d+, "[^"]+"', text)) == 2
    assert not fpm.find("WARNING|ERROR")


def test_a_slow_request_is_finished_by_the_old_generation(case):
    case.script("cgi/slow.cgi", SLOW)
    fpm = case.fpm({"www": CGI})
    gate = case.fifo("gate")
    answers = []
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi", QUERY_STRING=str(gate))
    client = threading.Thread(target=lambda: answers.append(fastcgi.ask(fpm.address(), params)))
    client.start()
    fpm_status(fpm, "active processes", 2)
    for _ in range(3):
        fpm.reload()
    # The old one is there beside two new ones, and others are served.
    procs.wait_until(lambda: len(fpm.workers()) == 3, "the slow worker and two new ones")
    fastcgi.ping(fpm.address())
    with open(gate, "w", encoding="ascii") as out:
        out.write("done\n")
    client.join(10)
    assert answers and answers[0].body == b"begun\ndone\n", answers
    fpm.wait_workers(2)


def fpm_status(fpm, name, value, pool="www"):
    def look():
        page = fastcgi.ask(fpm.address(pool), fastcgi.params_for("/status")).body.decode()
        return re.search(rf"^{name}:\s+{value}$", page, re.M)
    procs.wait_until(look, f"{name} to be {value}")


def test_a_configuration_with_errors_changes_nothing_and_all_are_told(case):
    fpm = case.fpm({"www": POOL})
    before = fpm.wait_workers(2)
    good = fpm.pools["www"]
    fpm.pools["www"] = good + "\npm.max_children = many\nno.such = 1\nuser = nobody-here-at-all"
    fpm.rewrite()
    fpm.send(signal.SIGUSR2)
    fpm.wait_line("nothing is changed")
    assert fpm.find("pm.max_children") and fpm.find("no.such")
    assert fpm.workers() == before
    fastcgi.ping(fpm.address())
    fpm.pools["www"] = good
    fpm.rewrite()
    fpm.reload()
    procs.wait_until(lambda: not set(before) & set(fpm.workers()), "new workers")


def wait_pool_at(address, name):
    """An old worker that is in accept may take one more client before it hears that it drains."""
    procs.wait_until(lambda: f"pool:                 {name}\n" in fastcgi.ask(
        address, fastcgi.params_for("/status")).body.decode(), f"pool {name} answers at {address}")


def test_pools_come_go_and_move(case):
    port = free_port()
    fpm = case.fpm({"www": POOL, "gone": POOL, "moved": POOL})
    gone, old = fpm.address("gone"), fpm.address("moved")
    del fpm.pools["gone"]
    fpm.pools["new"] = fpm.pools["www"].replace("[www]", "[new]").replace("www.sock", "new.sock")
    fpm.change("moved", f"{case.dir}/moved.sock\n", f"127.0.0.1:{port}\n")
    fpm.reload()
    for pool in ("www", "new"):
        fastcgi.ping(fpm.address(pool))
    fastcgi.ping(("127.0.0.1", port))
    for path in (gone, old):
        procs.wait_until(lambda path=path: not os.path.exists(path), f"{path} is gone")
    fpm.wait_workers(6)
    assert fpm.find(r"\[pool gone\] the pool is no longer configured")


def test_a_renamed_pool_keeps_its_socket(case):
    fpm = case.fpm({"www": POOL})
    before = os.stat(fpm.address()).st_ino
    fpm.pools = {"renamed": fpm.pools["www"].replace("[www]", "[renamed]")}
    fpm.rewrite()
    fpm.reload()
    address = fpm.address("renamed")
    assert os.stat(address).st_ino == before, "it was made anew"
    wait_pool_at(address, "renamed")
    fpm.wait_workers(2)


def test_pools_exchange_their_addresses(case):
    fpm = case.fpm({"one": POOL, "two": POOL})
    files = [os.stat(fpm.address(name)).st_ino for name in ("one", "two")]
    one, two = fpm.pools["one"], fpm.pools["two"]
    fpm.pools = {"one": one.replace("/one.sock", "/two.sock"),
                 "two": two.replace("/two.sock", "/one.sock")}
    fpm.rewrite()
    fpm.reload()
    for name in ("one", "two"):
        wait_pool_at(fpm.address(name), name)
    assert [os.stat(fpm.address(name)).st_ino for name in ("two", "one")] == files
    fpm.wait_workers(4)


def clients_that_wait(case, fpm, count):
    """One request that runs at the gate, and so many that wait for its worker: (gate, connections)."""
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    clients = fill(fpm, case, 1)
    for _ in range(count):
        clients.append(fastcgi.Connection(fpm.address()))
        clients[-1].send(fastcgi.request(fastcgi.params_for("/wait", script)))
    return gate, clients


ONE_WORKER = CGI + "env[GATE] = {dir}/gate\npm.max_children = 1\n"


def test_who_waits_at_an_address_that_is_given_up_is_served(case):
    for tcp in (False, True):
        fpm = case.fpm({"www": ONE_WORKER + (f"listen = 127.0.0.1:{free_port()}\n" if tcp else "")})
        gate, clients = clients_that_wait(case, fpm, 3)
        old = fpm.address()
        fpm.pools["www"] = re.sub(r"^listen = .*$", f"listen = 127.0.0.1:{free_port()}",
                                  fpm.pools["www"], flags=re.M)
        fpm.rewrite()
        fpm.reload()
        fastcgi.ping(fpm.address())
        answers = release(gate, clients)
        assert all(b"then " in answer.stdout for answer in answers), answers
        fpm.wait_workers(1)
        if tcp:
            procs.wait_until(lambda: refuses(old), "the old port is closed")
        else:
            assert not os.path.exists(old)
        fpm.stop()
        os.unlink(gate.path)


def refuses(address):
    with socket.socket() as probe:
        return probe.connect_ex(address) != 0


def test_a_socket_file_that_somebody_removed_is_there_again(case):
    fpm = case.fpm({"www": POOL})
    os.unlink(fpm.address())
    fpm.reload()
    fastcgi.ping(fpm.address())
    fpm.wait_workers(2)


def test_process_max_leaves_room_for_the_new_generation(case):
    fpm = case.fpm({"www": POOL, "other": POOL}, "process.max = 4")
    for _ in range(3):
        before = set(fpm.wait_workers(4))
        fpm.reload()
        procs.wait_until(lambda: len(fpm.workers()) == 4 and not before & set(fpm.workers()),
                         "four new workers")
    for name in ("www", "other"):
        fastcgi.ping(fpm.address(name))
    assert not fpm.find("ERROR"), fpm.find("ERROR")


def test_process_max_and_an_old_generation_that_is_busy_altogether(case):
    """The new one waits for the first old worker that is idle again, not for the next reload."""
    case.script("cgi/wait", WAITING_SCRIPT)
    fpm = case.fpm({"www": CGI + "env[GATE] = {dir}/gate\n"}, "process.max = 2")
    gate, busy = Gate(case), fill(fpm, case, 2)
    fpm.send(signal.SIGUSR2)
    fpm.wait_line("The maximum number of processes has been reached")
    assert len(fpm.find("ready to handle connections")) == 1
    assert len(release(gate, busy)) == 2
    procs.wait_until(lambda: len(fpm.find("ready to handle connections")) == 2, "the reload ends", 10)
    fastcgi.ping(fpm.address())
    fpm.wait_workers(2)


def test_process_max_and_a_busy_old_generation(case):
    """There is room for one new worker only: that one serves, the second follows."""
    case.script("cgi/wait", WAITING_SCRIPT)
    fpm = case.fpm({"www": CGI + "env[GATE] = {dir}/gate\n"}, "process.max = 2")
    gate, busy = Gate(case), fill(fpm, case, 1)
    fpm.reload()
    fastcgi.ping(fpm.address())
    assert len(fpm.workers()) == 2
    before = set(fpm.workers())
    assert all(b"then " in answer.stdout for answer in release(gate, busy))
    procs.wait_until(lambda: len(fpm.workers()) == 2 and before != set(fpm.workers()),
                     "a second new worker")
    assert not fpm.find("ERROR"), fpm.find("ERROR")


def test_mode_and_backlog_of_a_socket_take_effect(case):
    fpm = case.fpm({"www": POOL + "listen.mode = 0600\nlisten.backlog = 100\n"})
    before = os.stat(fpm.address()).st_ino
    assert mode_of(fpm.address()) == 0o600
    fpm.change("www", "listen.mode = 0600\nlisten.backlog = 100", "listen.mode = 0666\nlisten.backlog = 77")
    fpm.reload()
    assert mode_of(fpm.address()) == 0o666
    assert os.stat(fpm.address()).st_ino == before
    fpm_status(fpm, "listen queue len", 77)


@needs_root
def test_owner_of_a_socket_takes_effect_and_goes_back(case):
    import pwd  # pylint: disable=import-outside-toplevel
    fpm = case.fpm({"www": POOL + "listen.mode = 0660\n"})
    assert os.stat(fpm.address()).st_uid == 0
    fpm.change("www", "listen.mode = 0660", f"listen.mode = 0660\nlisten.owner = {SERVICE_USER}")
    fpm.reload()
    assert os.stat(fpm.address()).st_uid == pwd.getpwnam(SERVICE_USER).pw_uid
    fpm.change("www", f"listen.owner = {SERVICE_USER}", "")
    fpm.reload()
    assert os.stat(fpm.address()).st_uid == 0


def test_a_generation_that_cannot_start_leaves_the_old_one_in_place(case):
    fpm = case.fpm({"www": POOL, "other": POOL})
    before = set(fpm.wait_workers(4))
    good = fpm.pools["www"]
    # There is no such confinement, which only a worker can find out.
    fpm.pools["www"] = good + "\napparmor_hat = none_such"
    fpm.rewrite()
    fpm.send(signal.SIGUSR2)
    fpm.wait_line(r"\[pool www\] the new generation does not serve.*the old one goes on")
    procs.wait_until(lambda: len(fpm.workers()) == 4 and len(before & set(fpm.workers())) == 2,
                     "two old workers of www, two new ones of other")
    fastcgi.ping(fpm.address("www"))
    fpm.pools["www"] = good
    fpm.rewrite()
    fpm.reload()
    procs.wait_until(lambda: not before & set(fpm.workers()), "new workers")


def test_a_taken_address_changes_nothing(case):
    fpm = case.fpm({"www": POOL})
    before = fpm.wait_workers(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        fpm.pools["new"] = (fpm.pools["www"].replace("[www]", "[new]")
                            .replace(f"{case.dir}/www.sock", f"127.0.0.1:{taken.getsockname()[1]}"))
        fpm.rewrite()
        fpm.send(signal.SIGUSR2)
        fpm.wait_line("nothing is changed")
    del fpm.pools["new"]
    assert fpm.workers() == before
    fastcgi.ping(fpm.address())


def test_hup_reopens_logs_and_replaces_what_differs_only(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 1\n", "other": POOL + "pm.max_children = 1\n"})
    before = set(fpm.wait_workers(2))
    fpm.change("www", "pm.max_children = 1", "pm.max_children = 3")
    fpm.reload(signal.SIGHUP)
    fpm.wait_workers(4)
    assert len(before & set(fpm.workers())) == 1
    fpm.reload(signal.SIGHUP)
    assert fpm.find("error log file re-opened")
    assert fpm.find("reloaded: 0 of 0")


def test_counters_survive(case):
    fpm = case.fpm({"www": POOL})
    for _ in range(5):
        fastcgi.ping(fpm.address())
    fpm.reload()
    # The page counts itself, as php-fpm's does.
    fpm_status(fpm, "accepted conn", "[6-9]")


def test_reloads_asked_for_together_are_one(case):
    fpm = case.fpm({"www": POOL})
    for _ in range(25):
        fpm.send(signal.SIGUSR2)
    procs.wait_until(lambda: fpm.find("Reloading in progress") and
                     len(fpm.find("ready to handle")) == 1 + len(fpm.find("Reloading in progress")),
                     "the last reload is over")
    fpm.wait_workers(2)
    assert len(fpm.find("Reloading in progress")) <= 25
    fastcgi.ping(fpm.address())


def keep_a_connection(fpm):
    """A connection that a worker keeps, which it does while others accept, and the request on it."""
    fpm_status(fpm, "total processes", 4)
    request = fastcgi.request(fastcgi.params_for("/ping"), flags=1)
    kept = fastcgi.Connection(fpm.address())
    kept.send(request)
    assert kept.read_answer().body == b"pong"
    return kept, request


def test_a_draining_worker_serves_one_more_request_on_a_kept_connection(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 4\n"})
    kept, request = keep_a_connection(fpm)
    with kept:
        fpm.reload()
        procs.wait_until(lambda: len(fpm.workers()) == 5, "the kept worker and four new ones")
        kept.send(request)
        assert kept.read_answer().body == b"pong"
        assert kept.at_end()
    fpm.wait_workers(4)


def test_an_idle_kept_connection_is_closed_by_half_of_the_patience(case):
    fpm = case.fpm({"www": POOL + "pm.max_children = 4\n"}, "process_control_timeout = 2s")
    kept, _ = keep_a_connection(fpm)
    with kept:
        began = time.monotonic()
        fpm.reload()
        procs.wait_until(lambda: len(fpm.workers()) == 5, "the kept worker and four new ones")
        assert kept.at_end()
        took = time.monotonic() - began
    assert 0.9 < took < 1.9, f"closed after {took} s"
    fpm.wait_workers(4)
    assert not fpm.find("they are ended now")


def test_a_request_that_outlives_the_patience_is_ended_with_an_answer(case):
    case.script("cgi/slow.cgi", "#!/bin/sh\nexec sleep 60\n")
    fpm = case.fpm({"www": CGI}, "process_control_timeout = 300ms")
    params = fastcgi.params_for("/slow.cgi", f"{case.dir}/cgi/slow.cgi")
    with fastcgi.Connection(fpm.address()) as slow:
        slow.send(fastcgi.request(params))
        fpm_status(fpm, "active processes", 2)
        fpm.reload()
        assert slow.read_answer().status == 503
    fpm.wait_workers(2)


def test_a_global_directive_takes_effect_and_others_need_a_restart(case):
    fpm = case.fpm({"www": POOL})
    fpm.rewrite("log_level = debug\npid = {0}/other.pid".format(case.dir))
    fpm.reload()
    fpm.wait_line("pid needs a restart")
    fpm.wait_line(r"DEBUG: pid \d+")
    assert not os.path.exists(f"{case.dir}/other.pid")


def least_resources(reporter, pid):
    """The least of five looks: some are there for a moment only, what leaks is always there."""
    looks = []
    for _ in range(5):
        looks.append(resources(pid))
        reporter.json("/status")
    return tuple(min(column) for column in zip(*looks))


def resources(pid):
    """Descriptors, children, mappings, and PSS in bytes."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        mappings = len(maps.readlines())
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        pss = int(re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.M).group(1)) * 1024
    return len(os.listdir(f"/proc/{pid}/fd")), len(procs.children(pid)), mappings, pss


def count_memories(pid):
    """Mappings of scoreboards and totals."""
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
        return sum("memfd:fpm-" in line for line in maps)


@plain_only
def test_a_hundred_reloads_leave_nothing_behind(case):
    """In the master and in the reporter, which sees them all."""
    reporter = Reporter(case, {f"p{i}": POOL + ("pm = ondemand\npm.max_children = 1\n" if i % 2 else "")
                               for i in range(4)}, f"control.socket = {case.dir}/ctl")
    fpm, shown_by = reporter.fpm, reporter.pid()
    seen, shown = {}, {}
    for count in range(101):
        before = set(fpm.workers())
        if count > 0:
            fpm.reload()
        for name in ("p1", "p3"):
            fastcgi.ping(fpm.address(name))  # a worker each of the pools that start them on demand
        # Two static pools of two, and those two.
        procs.wait_until(lambda: len(fpm.workers()) == 6 and
                         (count == 0 or not before & set(fpm.workers())),
                         f"new workers after reload {count}", 10)
        if count in (0, 10, 100):
            procs.wait_until(lambda: all(pool["generation"] == count + 1 and
                                         pool["total processes"] == pool["idle processes"]
                                         for pool in reporter.json("/status")["pools"]),
                             "the reporter knows the new generations", 10)
            seen[count], shown[count] = (least_resources(reporter, pid)
                                         for pid in (fpm.pid, shown_by))
    print(f"fds, children, mappings, PSS: the master {seen}, the reporter {shown}")
    assert reporter.pid() == shown_by
    assert seen[100][:3] == seen[10][:3] == seen[0][:3], seen
    assert shown[100][:2] == shown[10][:2] == shown[0][:2], shown
    for who in (seen, shown):
        assert who[100][3] - who[10][3] < 1 << 20, who
    # What it has of its pools' memory; the heap may be in a piece more or less.
    procs.wait_until(lambda: count_memories(shown_by) == 2 * len(fpm.pools), "two for each pool")


@plain_only
def test_a_thousand_pools_reload(case):
    pools = {f"p{i}": "pm = ondemand\nping.path = /ping\n" for i in range(1000)}
    fpm = case.fpm(pools)
    fpm.reload()
    assert len(fpm.find("using inherited socket")) == 1000
    for name in ("p0", "p999"):
        fastcgi.ping(fpm.address(name))


def test_pools_that_are_reloaded_with_one_less(case):
    """As php-fpm's own test has it: 129 pools, then 128."""
    pools = {f"p{i:03}": "pm = ondemand\nping.path = /ping\n" for i in range(129)}
    fpm = case.fpm(pools)
    fpm.reload()
    assert len(fpm.find("using inherited socket")) == 129
    del fpm.pools["p128"]
    fpm.rewrite()
    fpm.reload()
    assert len(fpm.find("using inherited socket")) == 129 + 128
