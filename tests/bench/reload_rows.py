"""Reloads under load: what is lost, and what the others notice."""

import contextlib
import os
import signal
import threading

import fastcgi
import measure
import servers
from measure import middle, spread
from results import Table

RATE = 1000
POOL = ("pm = static\npm.max_children = 24\nlisten.backlog = 511\nping.path = /ping\n"
        "cgi.root = /")
# (reloads, seconds between two)
RELOADS = ((0, 0), (9, 2.0), (25, 0.02))
MOST_ROUNDS = 2


def reload(plan):
    """One slow request and 1,000 a second beside it, GET and POST, while USR2 arrives."""
    table = Table("reload", f"Reload under load: {RATE} requests a second, four GET to one POST of 2 KB, and one "
                  "request of 5 s",
                  ["connections", "reloads", "sent", "answered", "lost POSTs", "sent again",
                   "slow one", "p99 ms", "p99 beside none"])
    for name, options in (("one a request, UNIX", {}), ("one a request, TCP", {"tcp": True}),
                          ("kept, UNIX", {"keep": True}), ("kept, TCP", {"keep": True, "tcp": True}),
                          ("nginx keepalive 16, UNIX", {"nginx": True}),
                          ("nginx keepalive 16, TCP", {"nginx": True, "tcp": True})):
        # By turns: on a shared machine the p99 of one minute says nothing of the next one's.
        seen = [round_of(plan, name, options) for _ in range(min(plan.rounds, MOST_ROUNDS))]
        for place, (reloads, gap) in enumerate(RELOADS):
            results = [one[place] for one in seen]
            sent, answered, lost, retried = (sum(one[key] for one in results) for key in
                                             ("sent", "answered", "lost", "retried"))
            p99 = [one["p99"] for one in results]
            ratios = [one[place]["p99"] / one[0]["p99"] for one in seen]
            table.add(name, f"{reloads} in {reloads * (gap / 20 if plan.brief else gap):.3g} s", sent, answered, lost,
                      retried, "answered", table.figure(f"{name}, {reloads} reloads, p99", "fpm", p99, "ms"),
                      spread(ratios, 2))
            if reloads:
                table.goal(f"{name}, {reloads} reloads, lost", lost, sent // 1000 if kept(options) else 0,
                           "requests")
                table.goal(f"{name}, {reloads} reloads, p99", middle(ratios), 2, "times that of none",
                           short=not options and reloads == 9)
    return [table]


def round_of(plan, name, options):
    """The same load without a reload and with so many, one after the other: what was seen of each."""
    seconds = 1.5 if plan.brief else 20
    seen = []
    for reloads, gap in RELOADS:
        said, _ = under_load(plan, options, reloads, gap / 20 if plan.brief else gap, seconds)
        lost = said["failures"]["closed"]
        if said["failed"] != lost or (lost and (options.get("tcp") or not kept(options))):
            raise servers.Wrong(f"{name}: {said['failures']}")
        seen.append({"sent": said["sent"], "answered": said["answered"], "lost": lost,
                     "retried": said["retried"], "p99": said["latency_us"]["p99"] / 1000})
    return seen


def kept(options):
    return options.get("keep") or options.get("nginx")


def under_load(plan, options, reloads, gap, seconds):
    """(what the load generator says, what became of the slow request)."""
    slow_script = plan.bench.script("fpm", 1000 if plan.brief else 5000)
    address = f"127.0.0.1:{servers.free_port()}" if options.get("tcp") else None
    with plan.bench.server("fpm", {"www": POOL}, listen=address) as server, \
            contextlib.ExitStack() as stack:
        target = server.listen
        how = ["-k"] if options.get("keep") else []
        if options.get("nginx"):
            target, how = front(plan.bench, stack, server), ["--http", "-k"]
        slow, ended = [], threading.Event()

        def ask_slow():
            params = fastcgi.params_for("/slow", slow_script)
            slow.append(fastcgi.ask(server.connect_to, params, limit_s=30))
            ended.set()
        threading.Thread(target=ask_slow, daemon=True).start()
        reloader = threading.Thread(target=send_reloads, args=(server, reloads, gap))
        reloader.start()
        said = plan.bench.load(target, "-u", "/ping", "-r", RATE, "-t", seconds, "-c", 16,
                               "--mix", "GET:4,POST:1", "--body", "2K", *how, check=False)
        reloader.join()
        if not ended.wait(30) or slow[0].body.strip() != b"hello":
            raise servers.Wrong(f"the slow request: {slow}")
        return said, "answered"


def send_reloads(server, count, gap):
    measure.pause(0.5)
    for _ in range(count):
        os.kill(server.pid, signal.SIGUSR2)
        measure.pause(gap)


def front(bench, stack, server):
    """An nginx that keeps connections; host:port."""
    address = server.listen if ":" in server.listen else f"unix:{server.listen}"
    nginx = bench.nginx(stack, f"""
      upstream kept {{ server {address}; keepalive 16; }}
      server {{
        listen 127.0.0.1:{{port}};
        location / {{
          fastcgi_param REQUEST_METHOD $request_method; fastcgi_param QUERY_STRING $query_string;
          fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param SCRIPT_NAME $uri;
          fastcgi_keep_conn on; fastcgi_pass kept; keepalive_requests 100000;
        }}
      }}""")
    return f"127.0.0.1:{nginx.port}"
