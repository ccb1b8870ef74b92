"""handler = module: shared objects that answer requests in the worker itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import fastcgi
import procs
from case import needs_root, plain_only
from fastcgi import Connection, params_for, request

POOL = "handler = module\nmodule.path = {module}\nping.path = /ping\n"
ONE = "pm.max_children = 1\n"
TERMINATING = (r"WARNING: \[pool www\] child (\d+), script '(\S+)' \(request: \"(.*)\"\) "
               r"execution timed out \((\d+\.\d{6}) sec\), terminating")


def example(case, name):
    """One of the project's own examples, where the pool's user can read it."""
    target = case.dir / f"{name}.so"
    shutil.copyfile(case.build / f"fpm/handlers/module/examples/module-{name}.so", target)
    os.chmod(target, 0o644)
    return target


def built(case, source="naughty.c", *flags):
    """A module of this folder, compiled for the case."""
    target = case.dir / (source.split(".")[0] + ".so")
    if not target.exists():
        compiler = "cc" if source.endswith(".c") else "c++"
        subprocess.run([compiler, "-O1", "-g", "-shared", "-fPIC", f"-I{case.root}", *flags, "-o", target,
                        case.source / source], check=True)
        os.chmod(target, 0o644)
    return target


def start(case, module, lines="", global_lines="", **options):
    return case.fpm({"www": POOL.replace("{module}", str(module)) + lines}, global_lines, **options)


def ask(fpm, query="", method="GET", body=b"", **params):
    return fastcgi.ask(fpm.address(), params_for("/x?" + query, method=method, body=body, **params),
                       body)


def pid_of(answer):
    return int(answer.headers["x-pid"])


def test_hello(case):
    fpm = start(case, example(case, "hello"))
    for _ in range(5):
        answer = ask(fpm)
        assert answer.body == b"hello\n" and answer.ended, answer
        assert answer.headers == {"content-type": "text/plain"}, answer
        assert answer.app_status == 0
    fastcgi.ping(fpm.address())
    assert fpm.wait_templates(1) and fpm.wait_workers(2)
    fpm.stop()


def test_echo_takes_what_came_and_streams(case):
    fpm = start(case, example(case, "echo"), "module.option[color] = blue\nmodule.option[size] = 3\n")
    answer = ask(fpm, "a=%22", HTTP_X_ODD='quo"te\\')
    told = json.loads(answer.body)
    assert told["options"] == {"color": "blue", "size": "3"}, told
    assert told["params"]["HTTP_X_ODD"] == 'quo"te\\' and told["params"]["QUERY_STRING"] == "a=%22"
    assert told["body"]["size"] == 0
    body = os.urandom(5 << 20)
    told = json.loads(ask(fpm, "", "POST", body).body)
    assert told["body"]["size"] == len(body)
    small = os.urandom(70_000)
    told = json.loads(ask(fpm, "", "POST", small).body)
    assert told["body"] == {"size": 70_000, "fnv1a": str(fnv1a(small))}, told
    answer = ask(fpm, "stream=20000")
    assert answer.body == b"".join(b"line %d\n" % one for one in range(1, 20001))
    fpm.stop()


def fnv1a(data):
    total = 14695981039346656037
    for byte in data:
        total = (total ^ byte) * 1099511628211 % 2**64
    return total


def test_an_authorizer(case):
    module = example(case, "authorizer")
    fpm = start(case, module, "module.option[token] = open sesame\nmodule.option[user] = ali\n")
    asked = dict(params_for("/x"), HTTP_X_TOKEN="open sesame")
    allowed = fastcgi.ask(fpm.address(), asked, role=fastcgi.AUTHORIZER)
    assert allowed.headers == {"status": "200 OK", "variable-remote_user": "ali"}, allowed
    refused = fastcgi.ask(fpm.address(), params_for("/x"), role=fastcgi.AUTHORIZER)
    assert refused.status == 403 and refused.body == b"a token is missing\n", refused
    fpm.stop()


def test_a_client_is_let_go_while_the_work_goes_on(case):
    fpm = start(case, built(case), ONE)
    with Connection(fpm.address()) as client:
        begin = time.monotonic()
        client.send(request(params_for("/x?finish")))
        answer = client.read_answer()
        assert client.at_end() and answer.body == b"done\n" and answer.ended
        assert time.monotonic() - begin < 1.2
    assert not fpm.find("worked on")
    assert ask(fpm).body == b"hello\n"  # after it: the worker was busy
    fpm.wait_line('request "GET /x": worked on')
    fpm.stop()


def test_after_the_answer_only_a_tracked_limit_applies(case):
    fpm = start(case, built(case), ONE + "request_terminate_timeout = 300ms\n")
    assert ask(fpm, "finish").body == b"done\n"
    fpm.wait_line("worked on")
    assert not fpm.find(TERMINATING)
    fpm.stop()


def test_a_tracked_one_does(case):
    fpm = start(case, built(case), ONE + "request_terminate_timeout = 300ms\n"
                "request_terminate_timeout_track_finished = yes\n")
    answer = ask(fpm, "finish")
    assert answer.body == b"done\n" and answer.ended, answer
    fpm.wait_line(TERMINATING)
    fpm.wait_line("its client has the whole answer")
    assert ask(fpm).body == b"hello\n"
    assert not fpm.find("worked on")
    fpm.stop()


LIMIT = ONE + "request_terminate_timeout = 500ms\n"


def overrun(fpm, query):
    """(answer, seconds) of a request that does not end by itself."""
    begin = time.monotonic()
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?" + query)))
        answer = client.read_answer()
        assert client.at_end()
    return answer, answer.end_time - begin


def check_504(answer):
    assert answer.status == 504 and answer.ended, answer
    assert int(answer.headers["content-length"]) == len(answer.body) > 0


def test_a_module_that_spins_or_sleeps_gets_a_whole_504(case):
    fpm = start(case, built(case), LIMIT)
    for query in ("spin", "sleep"):
        answer, seconds = overrun(fpm, query)
        check_504(answer)
        assert seconds >= 0.5, seconds
        line = procs.wait_until(lambda query=query: [one for one in fpm.find(TERMINATING)
                                                     if f"?{query}" in one], "the line")
        assert len(line) == 1, line
        fpm.wait_line(rf"its client got 504: it was in .*{query}_in_the_module\(\) .*naughty.so")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_what_it_has_started_goes_with_it(case):
    fpm = start(case, built(case), LIMIT)
    check_504(overrun(fpm, "system")[0])
    # Orphans become children of the tests: it would be seen there as well.
    procs.wait_until(lambda: not [one for one in procs.descendants(os.getpid()) if one.name == "sleep"],
                     "the end of the program that the module started")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_one_that_blocks_all_signals_gets_it_from_the_master(case):
    fpm = start(case, built(case), LIMIT)
    answer, seconds = overrun(fpm, "blocked")
    check_504(answer)
    assert seconds >= 0.5, seconds
    fpm.wait_line("did not end that request by itself and is killed, its client got 504 from the master")
    assert len(fpm.find(TERMINATING)) == 1
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


@plain_only
def test_limits_are_held_within_20_ms(case):
    fpm = start(case, built(case), LIMIT + "access.log = {dir}/access.log\n"
                "access.format = \"%m %r %s %d\"\n")
    late = []
    for query in ("spin", "sleep", "spin", "sleep", "spin"):
        answer, seconds = overrun(fpm, query)
        check_504(answer)
        late.append(seconds - 0.5)
    assert min(late) >= 0 and sorted(late)[2] <= 0.020, late
    lines = procs.wait_until(lambda: len(found := (case.dir / "access.log").read_text()
                                         .splitlines()) == 5 and found, "five lines")
    assert all(line.startswith("GET /x 504 0.") for line in lines), lines
    fpm.stop()


def test_an_answer_that_was_begun_gets_no_504(case):
    fpm = start(case, built(case), LIMIT)
    for query in ("begun", "buffered"):
        with Connection(fpm.address()) as client:
            client.send(request(params_for("/x?" + query)))
            try:
                answer = client.read_answer()
                assert not answer.ended or answer.app_status != 0, answer
            except (fastcgi.Closed, ConnectionError):
                pass
            assert client.at_end()
        fpm.wait_line("its answer was begun, its client gets no more")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_a_client_that_still_sends_gets_the_504_too(case):
    fpm = start(case, built(case), LIMIT)
    with Connection(fpm.address()) as client:
        client.send(fastcgi.begin() + fastcgi.stream(fastcgi.PARAMS, 1, fastcgi.pairs(
            params_for("/x?spin", method="POST"))) + b"".join(
                fastcgi.record(fastcgi.STDIN, content=b"x" * 32768) for _ in range(3)))
        check_504(client.read_answer())
    fpm.stop()


def test_a_slow_request_is_logged_with_its_stack_and_goes_on(case):
    fpm = start(case, built(case), "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 200ms\n"
                "pm.status_path = /status\n")
    answer = ask(fpm, "nap")
    assert answer.body == b"hello\n" and answer.ended, answer
    text = procs.wait_until(lambda: "nap" not in (text := (case.dir / "slow.log").read_text())
                            and text, "an entry")
    head = (r"\n\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\]  \[pool www\] pid (\d+)\n"
            r"script_filename = (\S+)\n((?:\[0x[0-9a-f]{16}\] \S.*\n)+)")
    found = re.fullmatch(head, text)
    assert found, text
    assert int(found.group(1)) == pid_of(answer)
    assert found.group(2).endswith("naughty.so")
    frames = found.group(3).splitlines()
    names = [re.match(r"\[0x[0-9a-f]+\] (\S+)\(\)", one).group(1) for one in frames]
    assert "sleep_in_the_module" in names[:4], frames
    fpm.wait_line(rf"WARNING: \[pool www\] child {found.group(1)}, script '\S+naughty.so' "
                  r"\(request: \"GET /x\?nap\"\) executing too slow \(0\.[23]\d+ sec\), logging")
    page = fastcgi.ask(fpm.address(), params_for("/status")).body.decode()
    assert re.search(r"^slow requests: +1$", page, re.M), page
    assert len(fpm.find("too slow")) == 1 and not fpm.find("terminating")
    fpm.stop()


def test_a_slow_request_that_blocks_signals_is_logged_by_the_master(case):
    fpm = start(case, built(case), ONE + "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 200ms\n"
                "request_terminate_timeout = 700ms\n")
    check_504(ask(fpm, "blocked"))
    text = (case.dir / "slow.log").read_text()
    assert re.fullmatch(r"\n\[.*\]  \[pool www\] pid \d+\nscript_filename = \S+naughty.so\n"
                        r"\[0x0{16}\] pid \d+ .*\n", text), text
    assert len(fpm.find("executing too slow")) == 1
    fpm.stop()


def test_a_crash_an_exit_and_a_failure_cost_one_request(case):
    fpm = start(case, built(case), "catch_workers_output = yes\n")
    for query in ("crash", "exit"):
        with Connection(fpm.address()) as client:
            client.send(request(params_for("/x?" + query)))
            try:
                client.read_answer()
                raise AssertionError("an answer of a module that ended")
            except (fastcgi.Closed, ConnectionError):
                pass
        fpm.wait_line(rf"exited (on signal 11 \(SIGSEGV|with code 1).*, with the request \"GET /x\?{query}\"")
        fpm.wait_workers(2)
        assert ask(fpm).body == b"hello\n"
    failed = ask(fpm, "fail")
    assert failed.status == 500 and failed.app_status == 1 and str(case.dir).encode() not in failed.body
    assert ask(fpm, "status").app_status == 42
    fpm.stop()


def test_what_a_module_throws_stays_in_it(case):
    (case.dir / "thrower.cpp").write_text("""\
#include <fpm/module.hpp>
#include <stdexcept>
struct Thrower : fpm::Module {
  explicit Thrower(const fpm::Setup& setup) {
    if (setup.option("load")) throw std::runtime_error("no such table");
  }
  int handle(fpm::Request& request) override {
    const auto query = request.param("QUERY_STRING").value_or("");
    if (query == "std") throw std::runtime_error("of its own");
    if (query == "int") throw 5;
    if (query == "late") { request.write("half"); request.flush(); throw std::runtime_error("late"); }
    request.write("fine");
    return 0;
  }
};
FPM_MODULE("thrower", Thrower)
""")
    module = case.dir / "thrower.so"
    subprocess.run(["c++", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-I{case.root}",
                    "-o", module, case.dir / "thrower.cpp"], check=True)
    fpm = start(case, module, ONE)
    for query, text in (("std", "of its own"), ("int", "no std::exception")):
        assert ask(fpm, query).status == 500
        fpm.wait_line(f'ERROR: .pool www. request "GET /x": .*{text}')
    assert ask(fpm, "late").app_status != 0
    assert ask(fpm).body == b"fine" and len(fpm.workers()) == 1
    assert not fpm.find("exited"), "a worker was lost"
    fpm.stop()
    fpm = start(case, module, ONE + "module.option[load] = 1\n", wait=False)
    fpm.wait_line(r"cannot load the application: module \S+thrower.so: load\(\) failed with -1: no such table")
    fpm.stop()


def test_a_leak_ends_with_its_worker(case):
    fpm = start(case, built(case), ONE + "pm.max_memory = 24M\n")
    first = pid_of(ask(fpm))
    assert ask(fpm, "leak").body == b"leaked\n"
    # Looked at once a second at most, after a request.
    procs.wait_until(lambda: ask(fpm) and fpm.find("is larger than pm.max_memory"), "it is noticed")
    procs.wait_gone(first)
    assert pid_of(ask(fpm)) != first
    fpm.stop()


def test_it_can_ask_whether_the_client_has_gone(case):
    fpm = start(case, built(case), ONE)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?gone")))
    fpm.wait_line("it has gone")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()


def test_the_body_by_pieces_and_by_copies(case):
    fpm = start(case, built(case), ONE)
    body = os.urandom(1_000_000)
    answer = ask(fpm, "body", "POST", body)
    assert answer.body == b"%d 1 %d\n" % (len(body), sum(body)), answer
    assert ask(fpm, "body").body == b"0 0 0\n"
    fpm.stop()


def test_headers_that_would_split_the_answer_are_refused(case):
    fpm = start(case, built(case), ONE)
    answer = ask(fpm, "headers")
    assert answer.body == b"-1 -1 -1 -1 -1 0\n", answer
    assert answer.headers["status"] == "418 Teapot", answer
    fpm.stop()


def test_environment_and_output(case):
    fpm = start(case, built(case), ONE + "catch_workers_output = yes\nenv[COLOR] = blue\n",
                environment={"SECRET": "of the master"})
    fpm.wait_line(r'WARNING: \[pool www\] child \d+ said into stdout: "loaded as uid \d+ in /"')
    for name, value in (("COLOR", b"blue"), ("PATH", b"/usr/local/bin:/usr/bin:/bin"), ("SECRET", b"(none)")):
        assert ask(fpm, "env-" + name).body == value, name
    fpm.stop()


def test_stop_ends_a_request_with_an_answer(case):
    fpm = start(case, built(case), ONE)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?spin")))
        (worker,) = fpm.wait_workers(1)
        procs.wait_until(lambda: procs.process(worker).state == "R", "it spins")
        time_before = time.monotonic()
        fpm.send(signal.SIGTERM)
        answer = client.read_answer()
        assert answer.status == 503, answer
        assert time.monotonic() - time_before < 5
    fpm.wait_gone_cleanly()


def test_single_loads_and_serves_in_one_process(case):
    fpm = start(case, built(case), ONE, options=["--single", "www"], wait=False)
    procs.wait_until(lambda: os.path.exists(fpm.address()), "the socket")
    answer = procs.wait_until(lambda: try_ask(fpm), "an answer")
    assert pid_of(answer) == fpm.pid and answer.body == b"hello\n"
    assert not procs.children(fpm.pid)
    fpm.send(signal.SIGTERM)
    assert fpm.wait_exit(10) == 0


def try_ask(fpm):
    try:
        return ask(fpm)
    except OSError:
        return None


@plain_only
def test_four_calls_a_request(case):
    if not shutil.which("strace"):
        case.skip("strace is not installed")
    traces = case.folder("traces")
    tracer = ["strace", "-D", "-ff", "-qq", "-s", "0", "-o", traces / "trace"]
    # No look at a client that may have left while a slow request before it ran.
    fpm = start(case, example(case, "hello"), ONE + "request_drop_abandoned = no\n", wrapper=tracer)
    (worker,) = fpm.wait_workers(1)
    for _ in range(200):
        assert ask(fpm).body == b"hello\n"
    fpm.stop()
    trace = traces / f"trace.{worker}"
    procs.wait_until(lambda: re.search("exit|killed", trace.read_text()[-400:]), "the end of the trace")
    calls = re.findall(r"^(\w+)\(", trace.read_text(), re.M)
    places = [at for at, name in enumerate(calls) if name.startswith("accept")]
    assert len(places) >= 200, f"{len(places)} calls of accept"
    odd = [calls[begin:end] for begin, end in list(zip(places, places[1:]))[:199]
           if [re.sub("^(accept|recv|send).*", r"\1", name) for name in calls[begin:end]]
           != ["accept", "recv", "send", "close"]]
    assert len(odd) <= 2, odd


@plain_only
def test_a_module_is_built_out_of_tree_against_an_installation(case):
    if not shutil.which("pkg-config"):
        case.skip("pkg-config is not installed")
    there = case.dir / "destination"
    subprocess.run(["meson", "install", "-C", case.build, "--destdir", there, "--no-rebuild", "--quiet"], check=True)
    (found,) = there.rglob("fpm-module.pc")
    environment = dict(os.environ, PKG_CONFIG_PATH=str(found.parent), PKG_CONFIG_SYSROOT_DIR=str(there))
    flags = subprocess.run(["pkg-config", "--cflags", "fpm-module"], env=environment, check=True,
                           capture_output=True, text=True).stdout.split()
    assert any(str(there) in flag for flag in flags), flags
    # Alone, in a folder that knows nothing of the sources.
    tree = case.folder("tree")
    examples = case.root / "fpm/handlers/module/examples"
    for name in ("hello.c", "authorizer.c", "echo.cpp"):
        shutil.copyfile(examples / name, tree / name)
        compiler = ["cc", "-std=c11"] if name.endswith(".c") else ["c++", "-std=c++20"]
        subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *flags, "-o",
                        name.split(".")[0] + ".so", name], cwd=tree, check=True)
    fpm = start(case, tree / "hello.so")
    assert ask(fpm).body == b"hello\n"
    fpm.stop()
    fpm = start(case, tree / "echo.so")
    assert json.loads(ask(fpm).body)["body"]["size"] == 0
    fpm.stop()


@needs_root
def test_where_the_kernel_refuses_the_connection_the_client_gets_a_reset_by_name(case):
    # As in a container: without this right a process of another user is out of the master's reach.
    fpm = start(case, built(case), LIMIT, wrapper=["setpriv", "--bounding-set=-sys_ptrace",
                                                   "--inh-caps=-sys_ptrace"])
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/x?blocked")))
        try:
            client.read_answer()
            raise AssertionError("an answer, though nobody could give it")
        except (fastcgi.Closed, ConnectionError):
            pass
    fpm.wait_line(TERMINATING)
    fpm.wait_line(r"is killed, its client gets a reset instead of 504 \(.*Operation not permitted")
    # Those that let signals through need no such right.
    answer, _ = overrun(fpm, "spin")
    check_504(answer)
    assert ask(fpm).body == b"hello\n"
    fpm.stop()
