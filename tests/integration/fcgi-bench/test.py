"""fcgi-bench tells what a server did: every failure by its kind, every delay, also those of requests that
it could not send."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys

from case import plain_only
from daemon import Daemon


def start(case, *how, address=None):
    """(address, pid) of a server that does `how`, see server.py."""
    address = address or case.dir / "server.sock"
    server = Daemon(case, "server", [sys.executable, case.source / "server.py", address, *how])
    case.defer(server.kill)
    return server.wait_line(r"listens at (\S+)").group(1), server.pid


def command(case, *words):
    return [str(word) for word in [case.build / "tools" / "fcgi-bench", *words]]


def bench(case, *words, status=None):
    """What it reports as JSON."""
    done = subprocess.run(command(case, "--json", *words), capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, **case.sanitizer_environment()))
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == (1 if report["failed"] else 0), done
    assert report["answered"] + report["failed"] == report["sent"], report
    if status is not None:
        assert done.returncode == status, report
    return report


def failures(report):
    return {kind: count for kind, count in report["failures"].items() if count}


@plain_only
def test_what_a_server_drops_cuts_and_delays_is_told_exactly(case):
    address, _ = start(case, "flaky")
    delayed = []
    for _ in range(5):
        report = bench(case, "-n", 1000, "-c", 1, "--expect", "hello", address, status=1)
        assert failures(report) == {"unanswered": 10, "truncated": 10}, report
        assert report["answered"] == 980 and report["connections"] == 1000, report
        # p90 of 980 is the 98th from the top: not delayed. The 80th from the top is.
        assert report["latency_us"]["p99"] >= 20000, report
        delayed.append(report["at_least_us"]["20000"])
        if delayed[-1] == 80:
            break
    # A busy machine may delay some more, in one run or the other.
    assert min(delayed) == 80, f"delayed by 20 ms: {delayed}"


def test_numbers_are_the_same_with_many_clients(case):
    address, _ = start(case, "flaky")
    report = bench(case, "-n", 500, "-c", 8, address)
    assert failures(report) == {"unanswered": 5, "truncated": 5}, report
    report = bench(case, "-n", 500, "-c", 40, address)  # another way of waiting
    assert failures(report) == {"unanswered": 5, "truncated": 5}, report


def test_a_kept_connection_that_ends_is_tried_again_or_lost(case):
    address, _ = start(case, "flaky")
    report = bench(case, "-n", 990, "-c", 1, "-k", address)
    assert failures(report) == {"truncated": 10}, report
    assert report["retried"] == 9 and report["connections"] == 1 + 9 + 10, report
    server = case.dir / "second.sock"
    address, _ = start(case, "flaky", address=server)
    report = bench(case, "-n", 1000, "-c", 1, "-k", "--mix", "POST", "--body", "1K", address)
    assert failures(report) == {"closed": 10, "truncated": 10}, report
    assert report["retried"] == 0, report


@plain_only
def test_a_stall_is_charged_to_all_who_would_have_asked(case):
    address, _ = start(case, "stall", 500)
    report = bench(case, "-r", 500, "-t", 3, "-c", 4, address, status=0)
    latency = report["latency_us"]
    assert report["sent"] == 1500, report
    # 500 requests fell into that second; half of them waited for at least half of it.
    assert report["at_least_us"]["500000"] >= 249, report
    assert latency["p90"] >= 690000 and latency["p99"] >= 960000, report
    assert latency["max"] >= 998000, report

    # Without a rate only the requests under way notice.
    address, _ = start(case, "stall", 500, address=case.dir / "second.sock")
    report = bench(case, "-n", 1500, "-c", 4, address)
    assert 1 <= report["at_least_us"]["500000"] <= 4, report


def test_each_kind_of_failure_has_its_name(case):
    nobody = case.dir / "nobody.sock"
    report = bench(case, "-n", 7, nobody)
    assert failures(report) == {"refused": 7}, report

    with socket.socket(socket.AF_UNIX) as listener:  # which never accepts
        full = str(case.dir / "full.sock")
        listener.bind(full)
        listener.listen(0)
        report = bench(case, "-n", 5, "-c", 5, "--timeout", 0.3, full)
        assert failures(report) == {"backlog": 4, "timeout": 1}, report

    address, _ = start(case, "reset", address="127.0.0.1:0")
    report = bench(case, "-n", 20, "-c", 2, address)
    assert failures(report) == {"reset": 20}, report

    address, _ = start(case, "tell")
    assert failures(bench(case, "-n", 9, "--expect", "good-bye", address)) == {"wrong": 9}
    assert failures(bench(case, "-n", 9, "--status", 404, address)) == {"wrong": 9}
    assert failures(bench(case, "-n", 9, "--status", 200, address)) == {}


def test_requests_are_like_those_of_nginx(case):
    address, _ = start(case, "tell", address="127.0.0.1:0")
    bench(case, "-n", 4, "--expect", "26 parameters, 0 bytes, flags 0", address, status=0)
    report = bench(case, "-n", 4, "-c", 1, "-k", "-e", "MORE=1", "--expect",
                   "27 parameters, 0 bytes, flags 1", address, status=0)
    assert report["connections"] == 1, report
    bench(case, "-n", 3, "--mix", "POST", "--body", "1M", "--expect",
          f"26 parameters, {1 << 20} bytes", address, status=0)


@plain_only
def test_cpu_of_a_process_tree_counts_children_that_ended(case):
    address, pid = start(case, "burn", 20)
    report = bench(case, "-n", 50, "-c", 1, "--pid", pid, address, status=0)
    # 20 ms each, a half of it in processes of which only ticks are left; and what Python itself takes.
    assert 18000 < report["server_cpu_us"] < 40000, report
    assert 0 < report["own_cpu_us"] < 5000, report


def test_a_terminal_gets_a_line_of_progress_and_a_table(case):
    address, _ = start(case, "flaky")
    terminal, theirs = pty.openpty()
    with subprocess.Popen(command(case, "-t", 0.7, "-c", 2, address), stdout=theirs, stderr=theirs,
                          env=dict(os.environ, **case.sanitizer_environment())) as process:
        os.close(theirs)
        text = read_all(terminal)
        assert process.wait(10) == 1, text
    assert re.search(r"\r +\d+%  0\.\d s  \d+ answered, \d+ a second now, \d+ failed", text), text
    table = text.rpartition("\033[K")[2]
    assert re.search(r"^requests +\d+ sent, \d+ answered, \d+ failed", table, re.M), table
    for line in ("connections", "latency", "at least", "CPU", "unanswered", "truncated"):
        assert re.search(rf"^{line} .*\d", table, re.M), table
    assert not re.search(r"^(refused|wrong|timeout)", table, re.M), table


def read_all(terminal, limit_s=20):
    data, poll = b"", select.poll()
    poll.register(terminal, select.POLLIN)
    with open(terminal, "rb", buffering=0) as file:
        while poll.poll(limit_s * 1000):
            try:
                more = file.read(65536)
            except OSError:  # EIO: its other end is closed
                break
            if not more:
                break
            data += more
    return data.decode()
