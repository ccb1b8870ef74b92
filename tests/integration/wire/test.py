"""Strange bytes: an answer or a clean end, a line in the log, and the worker goes on."""

import json
import resource
import socket
import struct
import time

import fastcgi
import procs
from fastcgi import (ABORT_REQUEST, AUTHORIZER, BEGIN_REQUEST, DATA, END_REQUEST, FILTER,
                     GET_VALUES, GET_VALUES_RESULT, KEEP_CONN, PARAMS, STDIN, UNKNOWN_TYPE,
                     Connection, begin, pairs, params_for, record, request, stream)
from fpm import free_port

ECHO = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
printf '%s %s ' "$REQUEST_METHOD" "$QUERY_STRING"
if [ "$REQUEST_METHOD" = POST ]; then cat; fi
"""


class Server:
    """One worker, so that a worker stuck or lost is noticed by the next request.

    Connections are kept only while another worker is free: some more workers for tests of that,
    since one may still be busy with the end of an earlier request.
    """

    def __init__(self, case, lines="", workers=1):
        self.script = case.script("cgi/echo", ECHO)
        self.fpm = case.fpm({"www": f"listen = 127.0.0.1:{free_port()}\n"
                             f"pm.max_children = {workers}\n"
                             "cgi.root = {dir}/cgi\nping.path = /ping\n"
                             f"pm.status_path = /status\n{lines}"})
        self.workers = self.fpm.wait_workers(workers)
        self.address = self.fpm.address()
        procs.wait_until(lambda: self.idle_workers() == workers - 1, "all workers are ready")

    def idle_workers(self):
        """Without the one that answers this."""
        answer = fastcgi.ask(self.address, params_for("/status?json"))
        return json.loads(answer.body)["idle processes"]

    def connect(self, limit_s=10):
        return Connection(self.address, limit_s)

    def params(self, uri="/echo", method="GET", **more):
        return params_for(uri, self.script, method, **more)

    def check_goes_on(self):
        fastcgi.ping(self.address)
        assert self.fpm.workers() == self.workers, "the worker was replaced"

    def log_line_since(self, mark, pattern=r"\[pool www\]"):
        return self.fpm.wait_line(pattern, after=mark)

    def finish(self):
        self.check_goes_on()
        self.fpm.stop()


def test_what_is_no_fastcgi_record_is_closed_with_a_line_in_the_log(case):
    server = Server(case)
    for bytes_ in (b"\0" * 64, b"\xff" * 64, b"SSH-2.0-OpenSSH\r\n", b"\x16\x03\x01\x02\x00\x01",
                   record(BEGIN_REQUEST, 1, b"\0\1\0\0\0\0\0\0", version=2),
                   record(BEGIN_REQUEST, 1, b"\0\1")):
        mark = server.fpm.mark()
        with server.connect() as client:
            client.send(bytes_)
            data, _ = client.read_all()
            assert not data.startswith(b"HTTP/"), data
        if bytes_[:1] == b"\0":
            server.log_line_since(mark)
        server.check_goes_on()
    server.finish()


def test_a_browser_on_the_fastcgi_port_reads_what_is_wrong(case):
    server = Server(case)
    for method in ("GET", "POST", "HEAD", "PUT"):
        mark = server.fpm.mark()
        with server.connect() as client:
            client.send(f"{method} /index HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            data, was_reset = client.read_all()
            assert data.startswith(b"HTTP/1."), data
            assert data.split()[1] == b"400" and not was_reset, data
        if method == "GET":
            server.log_line_since(mark, r"HTTP")
        server.check_goes_on()
    server.finish()


def test_a_session_cut_at_every_byte_leaves_the_worker_whole(case):
    server = Server(case)
    session = request(server.params("/echo?q", "POST", body=b"body"), b"body", padding=3)
    for cut in list(range(0, 40)) + list(range(40, len(session), 7)):
        with server.connect() as client:
            client.send(session[:cut])
    server.finish()


def test_truncated_parameters_are_no_request(case):
    server = Server(case)
    whole = pairs(server.params())
    for content in (whole[:-3], b"\x05\x05ab", b"\x80\x00", b"\xff\xff\xff\xff\x01x"):
        with server.connect() as client:
            client.send(begin() + record(PARAMS, 1, content) + record(PARAMS, 1))
            data, _ = client.read_all()
            assert b"GET" not in data, "it ran the script"
        server.check_goes_on()
    server.finish()


def test_oversized_parameters_are_refused_with_a_line_in_the_log(case):
    server = Server(case)
    mark = server.fpm.mark()
    with server.connect() as client:
        flood = begin() + stream(PARAMS, 1, pairs({"HTTP_COOKIE": "c" * (1 << 20)}))
        try:
            client.send(flood + stream(STDIN, 1, b""))
        except ConnectionError:
            pass  # closed while we still sent
        assert client.at_end()
    server.log_line_since(mark, r"\[pool www\].*(param|large|big|limit)")
    server.finish()


def test_64_KB_in_one_value_and_10000_parameters_are_fine(case):
    server = Server(case)
    many = {f"HTTP_X_{number}": "v" for number in range(10000)}
    for more in ({"HTTP_COOKIE": "c" * 65536}, many):
        answer = fastcgi.ask(server.address, params_for("/ping", **more))
        assert answer.body == b"pong", answer
    server.finish()


def test_a_client_that_stops_sending_is_closed_in_time(case):
    server = Server(case, "request_header_timeout = 1s")
    mark = server.fpm.mark()
    session = request(server.params())
    with server.connect() as client:
        start = time.monotonic()
        client.send(session[:50])
        assert client.at_end()
        seconds = time.monotonic() - start
    assert 0.9 <= seconds < (5 if case.sanitized else 2), f"after {seconds:.2f} s"
    server.log_line_since(mark)
    server.finish()


def test_one_byte_at_a_time(case):
    server = Server(case)
    with server.connect() as client:
        client.send_slowly(request(server.params("/echo?a=b", "POST", body=b"12345"), b"12345"))
        assert client.read_answer().body == b"POST a=b 12345"
    server.finish()


def test_every_padding(case):
    server = Server(case, workers=4)
    with server.connect() as client:
        for padding in range(256):
            client.send(request(params_for("/ping"), flags=KEEP_CONN, padding=padding))
            assert client.read_answer().body == b"pong", padding
    answer = fastcgi.ask(server.address, server.params("/echo", "POST"), b"x" * 70000, padding=255,
                         size=65535)
    assert answer.body == b"POST  " + b"x" * 70000
    server.finish()


def test_parameters_split_anywhere(case):
    server = Server(case)
    content = pairs(dict(server.params("/echo?split"), HTTP_LONG="l" * 200))
    with server.connect() as client:
        client.send(begin() + stream(PARAMS, 1, content, size=1) + record(STDIN))
        assert client.read_answer().body == b"GET split "
    server.finish()


def test_get_values_is_answered_at_any_moment(case):
    server = Server(case, workers=4)
    names = pairs({"FCGI_MAX_CONNS": "", "FCGI_MAX_REQS": "", "FCGI_MPXS_CONNS": "", "X": ""})
    with server.connect() as client:
        ask_values = record(GET_VALUES, 0, names)
        client.send(ask_values)
        check_values(client.read_record())
        client.send(begin(flags=KEEP_CONN) + ask_values)
        check_values(client.read_record())
        client.send(record(PARAMS, 1, pairs(params_for("/ping"))) + ask_values)
        check_values(client.read_record())
        client.send(record(PARAMS) + record(STDIN))
        assert client.read_answer().body == b"pong"
        client.send(ask_values)
        check_values(client.read_record())
    server.finish()


def check_values(got):
    kind, request_id, content = got
    assert (kind, request_id) == (GET_VALUES_RESULT, 0), got
    assert b"\x0f\x01FCGI_MPXS_CONNS0" in content, content
    assert b"FCGI_MAX_CONNS" in content and b"FCGI_MAX_REQS" in content, content
    assert b"\x01\x00X" not in content, content


def test_an_unknown_management_record_is_called_so(case):
    server = Server(case)
    with server.connect() as client:
        client.send(record(77, 0, b"what") + request(params_for("/ping")))
        kind, request_id, content = client.read_record()
        assert (kind, request_id, content[0]) == (UNKNOWN_TYPE, 0, 77)
        assert client.read_answer().body == b"pong"
    server.finish()


def test_unknown_types_and_foreign_ids_are_skipped(case):
    server = Server(case)
    with server.connect() as client:
        client.send(begin() + record(99, 1, b"?") + record(PARAMS, 7, b"other") + record(DATA, 1)
                    + record(STDIN, 9, b"other") + record(ABORT_REQUEST, 12)
                    + stream(PARAMS, 1, pairs(server.params("/echo?kept"))) + record(STDIN))
        assert client.read_answer().body == b"GET kept "
    server.finish()


def test_a_second_request_at_a_time_is_told_that_it_cannot_be(case):
    server = Server(case)
    with server.connect() as client:
        params = stream(PARAMS, 1, pairs(server.params("/echo?first", "POST")))
        client.send(begin() + params + begin(3) + stream(PARAMS, 3, pairs(params_for("/ping"))))
        kind, request_id, content = client.read_record()
        while kind == fastcgi.STDOUT and request_id == 1:
            kind, request_id, content = client.read_record()
        assert (kind, request_id) == (END_REQUEST, 3)
        assert struct.unpack("!IB3x", content)[1] == fastcgi.CANT_MPX_CONN
        client.send(record(STDIN, 3, b"ignored") + record(STDIN, 1, b"body") + record(STDIN, 1))
        answer = client.read_answer(1)
        assert answer.ended and answer.protocol_status == fastcgi.REQUEST_COMPLETE
    server.finish()


def test_ids_are_echoed_and_can_come_again(case):
    server = Server(case, workers=4)
    with server.connect() as client:
        for number in (1, 65535, 256, 1, 1):
            client.send(request(params_for("/ping"), request_id=number, flags=KEEP_CONN))
            assert client.read_answer(number).body == b"pong"
    server.finish()


def test_roles(case):
    server = Server(case)
    with server.connect() as client:
        client.send(begin(1, 77) + stream(PARAMS, 1, pairs(server.params())))
        answer = client.read_answer()
        assert answer.protocol_status == fastcgi.UNKNOWN_ROLE and not answer.stdout, answer
    server.check_goes_on()
    with server.connect() as client:
        client.send(request(server.params(), role=FILTER))
        answer = client.read_answer()
        assert answer.protocol_status == fastcgi.UNKNOWN_ROLE and b"GET" not in answer.stdout
    server.check_goes_on()
    with server.connect() as client:  # an authorizer is never sent a body, not even an empty one
        client.send(begin(1, AUTHORIZER) + stream(PARAMS, 1, pairs(server.params("/echo?auth"))))
        assert client.read_answer().body == b"GET auth "
    server.finish()


def test_abort_before_the_parameters_are_complete(case):
    server = Server(case)
    with server.connect() as client:
        client.send(begin() + record(PARAMS, 1, pairs({"A": "b"})) + record(ABORT_REQUEST))
        assert client.read_answer().ended
    server.finish()


def test_a_client_that_never_reads_does_not_keep_the_worker(case):
    big = case.script("cgi/big", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                      "head -c 50000000 /dev/zero\n")
    server = Server(case)
    client = server.connect()
    client.send(request(params_for("/big", big)))
    client.read_record()
    client.close()
    server.finish()


def test_a_thousand_idle_connections_come_and_go(case):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        case.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    server = Server(case)
    idle = [socket.create_connection(server.address, 10) for _ in range(1000)]
    for one in idle:
        one.close()
    server.finish()


def test_many_requests_on_one_kept_connection(case):
    server = Server(case, workers=4)
    with server.connect() as client:
        for number in range(50):
            params = server.params(f"/echo?{number}", "POST")
            client.send(request(params, b"b" * number * 100, flags=KEEP_CONN))
            answer = client.read_answer()
            assert answer.body == b"POST %d " % number + b"b" * number * 100
    server.finish()
