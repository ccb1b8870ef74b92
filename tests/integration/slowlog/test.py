"""request_slowlog_timeout: one entry for each slow request, php-fpm's to the byte."""

import os
import re
import shutil
import signal

import fastcgi
import procs
from case import mode_of, needs_root, plain_only
from daemon import Daemon
from fastcgi import Connection, params_for, request

POOL = ("cgi.root = {dir}/cgi\nping.path = /ping\npm.status_path = /status\n"
        "slowlog = {dir}/slow.log\nrequest_slowlog_timeout = 300ms\nenv[GATE] = {dir}/gate\n")
# Slow until somebody writes to the FIFO; its child is what waits.
SLOW = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
sh -c 'read -r line <"$GATE"; echo "$line"'
echo end
"""
HEAD = (r"\n\[\d\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d\]  \[pool www\] pid (\d+)\n"
        r"script_filename = (\S+)\n")
# What parsers of php-fpm's slow log look for in a frame: an address in brackets, a blank, text.
FRAME = r"\[0x[0-9a-f]{16}\] \S.*\n"
LOGGING = (r"WARNING: \[pool www\] child (\d+), script '(\S+)' \(request: \"(.*)\"\) "
           r"executing too slow \((\d+\.\d{6}) sec\), logging")


def log_of(case):
    path = case.dir / "slow.log"
    return path.read_text() if path.exists() else ""


def entries(text):
    """[(pid, script, [frame])]; everything in the file belongs to one."""
    found = re.findall(f"({HEAD})((?:{FRAME})*)", text)
    assert "".join(head + frames for head, _, _, frames in found) == text, f"more than entries: {text!r}"
    return [(int(pid), script, frames.splitlines()) for _, pid, script, frames in found]


def wait_entries(case, count):
    return procs.wait_until(lambda: len(found := entries(log_of(case))) >= count and found,
                            f"{count} entries in the slow log")


def open_gate(case, text="go"):
    (case.dir / "gate").write_text(f"{text}\n")


def slow_request(case, fpm, script, meanwhile, uri="/slow?a=1"):
    """Begins a slow request, does `meanwhile` while it waits, lets it end."""
    with Connection(fpm.address()) as client:
        client.send(request(params_for(uri, script)))
        meanwhile()
        open_gate(case)
        answer = client.read_answer()
        assert answer.body == b"go\nend\n", answer


def start(case, more=""):
    case.fifo("gate")
    script = case.script("cgi/slow", SLOW)
    return case.fpm({"www": POOL + more}), script


def test_a_slow_request_has_one_entry_that_says_where_it_is(case):
    fpm, script = start(case)
    slow_request(case, fpm, script, lambda: wait_entries(case, 1))
    fastcgi.ping(fpm.address())
    ((pid, filename, frames),) = entries(log_of(case))
    assert pid in fpm.workers() and filename == str(script)
    assert len(frames) == 2, frames
    # The innermost first, as in a stack.
    assert re.search(r"\] pid \d+ \(sh\) waits in \S+ .*: sh -c read -r line", frames[0]), frames
    assert re.search(rf"\] pid \d+ \(slow\) waits in \S+ .*: /bin/sh {script}$", frames[1]), frames
    line = fpm.wait_line(LOGGING)
    assert int(line.group(1)) == pid
    assert line.group(2, 3) == (str(script), "GET /slow?a=1")
    assert len(fpm.find(LOGGING)) == 1
    assert not fpm.find("terminat")
    fpm.stop()


def test_each_slow_request_counts_on_the_status_page(case):
    fpm, script = start(case)
    for number in (1, 2):
        slow_request(case, fpm, script, lambda number=number: wait_entries(case, number))
        page = fastcgi.ask(fpm.address(), params_for("/status")).body.decode()
        assert re.search(rf"^slow requests: +{number}$", page, re.M), page
    fpm.stop()


def test_a_request_in_time_has_none(case):
    fpm, _ = start(case)
    quick = case.script("cgi/quick", "#!/bin/sh\nprintf 'Content-Type: a/b\\r\\n\\r\\n'\n")
    for _ in range(20):
        fastcgi.ask(fpm.address(), params_for("/quick", quick))
    fpm.stop()
    assert log_of(case) == ""
    assert mode_of(case.dir / "slow.log") == 0o600
    assert not fpm.find("too slow")


@plain_only
def test_entries_come_within_20_ms_of_the_limit(case):
    fpm, script = start(case)
    for number in (1, 2, 3):
        slow_request(case, fpm, script, lambda number=number: wait_entries(case, number))
    procs.wait_until(lambda: len(fpm.find(LOGGING)) == 3, "three lines")
    late = sorted(float(re.search(LOGGING, line).group(4)) - 0.3 for line in fpm.find(LOGGING))
    assert late[0] >= 0 and late[1] <= 0.020, f"late by {late} s"
    fpm.stop()


def test_a_slow_request_may_still_time_out(case):
    fpm, script = start(case, "request_terminate_timeout = 600ms\n")
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/slow", script)))
        client.read_all()
    assert len(wait_entries(case, 1)) == 1
    fpm.wait_line("execution timed out")
    fpm.stop()


def test_as_many_frames_as_trace_depth_says(case):
    fpm, script = start(case, "request_slowlog_trace_depth = 1\n")
    slow_request(case, fpm, script, lambda: wait_entries(case, 1))
    ((_, _, frames),) = entries(log_of(case))
    assert len(frames) == 1 and "(sh)" in frames[0], frames
    fpm.stop()


def test_a_request_that_gets_slow_after_a_rotation_is_in_the_new_file(case):
    fpm, script = start(case, "request_slowlog_timeout = 1s\npm.max_children = 1\n")
    old = case.dir / "slow.log.1"

    def rotate():
        procs.wait_until(lambda: procs.children(fpm.workers()[0]), "the script runs")
        os.rename(case.dir / "slow.log", old)
        mark = fpm.mark()
        fpm.send(signal.SIGUSR1)
        fpm.wait_line("log file re-opened", after=mark)
        wait_entries(case, 1)

    slow_request(case, fpm, script, rotate)
    assert old.read_text() == ""
    assert len(fpm.workers()) == 1
    fpm.stop()


def test_a_worker_that_slept_through_a_rotation_writes_to_the_new_file(case):
    fpm, script = start(case)
    slow_request(case, fpm, script, lambda: wait_entries(case, 1))
    os.rename(case.dir / "slow.log", case.dir / "slow.log.1")
    fpm.send(signal.SIGUSR1)
    procs.wait_until((case.dir / "slow.log").exists, "the new file")
    slow_request(case, fpm, script, lambda: wait_entries(case, 1))
    assert len(entries((case.dir / "slow.log.1").read_text())) == 1
    fpm.stop()


def test_a_file_that_cannot_be_opened_is_refused_at_start(case):
    fpm = case.fpm({"www": POOL.replace("{dir}/slow.log", "{dir}/missing/slow.log")}, wait=False)
    assert fpm.wait_exit() == 78
    assert fpm.find(r"slow ?log.*missing/slow\.log"), fpm.text


# php-fpm traces its workers as root.
@needs_root
@plain_only
def test_php_fpm_writes_the_same_head(case):
    program = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        case.skip("php-fpm8.2 is not installed")
    (case.dir / "php").mkdir()
    script = case.write("php/slow.php", "<?php sleep(3); echo 'end';\n")
    config = case.write("php/fpm.conf", f"""\
[global]
error_log = {case.dir}/php/error.log
daemonize = no
[www]
user = www-data
group = www-data
listen = {case.dir}/php/sock
pm = static
pm.max_children = 1
slowlog = {case.dir}/php/slow.log
request_slowlog_timeout = 1s
""")
    theirs = Daemon(case, "php-fpm", [program, "-n", "-F", "-O", "-y", config])
    try:
        theirs.wait_line("ready to handle connections")
        fastcgi.ask(f"{case.dir}/php/sock", params_for("/slow.php", script))
    finally:
        os.kill(theirs.pid, signal.SIGTERM)
        theirs.wait_exit()
    text = (case.dir / "php/slow.log").read_text()
    if "dump failed" in text or not text:
        case.skip("php-fpm may not trace here")
    ((_, filename, frames),) = entries(text)
    assert filename == str(script) and frames, text
    assert theirs.find(LOGGING), theirs.text

    fpm, ours = start(case)
    slow_request(case, fpm, ours, lambda: wait_entries(case, 1))
    # After the same substitutions the same bytes.
    assert shape(log_of(case), ours) == shape(text, script)
    assert (line_shape(fpm.find(LOGGING)[0], ours, "GET /slow?a=1")
            == line_shape(theirs.find(LOGGING)[0], script, "GET /slow.php"))
    fpm.stop()


def shape(text, script):
    head = re.match(HEAD, text).group(0).replace(str(script), "SCRIPT")
    return re.sub(r"\d", "0", re.sub(r"pid \d+", "pid 0", re.sub(r"-[A-Z][a-z]{2}-", "-Mon-", head)))


def line_shape(line, script, asked):
    line = line.replace(str(script), "SCRIPT").replace(asked, "REQUEST")
    return re.sub(r"^\[[^]]*\] ", "", re.sub(r"\(\d+\.\d{6} sec\)", "(0.0 sec)",
                                             re.sub(r"child \d+", "child 0", line)))
