"""Workers that have done enough make room for fresh ones, and no client notices."""

import re
import threading

import fastcgi
from case import plain_only

POOL = "cgi.root = {dir}/cgi\nping.path = /ping\npm.max_children = 4\nlisten.backlog = 511\n"
BY_REQUESTS = POOL + "pm.max_requests = 5\npm.max_requests_jitter = 3\n"
# Every look at the memory ends the worker, and a new one looks after its first request.
BY_MEMORY = POOL + "pm.max_memory = 1\n"
CLIENTS = 8


class Crowd:
    """Clients that ask for the ping page again and again, each request on its own connection."""

    def __init__(self, address, requests):
        self._address = address
        self._left = requests
        self._lock = threading.Lock()
        self.answered, self.wrong = 0, []

    def run(self):
        threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _take(self):
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _ask(self):
        while self._take():
            try:
                fastcgi.ping(self._address)
                wrong = None
            except Exception as error:  # pylint: disable=broad-except
                wrong = repr(error)
            with self._lock:
                if wrong:
                    self.wrong.append(wrong)
                else:
                    self.answered += 1


def started(fpm):
    """The pids of the workers that took an earlier one's place."""
    return {int(re.search(r"child (\d+) started", line).group(1))
            for line in fpm.find(r"\[pool www\] child \d+ started")}


def none_is_lost(case, pool, requests, changes):
    fpm = case.fpm({"www": pool})
    first = set(fpm.workers())
    crowd = Crowd(fpm.address(), requests)
    crowd.run()
    assert not crowd.wrong, f"{len(crowd.wrong)} of {requests} were lost: {crowd.wrong[:3]}"
    assert crowd.answered == requests
    new = started(fpm) - first
    low, high = changes
    assert low <= len(new) <= high, f"{len(new)} new workers"
    # They end on their own, in an orderly way, and the pool is as large as before.
    fpm.wait_workers(4)
    assert not fpm.find("WARNING|ERROR"), fpm.find("WARNING|ERROR")[:3]
    fpm.stop()


def by_requests(case, count):
    # 5 to 8 requests each; pids may come again in a small name space of pids.
    none_is_lost(case, BY_REQUESTS, count, (count // 8 - 8, count // 5))


def by_time(case, count, lifetime):
    none_is_lost(case, POOL + f"pm.max_worker_lifetime = {lifetime}\n", count, (4, count))


def by_memory(case, count):
    none_is_lost(case, BY_MEMORY, count, (count // 2, count))


def test_max_requests_loses_none_of_2000(case):
    by_requests(case, 2000)


def test_max_worker_lifetime_loses_none_of_2000(case):
    by_time(case, 2000, "40ms")


def test_max_memory_loses_none_of_2000(case):
    by_memory(case, 2000)


@plain_only
def test_max_requests_loses_none_of_10000(case):
    by_requests(case, 10000)


@plain_only
def test_max_worker_lifetime_loses_none_of_10000(case):
    by_time(case, 10000, "200ms")


@plain_only
def test_max_memory_loses_none_of_10000(case):
    by_memory(case, 10000)
