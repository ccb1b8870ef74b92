"""A large body to a script that prints much before it reads: both directions keep moving."""

import concurrent.futures

import fastcgi
from fastcgi import params_for

SCRIPT = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
head -c 300000 /dev/zero | tr '\\0' x
echo
wc -c
"""
BODY = b"b" * 400000


def check(body):
    printed, _, count = body.partition(b"\n")
    assert printed == b"x" * 300000, f"{len(printed)} bytes instead of 300000"
    assert count.strip() == b"400000", f"the script read {count!r}"


def test_six_of_them_on_two_workers(case):
    script = case.script("cgi/late", SCRIPT)
    hello = case.script("cgi/hello", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n")
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\npm.max_children = 2"})
    params = params_for("/late", script, "POST", BODY)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: fastcgi.ask(fpm.address(), params, BODY), range(6)))
    for answer in answers:
        check(answer.body)
    assert fastcgi.ask(fpm.address(), params_for("/hello", hello)).body == b"hello"
    fpm.stop()


# nginx stops sending the body as soon as the header of the answer reaches it. git http-backend is
# such a program: it prints its header and then reads what is pushed.
HEADER_FIRST = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
wc -c
"""


def test_a_header_printed_before_the_body_is_read_does_not_stop_nginx(case):
    script = case.script("cgi/early", HEADER_FIRST)
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi"})
    location = f"""
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass {fpm.nginx_address()};"""
    nginx = case.nginx(f"location /spooled {{ {location} }}\n"
                       f"location /streamed {{ {location} fastcgi_request_buffering off; }}")
    body = b"b" * 4_000_000
    for path in ("/spooled", "/streamed") * 3:
        status, _, answer = nginx.ask("POST", path, body, limit_s=10)
        assert (status, answer.strip()) == (200, b"4000000"), (path, status, answer)
    fpm.stop()


def test_much_printed_before_the_body_is_read_does_not_stop_nginx(case):
    script = case.script("cgi/late", SCRIPT)
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\npm.max_children = 2"})
    location = f"""
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass {fpm.nginx_address()};"""
    nginx = case.nginx(f"location /spooled {{ {location} }}\n"
                       f"location /streamed {{ {location} fastcgi_request_buffering off; }}")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda path: nginx.ask("POST", path, BODY, limit_s=10),
                                ("/spooled", "/streamed") * 3))
    for status, _, body in answers:
        assert status == 200, status
        check(body)
    fpm.stop()
