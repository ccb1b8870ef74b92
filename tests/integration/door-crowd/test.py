"""A crowd of slow clients costs no worker and no time of others."""

import procs
from case import plain_only
from crowd import REQUESTS, SlowClients, Watch, answers, bench, measure
from door import Door
from fpm import free_port

SLOW = 1000  # heads, and bodies as many
BLOCKS = 5
POOL = """
http.scripts = extension
http.header_timeout = 300s
http.read_timeout = 300s
pm.max_children = 2
rlimit_files = 8192
"""


def slow_case(case):
    case.write("www/file", "file\n")
    case.script("www/run.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran\\n'\n")
    status = free_port()
    door = Door(case, POOL, f"status.listen = 127.0.0.1:{status}")
    watch = Watch(status)
    procs.wait_until(lambda: answers(watch), "the reporter answers")
    return door, watch


def test_slow_heads_and_bodies_take_no_worker(case):
    door, watch = slow_case(case)
    slow = SlowClients(case, door, SLOW // 10 if case.sanitized else SLOW)
    with watch:
        for _ in range(3):
            bench(case, door, "/file")
        procs.wait_until(lambda: len(watch.seen) >= 20, "twenty looks at the status", 20)
    assert set(watch.seen) == {0}, watch.seen
    bench(case, door, "/run.cgi")
    lost, sent = slow.end()
    case.say(f"{len(watch.seen)} looks at the status: no active process; {sent} slow bytes")
    assert lost == 0 and sent > SLOW // 10


@plain_only
def test_slow_clients_do_not_slow_others(case):
    door, watch = slow_case(case)
    paths = ("/file", "/run.cgi")
    times = {path: [] for path in paths}
    with watch:
        for _ in range(BLOCKS):
            # One after the other: what else the machine does meets both.
            alone = {path: measure(case, door, path) for path in paths}
            slow = SlowClients(case, door, SLOW)
            for path in paths:
                beside = measure(case, door, path)
                times[path].append((beside / alone[path], beside, alone[path]))
            lost, sent = slow.end()
            assert lost == 0 and sent > 0
    for path in paths:
        ratio, beside, alone = sorted(times[path])[BLOCKS // 2]
        case.say(f"p99 of {REQUESTS} requests of {path}: {beside:.0f} us beside {2 * SLOW} slow clients, "
                 f"{alone:.0f} us alone: {ratio:.2f} times")
        assert ratio < 2, times[path]
