"""What a PHP request costs in system calls, and that it still runs in its own folder."""

import collections
import re
import shutil

import php
import procs
from case import plain_only

REQUESTS = 100
CALL = re.compile(r"^(\w+)\(")
MOST = 14  # php-fpm: 32


def traced(case, run):
    """The worker's calls from one accept to the next, while `run(fpm)` asks."""
    if not shutil.which("strace"):
        case.skip("strace is not installed")
    traces = case.folder("traces")
    tracer = ["strace", "-D", "-ff", "-qq", "-s", "0", "-o", traces / "trace"]
    fpm = php.pool(case, wrapper=tracer)
    run(fpm)
    (worker,) = fpm.workers()
    trace = traces / f"trace.{worker}"
    fpm.stop()
    procs.wait_until(lambda: re.search(r"exit|killed", trace.read_text()[-400:]), "the end of the trace")
    names = [match.group(1) for match in map(CALL.match, trace.read_text().splitlines()) if match]
    places = [at for at, name in enumerate(names) if name.startswith("accept")]
    return [names[begin:end] for begin, end in zip(places, places[1:])]


@plain_only
def test_a_hello_takes_few_system_calls(case):
    path = php.old_script(case, "echo 'hello';", "hello.php")

    def run(fpm):
        for _ in range(REQUESTS):
            assert php.ask(fpm, path).body == b"hello"

    rounds = traced(case, run)
    assert len(rounds) >= REQUESTS - 1, len(rounds)
    usual, times = collections.Counter(map(tuple, rounds)).most_common(1)[0]
    print(f"{len(usual)} calls: {' '.join(usual)}")
    assert times > REQUESTS * 0.8, collections.Counter(map(tuple, rounds)).most_common(3)
    assert len(usual) <= MOST, usual


@plain_only
def test_a_large_body_takes_no_file(case):
    path = php.old_script(case, "echo strlen(file_get_contents('php://input'));", "length.php")

    def run(fpm):
        for method in ("POST", "PUT"):
            assert php.ask(fpm, path, method=method, body=b"x" * 1_000_000).body == b"1000000"

    for calls in traced(case, run)[-2:]:
        # One write may tell the master that no worker is free.
        assert calls.count("write") <= 1 and "lseek" not in calls, calls
        assert len(calls) < 200, collections.Counter(calls)


def test_each_script_runs_in_its_own_folder(case):
    fpm = php.pool(case, "chdir = /\n")
    seen = "<?php register_shutdown_function(fn() => print('|' . getcwd())); echo getcwd();"
    plain = "<?php echo getcwd();"
    moves = "<?php chdir('/tmp'); echo getcwd();"
    www = f"{case.dir}/www"
    for name, text, expected in [
            ("a.php", plain, www), ("a.php", plain, www), ("sub/b.php", plain, f"{www}/sub"),
            ("a.php", plain, www), ("m.php", moves, "/tmp"), ("a.php", plain, www),
            ("s.php", seen, f"{www}|/"), ("a.php", plain, www),
            ("d.php", "<?php class D { function __destruct() { echo getcwd(); } } $d = new D;", "/"),
            ("o.php", "<?php ob_start(fn($text) => $text . getcwd()); echo 'x';", "x/"),
            ("a.php", plain, www)]:
        answer = php.ask(fpm, php.script(case, text, name))
        assert answer.body.decode() == expected, (name, text, answer)
