"""request_terminate_timeout: a whole 504 at the limit, and nothing of the script left."""

import time

import fastcgi
import procs
from case import plain_only
from fastcgi import Connection, params_for, request

LIMIT_S = 1.0
POOL = ("cgi.root = {dir}/cgi\nrequest_terminate_timeout = 1s\nenv[OUT] = {dir}/out\n"
        "ping.path = /ping\n")
# Ignores TERM, and so do its children.
STUBBORN = """\
#!/bin/sh
trap '' TERM
sleep 1000 &
echo $$ $! >"$OUT/part"
mv "$OUT/part" "$OUT/pids"
sleep 1000
"""
MEEK = """\
#!/bin/sh
sleep 1000 &
echo $$ $! >"$OUT/part"
mv "$OUT/part" "$OUT/pids"
wait
"""


def start(case, text):
    """(fpm, the script): a pool that has just answered."""
    script = case.script("cgi/slow", text)
    case.folder("out")
    fpm = case.fpm({"www": POOL})
    fastcgi.ping(fpm.address())
    return fpm, script


def overrun(case, fpm, script):
    """(answer, seconds from the request to END_REQUEST); checks what must hold at that moment."""
    begin = time.monotonic()  # not after connect(2): fpm may already count then
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/slow", script)))
        answer = client.read_answer()
        pids = [int(word) for word in (case.dir / "out/pids").read_text().split()]
        assert client.at_end(), "the connection did not end"
    for pid in pids:
        procs.wait_gone(pid)
    assert not procs.group(pids[0])
    return answer, answer.end_time - begin


def check_504(answer):
    assert answer.status == 504, answer
    assert answer.headers["status"] == "504 Gateway Timeout", answer
    assert "content-type" in answer.headers and answer.body.strip(), "a page for the visitor"
    length = answer.headers.get("content-length")
    assert length is None or int(length) == len(answer.body)
    assert answer.protocol_status == fastcgi.REQUEST_COMPLETE


def test_a_script_with_a_child_gets_a_whole_504(case):
    fpm, script = start(case, MEEK)
    answer, seconds = overrun(case, fpm, script)
    check_504(answer)
    assert seconds >= LIMIT_S
    line = fpm.wait_line(r"WARNING: \[pool www\] .*/slow.*").group(0)
    assert "1." in line, f"the log line does not say for how long: {line}"
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_one_that_ignores_TERM_too(case):
    fpm, script = start(case, STUBBORN)
    answer, seconds = overrun(case, fpm, script)
    check_504(answer)
    assert seconds >= LIMIT_S
    fpm.stop()


def check_time(case, text):
    """Three tries, because others may use this machine: none too early, one within 50 ms."""
    fpm, script = start(case, text)
    seconds = [overrun(case, fpm, script)[1] for _ in range(3)]
    assert min(seconds) >= LIMIT_S, f"too early: {seconds}"
    assert min(seconds) <= LIMIT_S + 0.050, f"too late: {seconds}"
    fpm.stop()


@plain_only
def test_the_504_comes_at_the_limit_and_within_50_ms(case):
    check_time(case, MEEK)


@plain_only
def test_so_it_does_when_TERM_is_ignored(case):
    check_time(case, STUBBORN)


def test_an_answer_that_was_begun_is_marked_as_cut(case):
    # No second status can follow; the front notices a missing rest by appStatus or by the end.
    script = case.script("cgi/half", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "echo half\nsleep 1000\n")
    fpm = case.fpm({"www": POOL})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/half", script), flags=fastcgi.KEEP_CONN))
        try:
            answer = client.read_answer()
            assert answer.body == b"half\n" and b"504" not in answer.stdout, answer
            assert answer.app_status != 0, answer
        except (fastcgi.Closed, ConnectionError):
            pass
        assert client.at_end(), "kept a connection with half an answer"
    fastcgi.ping(fpm.address())
    fpm.stop()


def test_nginx_hands_the_504_to_the_browser(case):
    case.folder("out")
    script = case.script("cgi/slow", MEEK)
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass {fpm.nginx_address()}; }}""")
    status, _, body = nginx.get("/slow")
    assert status == 504 and body.strip()
    assert b"nginx" not in body, "that is nginx's own page"
    assert not nginx.find("prematurely|upstream timed out")
    fpm.stop()
