"""The template: a process that loads an application once and forks the workers of its pool."""

import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import time

import fastcgi
import procs
from case import needs_root, plain_only
from fastcgi import Connection, params_for, request

POOL = "handler = module\nmodule.path = {module}\nping.path = /ping\n"
ONE = "pm.max_children = 1\n"
ONDEMAND = "pm = ondemand\npm.max_children = 4\npm.process_idle_timeout = 300ms\n"


def build(case, source, target=None):
    """A module out of a file of the tests, where the pool's user can read it."""
    target = case.dir / (target or source.stem + ".so")
    made = target.with_suffix(".new")
    subprocess.run(["cc", "-O1", "-g", "-shared", "-fPIC", f"-I{case.root}", "-o", made, source], check=True)
    os.chmod(made, 0o644)
    made.rename(target)
    return target


def naughty(case):
    return build(case, case.root / "tests/integration/module/naughty.c")


def saying(case, text, target="says.so"):
    """A module that answers with one text."""
    source = case.dir / "says.c"
    source.write_text('#include <fpm/module.h>\n#include <unistd.h>\n'
                      'static int handle(fpm_request *r, void *w) { (void)w; fpm_text q = '
                      'fpm_param(r, "QUERY_STRING"); if (q.size == 5) sleep(1); '
                      f'return fpm_write(r, "{text}", {len(text)}); }}\n'
                      'const struct fpm_module fpm_module = {FPM_MODULE_HEAD, .name = "says", '
                      '.handle = handle};\n')
    return build(case, source, target)


def start(case, module, lines="", more=None, **options):
    pools = {"www": POOL.replace("{module}", str(module)) + lines}
    pools.update(more or {})
    return case.fpm(pools, **options)


def ask(fpm, query="", pool="www"):
    return fastcgi.ask(fpm.address(pool), params_for("/x?" + query))


def pid_of(answer):
    return int(answer.headers["x-pid"])


def test_the_workers_are_the_masters_children_and_loaded_once(case):
    fpm = start(case, naughty(case), "pm.max_children = 3\n")
    fpm.wait_workers(3)
    (template,) = fpm.wait_templates()
    for pid in fpm.workers():
        assert procs.process(pid).parent == fpm.pid
        assert procs.process(pid).group == pid
    assert not procs.children(template)
    for _ in range(6):
        # Loaded once, started once in each, and glibc knows the thread's own number.
        assert ask(fpm, "stack").body == b"loads 1 starts 1 tid 1\n"
    fpm.stop()


def test_many_workers_at_once(case):
    fpm = start(case, naughty(case), "pm.max_children = 150\n")
    fpm.wait_workers(150, 20)
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


@plain_only
def test_where_clone3_is_forbidden(case):
    wrapper = case.dir / "noclone3"
    subprocess.run(["cc", "-O1", "-o", wrapper, case.source / "noclone3.c"], check=True)
    fpm = start(case, naughty(case), "module.option[start] = thread\n", wrapper=[wrapper])
    fpm.wait_workers(2)
    for pid in [*fpm.workers(), *fpm.wait_templates()]:
        assert re.search(r"^Seccomp:\s+2$", open(f"/proc/{pid}/status", encoding="ascii").read(), re.M)
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_a_thread_that_loading_started_is_refused_by_name(case):
    module = naughty(case)
    fpm = start(case, module, "module.option[load] = thread\n")
    fpm.wait_line(rf"ERROR: \[pool www\] template \d+ cannot load the application: module {module} started 1 "
                  "thread while it was loaded")
    fpm.stop()


def test_one_that_the_start_of_a_worker_made_is_fine(case):
    fpm = start(case, naughty(case), "module.option[start] = thread\n" + ONE)
    assert ask(fpm).body == b"hello\n"
    (worker,) = fpm.wait_workers(1)
    assert len(os.listdir(f"/proc/{worker}/task")) == 2
    fpm.stop()


def test_a_shared_lock_waits(case):
    fpm = start(case, naughty(case))
    fpm.wait_workers(2)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        holds, waits = (threads.submit(ask, fpm, "lock-" + what) for what in ("hold", "wait"))
        assert holds.result().body == b"result 0\n"
        assert waits.result().body == b"result 0\n"  # 35 would be EDEADLK
    fpm.stop()


def test_a_robust_lock_is_recovered(case):
    fpm = start(case, naughty(case))
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?lock-die")))
        assert client.at_end()
    fpm.wait_line(r"exited on signal 9 \(SIGKILL\)")
    assert ask(fpm, "lock-inherit").body == b"result 130\n"  # EOWNERDEAD
    assert ask(fpm, "lock-inherit").body == b"result 0\n"
    fpm.stop()


REFUSED = r"ERROR: \[pool www\] template \d+ names process {} as a new worker, which it is not"


def test_a_template_that_names_somebody_else_is_refused(case):
    other = subprocess.Popen(["sleep", "1000"])  # pylint: disable=consider-using-with
    case.defer(lambda: (other.kill(), other.wait()))
    names = case.dir / "names"
    good = {"good": POOL.replace("{module}", str(naughty(case))) + ONE}
    fpm = start(case, build(case, case.source / "hostile.c"), f"module.option[names] = {names}\n" + ONE, good)
    worker = pid_of(ask(fpm, pool="good"))
    master = fpm.pid
    for pid in (other.pid, worker, master, 1, -1, worker):
        case.write("part", f"{pid}\n").rename(names)
        fpm.wait_line(REFUSED.format(pid))
        assert other.poll() is None and procs.alive(worker)
    assert pid_of(ask(fpm, pool="good")) == worker
    fpm.stop()
    assert other.poll() is None


def test_a_template_that_dies_is_replaced_when_a_worker_is_needed(case):
    fpm = start(case, naughty(case), ONE)
    worker = pid_of(ask(fpm))
    (template,) = fpm.wait_templates()
    os.kill(template, signal.SIGKILL)
    fpm.wait_line(rf"ERROR: \[pool www\] template {template} exited on signal 9 \(SIGKILL\)")
    assert pid_of(ask(fpm)) == worker, "its workers live on"
    os.kill(worker, signal.SIGKILL)
    procs.wait_gone(worker)
    assert pid_of(ask(fpm)) != worker
    assert fpm.wait_templates() != [template]
    fpm.stop()


def check_failure(case, lines, pattern):
    """A load that fails is told with its reason, again and again but less and less often; clients get 503 and
    other pools notice nothing."""
    good = {"good": POOL.replace("{module}", str(naughty(case))) + ONE}
    fpm = case.fpm({"www": "handler = module\nping.path = /ping\n" + ONE + lines, **good})
    fpm.wait_line(r"\[pool www\] template \d+ " + pattern)
    answer = procs.wait_until(lambda: ask(fpm), "an answer")
    assert answer.status == 503 and answer.headers["retry-after"] and answer.ended, answer
    fpm.wait_line("its application cannot be started: clients get 503 until it can")
    assert ask(fpm, pool="good").body == b"hello\n"
    return fpm


def test_a_module_that_is_not_there_and_then_is(case):
    path = case.dir / "late.so"
    fpm = check_failure(case, f"module.path = {path}\n",
                        rf"cannot load the application: module {path}: .*cannot open shared object file")
    assert fpm.find(r'WARNING: .*module.path = ".*late.so": there is no such file now: No such file')
    saying(case, "here", "late.so")
    procs.wait_until(lambda: ask(fpm).body == b"here", "it serves", 10)
    procs.wait_until(lambda: len(fpm.workers()) == 2, "the stand-in has gone")
    assert all(ask(fpm).body == b"here" for _ in range(10))
    fpm.stop()


def test_modules_that_are_none(case):
    def wrong(name, text):
        source = case.write(f"{name}.c", "#include <fpm/module.h>\n" + text)
        return build(case, source)
    handle = "static int handle(fpm_request *r, void *w) { (void)w; return fpm_flush(r); }\n"
    version = wrong("version", handle + "const struct fpm_module fpm_module = {99, sizeof(struct fpm_module), "
                    ".handle = handle};\n")
    empty = wrong("empty", "const struct fpm_module fpm_module = {FPM_MODULE_HEAD, .name = \"e\"};\n")
    symbol = wrong("symbol", "int other;\n")
    text = case.write("text.so", "not an object\n")
    for path, pattern in [
            (version, "was built for interface 99 of modules, this fpm has 1"),
            (empty, "has no function handle"), (symbol, "is no module for fpm: it has no symbol fpm_module"),
            (text, ".*(invalid ELF header|file too short)")]:
        fpm = check_failure(case, f"module.path = {path}\n",
                            rf"cannot load the application: module {path}:? {pattern}")
        fpm.stop()


def test_loads_that_fail_or_end_the_process(case):
    module = naughty(case)
    for how, pattern in [("fail", rf"cannot load the application: module {module}: load\(\) failed with 7: "
                          "the table of prices is missing"),
                         ("crash", r"exited on signal 6 \(SIGABRT.*\), while it loaded the application"),
                         ("exit", "exited with code 3, while it loaded the application")]:
        fpm = check_failure(case, f"module.path = {module}\nmodule.option[load] = {how}\n", pattern)
        fpm.stop()


def test_a_start_of_workers_that_fails(case):
    module = naughty(case)
    fpm = start(case, module, ONE + "module.option[start] = fail\n")
    fpm.wait_line(rf"child \d+ failed to initialize: module {module}: start\(\) failed with 9: no connection to "
                  "the database")
    answer = ask(fpm)
    assert answer.status == 503, answer
    fpm.stop()


def test_a_failing_load_backs_off(case):
    fpm = start(case, case.dir / "none.so", ONE)
    fpm.wait_line("cannot load the application")
    time_begin = time.monotonic()
    procs.wait_until(lambda: len(fpm.find("cannot load the application")) >= 3, "three lines", 15)
    # 250 ms, 500 ms, 1 s: lines for the 1st, 2nd and 4th try.
    assert time.monotonic() - time_begin >= 1.5
    fpm.stop()


def test_a_reload_makes_a_new_template(case):
    module = saying(case, "old")
    fpm = start(case, module)
    (old,) = fpm.wait_templates()
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?sleep")))
        saying(case, "new")
        time_asked = time.monotonic()
        fpm.send(signal.SIGUSR2)
        fpm.wait_line("Reloading in progress")
        procs.wait_until(lambda: ask(fpm).body == b"new", "the new generation")
        assert client.read_answer().body == b"old", "a request of before was not finished"
    procs.wait_gone(old)
    fpm.wait_workers(2)
    assert fpm.wait_templates() != [old]
    assert time.monotonic() - time_asked < 20
    fpm.stop()


def test_a_reload_to_a_module_that_does_not_load_changes_nothing(case):
    module = saying(case, "old")
    fpm = start(case, module)
    (old,) = fpm.wait_templates()
    os.replace(case.write("rubbish", "rubbish\n"), module)
    fpm.send(signal.SIGUSR2)
    fpm.wait_line("the new generation does not serve: a worker cannot start; the old one goes on")
    assert ask(fpm).body == b"old"
    procs.wait_until(lambda: fpm.templates() == [old], "only the old template")
    assert len(fpm.workers()) == 2 and not fpm.find("clients get 503")
    fpm.stop()


def test_ondemand_starts_it_with_the_first_request_and_ends_it_when_idle(case):
    fpm = start(case, naughty(case), ONDEMAND + "template.idle_timeout = 500ms\n")
    assert not fpm.templates() and not fpm.workers()
    worker = pid_of(ask(fpm))
    (template,) = fpm.wait_templates()
    procs.wait_gone(worker)
    gone_from = time.monotonic()
    assert procs.alive(template), "it ended with its worker"
    procs.wait_gone(template)
    assert 0.3 <= time.monotonic() - gone_from < 3
    assert not fpm.find("template .* exited")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_in_other_modes_it_stays(case):
    fpm = start(case, naughty(case), "pm = dynamic\npm.max_children = 3\npm.start_servers = 1\n"
                "pm.min_spare_servers = 1\npm.max_spare_servers = 1\ntemplate.idle_timeout = 100ms\n")
    (template,) = fpm.wait_templates()
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: ask(fpm, "nap"), range(3)))
    assert len({pid_of(answer) for answer in answers}) == 3
    fpm.wait_workers(1, 10)
    assert fpm.wait_templates() == [template]
    fpm.stop()


def test_a_burst_ondemand_is_served_at_once(case):
    fpm = start(case, naughty(case), "pm = ondemand\npm.max_children = 50\n")
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: ask(fpm, "nap"), range(50)))
    assert all(answer.body == b"hello\n" for answer in answers)
    # One after the other it would be 30 s.
    assert time.monotonic() - begin < 6
    fpm.stop()


def test_workers_are_recycled_without_a_loss(case):
    fpm = start(case, naughty(case), "pm.max_requests = 7\n")
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(fpm), range(300)))
    assert all(answer.body == b"hello\n" for answer in answers)
    assert len({pid_of(answer) for answer in answers}) > 20
    fpm.stop()


@needs_root
def test_chroot_comes_after_loading_and_leaves_no_rights(case):
    root = case.folder("root")
    (root / "inside").mkdir()
    fpm = start(case, naughty(case), f"chroot = {root}\nchdir = /inside\ncatch_workers_output = yes\n" + ONE)
    assert ask(fpm).body == b"hello\n"
    (template,) = fpm.wait_templates()
    (worker,) = fpm.wait_workers(1)
    for pid in (template, worker):
        assert os.readlink(f"/proc/{pid}/root") == str(root)
        assert os.readlink(f"/proc/{pid}/cwd") == str(root / "inside")
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        for kind in ("Inh", "Prm", "Eff", "Amb"):
            assert re.search(rf"^Cap{kind}:\s+0+$", status, re.M), status
        assert not re.search(r"^Uid:.*\b0\b", status, re.M), status
    # Loaded as the user, before.
    fpm.wait_line(r"loaded as uid [1-9]\d* in ")
    fpm.stop()


def test_it_ends_with_its_master(case):
    fpm = start(case, naughty(case))
    family = [*fpm.wait_templates(), *fpm.wait_workers(2)]
    os.kill(fpm.pid, signal.SIGKILL)
    fpm.wait_exit(5)
    for pid in family:
        procs.wait_gone(pid)


def test_logs_that_are_reopened_are_new_for_it_too(case):
    fpm = start(case, naughty(case), ONE + "access.log = {dir}/access.log\naccess.format = %r\n")
    (template,) = fpm.wait_templates()
    assert ask(fpm).body == b"hello\n"
    (case.dir / "access.log").rename(case.dir / "access.1")
    fpm.send(signal.SIGUSR1)
    fpm.wait_line("access log file re-opened")
    procs.wait_until(lambda: str(case.dir / "access.1") not in procs.open_files(template).values(),
                     "the template lets go of the old file")
    (worker,) = fpm.wait_workers(1)
    os.kill(worker, signal.SIGKILL)
    procs.wait_gone(worker)
    assert pid_of(ask(fpm)) != worker
    procs.wait_until(lambda: "/x" in (case.dir / "access.log").read_text(), "a line in the new file")
    assert fpm.wait_templates() == [template]
    fpm.stop()


def test_workers_hold_nothing_of_the_template(case):
    fpm = start(case, naughty(case), "pm.max_children = 3\n")
    fpm.wait_workers(3)
    assert ask(fpm).body == b"hello\n"
    counts = {pid: len(procs.open_files(pid)) for pid in fpm.workers()}
    sockets = {pid: [to for to in procs.open_files(pid).values() if to.startswith("socket:")]
               for pid in fpm.workers()}
    assert len(set(counts.values())) == 1, counts
    # The listener, the channel and the socket that takes the listener's place.
    assert all(len(found) == 3 for found in sockets.values()), sockets
    channels = [set(found) for found in sockets.values()]
    assert len(set.intersection(*channels)) == 1, "only the listener is shared"
    fpm.stop()
