"""A warm worker answers without allocating, and does not grow."""

import mmap
import struct

import fastcgi
import procs
from case import plain_only
from fastcgi import params_for

SLOTS = 1 << 16  # of malloc_count.cpp


class AllocationCounts:
    """The counters that the preloaded library keeps for each process."""

    def __init__(self, case):
        self.library = case.build / "tests/support/libmalloc_count.so"
        assert self.library.exists(), f"{self.library} was not built"
        self.file = case.dir / "counts"
        self.file.write_bytes(bytes(8 * SLOTS))
        self.environment = {"LD_PRELOAD": str(self.library), "MALLOC_COUNT_FILE": str(self.file)}
        with open(self.file, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8 * SLOTS)

    def of(self, pid):
        return struct.unpack_from("=Q", self._map, 8 * (pid % SLOTS))[0]


@plain_only
def test_no_allocation_from_the_100th_to_the_1000th_ping(case):
    counts = AllocationCounts(case)
    fpm = case.fpm({"www": "cgi.root = {dir}\nping.path = /ping\npm.max_children = 1"},
                   environment=counts.environment)
    (worker,) = fpm.workers()
    assert counts.of(fpm.pid) > 100, "the library does not count"
    for _ in range(100):
        fastcgi.ping(fpm.address())
    before = counts.of(worker)
    for _ in range(900):
        fastcgi.ping(fpm.address())
    after = counts.of(worker)
    assert after == before, f"{after - before} allocations in 900 pings"
    fpm.stop()


@plain_only
def test_a_worker_does_not_grow_with_its_requests(case):
    script = case.script("cgi/env", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n")
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\nping.path = /ping\npm.max_children = 1"})
    (worker,) = fpm.workers()

    def ask(count):
        for number in range(count):
            fastcgi.ask(fpm.address(), params_for("/env", script, HTTP_X="x" * (number % 50)))

    files = len(procs.open_files(worker))
    ask(30)
    before = resident_kb(worker)
    ask(200)
    grown = resident_kb(worker) - before
    assert grown < 256, f"grew by {grown} KB in 200 requests"
    # The answer comes before the worker has closed the connection.
    procs.wait_until(lambda: len(procs.open_files(worker)) == files,
                     f"the worker has {files} descriptors again, not {procs.open_files(worker)}")
    fpm.stop()


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
