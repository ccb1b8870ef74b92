"""What a script prints reaches the client while the script still runs."""

import time

from fastcgi import Connection, params_for, request
from gate import WAITING_SCRIPT, Gate, first_line_read

POOL = "cgi.root = {dir}/cgi\nenv[GATE] = {dir}/gate"


def test_the_first_line_arrives_before_the_script_goes_on(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL})
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/wait", script)))
        first = client.read_answer(until=first_line_read)
        assert first.body.startswith(b"pid ") and b"then" not in first.body
        gate.open("on")
        rest = client.read_answer()
        assert rest.stdout == b"then on\n", rest
        assert client.at_end()
    fpm.stop()


def test_the_same_through_nginx_without_buffering(case):
    script, gate = case.script("cgi/wait", WAITING_SCRIPT), Gate(case)
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(f"""
      location / {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {script};
        fastcgi_buffering off;
        fastcgi_pass {fpm.nginx_address()};
      }}""")
    with nginx.open("GET", "/wait") as response:
        assert response.status == 200
        assert response.readline().startswith(b"pid ")
        gate.open("on")
        assert response.read() == b"then on\n"
    fpm.stop()


def test_the_body_reaches_the_script_while_it_is_still_being_sent(case):
    # The script answers each line as it comes; nothing waits for the end of the body.
    script = case.script("cgi/echo", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\n"
                         "while read line; do echo \"got $line\"; done\n")
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi"})
    from fastcgi import PARAMS, STDIN, begin, pairs, record, stream
    with Connection(fpm.address()) as client:
        client.send(begin() + stream(PARAMS, 1, pairs(params_for("/echo", script, "POST"))))
        for word in (b"one", b"two", b"three"):
            client.send(record(STDIN, 1, word + b"\n"))
            client.read_answer(until=lambda answer, word=word: b"got " + word in answer.stdout)
        start = time.monotonic()
        client.send(record(STDIN, 1))
        client.read_answer()
        assert time.monotonic() - start < 5
    fpm.stop()
