"""CGI scripts as RFC 3875 describes them, and as a browser behind nginx sees their answers."""

import json
import os
import re

import fastcgi
import procs
from fastcgi import params_for
from fpm import is_root

ROOT = "cgi.root = {dir}/cgi\n"
PRINT_ENV = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nenv\n"


def printing(text):
    """A script that prints that, to the byte (printf's escapes apply)."""
    return f"#!/bin/sh\nprintf '{text}'\n"


def ask(fpm, script, uri=None, **more):
    """script: a path; the URI is made of its name unless given."""
    body = more.pop("body", b"")
    uri = uri or "/" + os.path.basename(script)
    method = "POST" if body else "GET"
    return fastcgi.ask(fpm.address(), params_for(uri, script, method, body, **more), body)


def environment_of(answer):
    pairs = (line.partition("=") for line in answer.body.decode().splitlines())
    return {name: value for name, _, value in pairs}


def test_headers_and_body_arrive_as_printed(case):
    script = case.script("cgi/a", printing("Content-Type: text/html\\nX-A: b\\n\\n<p>hi</p>\\n"))
    fpm = case.fpm({"www": ROOT})
    answer = ask(fpm, script)
    assert answer.status == 200 and answer.body == b"<p>hi</p>\n"
    assert answer.headers["content-type"] == "text/html" and answer.headers["x-a"] == "b"
    assert (answer.app_status, answer.protocol_status, answer.stderr) == (0, 0, b"")
    fpm.stop()


def test_binary_output_and_large_output(case):
    data = bytes(range(256)) * 8192
    (case.dir / "data").write_bytes(data)
    os.chmod(case.dir / "data", 0o644)
    script = case.script("cgi/a", "#!/bin/sh\nprintf 'Content-Type: image/x\\r\\n\\r\\n'\n"
                         f"cat {case.dir}/data\n")
    fpm = case.fpm({"www": ROOT})
    assert ask(fpm, script).body == data
    fpm.stop()


def test_status_codes_of_scripts_and_of_fpm(case):
    plain = "Content-Type: text/plain\\n\\nx"
    scripts = {
        "ok": (printing(plain), 200),
        "created": (printing("Status: 201 Created\\n" + plain), 201),
        "teapot": (printing("Status: 418 Teapot\\r\\n" + plain), 418),
        "nph": (printing("HTTP/1.1 202 Accepted\\r\\nContent-Type: text/plain\\r\\n\\r\\nx"), 202),
        "early": (printing("HTTP/1.1 103 Early\\r\\nLink: x\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\n"
                           "Content-Type: text/plain\\r\\n\\r\\nx"), 200),
        "dies": ("#!/bin/sh\nkill -9 $$\n", 502),
        "fails": ("#!/bin/sh\nexit 3\n", 502),
        "silent": ("#!/bin/sh\n", 502),
        "noheader": (printing("just text, no header\\n"), 502),
        "badinterpreter": ("#!/no/such/interpreter\n", 502),
    }
    fpm = case.fpm({"www": ROOT})
    for name, (text, status) in scripts.items():
        answer = ask(fpm, case.script(f"cgi/{name}", text))
        assert answer.status == status, f"{name}: {answer}"
        assert answer.body.strip(), f"{name}: no body"
        assert answer.headers.get("content-type"), f"{name}: no content type"
    case.write("cgi/notexecutable", "#!/bin/sh\n")
    case.folder("cgi/folder")
    for name, status in {"missing": 404, "notexecutable": 403, "folder": 403}.items():
        answer = ask(fpm, case.dir / "cgi" / name)
        assert answer.status == status, f"{name}: {answer}"
        assert str(case.dir).encode() not in answer.body, "a path in the visitor's page"
    fpm.stop()


def test_location_without_status_is_a_redirect(case):
    script = case.script("cgi/r", printing("Location: http://example.org/\\n\\n"))
    local = case.script("cgi/l", printing("Location: /elsewhere?a=b\\n\\n"))
    fpm = case.fpm({"www": ROOT})
    assert ask(fpm, script).headers["location"] == "http://example.org/"
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {case.dir}/cgi$fastcgi_script_name;
      fastcgi_pass {fpm.nginx_address()}; }}""")
    status, headers, _ = nginx.get("/r")
    assert (status, headers["Location"]) == (302, "http://example.org/")
    status, headers, _ = nginx.get("/" + local.name)
    assert status == 302 and headers["Location"].endswith("/elsewhere?a=b"), (status, headers)
    fpm.stop()


def test_what_a_browser_sees_through_nginx(case):
    plain = "Content-Type: text/plain\\n\\nbody"
    for name, text in {
            "ok": printing(plain), "gone": printing("Status: 410 Gone\\n" + plain),
            "nph": printing("HTTP/1.0 203 Meh\\r\\nContent-Type: text/plain\\r\\n\\r\\nbody"),
            "early": printing("HTTP/1.1 103 Early Hints\\r\\nLink: x\\r\\n\\r\\n" + plain),
            "dies": "#!/bin/sh\nkill -9 $$\n"}.items():
        case.script(f"cgi/{name}", text)
    case.write("cgi/closed", "no script")
    fpm = case.fpm({"www": ROOT})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {case.dir}/cgi$fastcgi_script_name;
      fastcgi_pass {fpm.nginx_address()}; }}""")
    for path, wanted in {"/ok": 200, "/gone": 410, "/nph": 203, "/early": 200, "/dies": 502,
                         "/closed": 403, "/nothing": 404}.items():
        status, _, body = nginx.get(path)
        assert status == wanted, f"{path}: {status}"
        assert body == b"body" if wanted < 300 or wanted == 410 else body.strip(), path
        assert b"nginx" not in body, f"{path}: nginx made its own page"
    status, _, body = nginx.ask("HEAD", "/ok")
    assert status == 200 and body == b""
    fpm.stop()


def test_path_info_is_what_follows_the_script(case):
    script = case.script("cgi/sub/env", PRINT_ENV)
    fpm = case.fpm({"www": ROOT})
    # A web server decodes the path for SCRIPT_NAME and leaves REQUEST_URI as it came.
    answer = ask(fpm, f"{script}/a/b c", "/sub/env/a/b c?q=1",
                 REQUEST_URI="/sub/env/a/b%20c?q=1")
    env = environment_of(answer)
    assert env["PATH_INFO"] == "/a/b c" and env["QUERY_STRING"] == "q=1", env
    assert env["SCRIPT_FILENAME"] == str(script) and env["SCRIPT_NAME"] == "/sub/env", env
    env = environment_of(ask(fpm, script, "/sub/env", PATH_INFO="/given"))
    assert env["PATH_INFO"] == "/given", "the front's own PATH_INFO is kept"
    assert ask(fpm, f"{case.dir}/cgi/nothing/a/b").status == 404
    assert ask(fpm, f"{case.dir}/cgi/sub/../sub/env").status in (403, 404)
    fpm.stop()


def test_the_script_runs_in_its_own_folder_without_arguments(case):
    script = case.script("cgi/deep/er/pwd", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                         "pwd\necho \"$#\"\n")
    fpm = case.fpm({"www": ROOT})
    assert ask(fpm, script, "/pwd?a+b").body.decode().split() == [str(script.parent), "0"]
    fpm.stop()


def test_the_environment_is_the_requests_and_nothing_of_the_managers(case):
    script = case.script("cgi/env", PRINT_ENV)
    fpm = case.fpm({"www": ROOT + "env[GREETING] = hello\nenv[COPIED] = $FPM_TEST_GIVEN\n"},
                   environment={"FPM_TEST_SECRET": "s3cret", "FPM_TEST_GIVEN": "given",
                                "NOTIFY_SOCKET": "/nowhere", "LISTEN_FDS": "1"})
    answer = ask(fpm, script, HTTP_PROXY="http://evil/", HTTP_ACCEPT="x", LD_PRELOAD="/evil.so",
                 HTTP_TRANSFER_ENCODING="chunked")
    env = environment_of(answer)
    assert (env["GREETING"], env["COPIED"], env["HTTP_ACCEPT"]) == ("hello", "given", "x"), env
    for absent in ("HTTP_PROXY", "LD_PRELOAD", "HTTP_TRANSFER_ENCODING", "FPM_TEST_SECRET",
                   "NOTIFY_SOCKET", "LISTEN_FDS", "CONTENT_LENGTH", "ASAN_OPTIONS"):
        assert absent not in env, f"{absent} = {env[absent]}"
    assert env["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert env["GATEWAY_INTERFACE"] == "CGI/1.1" and env["REQUEST_METHOD"] == "GET"
    given = set(params_for("/")) | {"PATH", "HOME", "USER", "GREETING", "COPIED", "HTTP_ACCEPT",
                                    "SCRIPT_FILENAME", "PWD", "OLDPWD", "SHLVL", "_"}
    rest = set(env) - given - {"PATH_INFO", "PATH_TRANSLATED", "REDIRECT_STATUS"}
    assert not rest, f"where does it come from: {rest}"
    if is_root():
        assert env["USER"] == "www-data" and env["HOME"] == "/var/www", env
    fpm.stop()


def test_clear_env_no_passes_the_managers_environment_but_its_own_affairs(case):
    script = case.script("cgi/env", PRINT_ENV)
    fpm = case.fpm({"www": ROOT + "clear_env = no\n"},
                   environment={"TEST_VISIBLE": "yes", "NOTIFY_SOCKET": "/nowhere",
                                "FPM_TEST_OWN": "x"})
    env = environment_of(ask(fpm, script))
    assert env["TEST_VISIBLE"] == "yes"
    assert "NOTIFY_SOCKET" not in env and "FPM_TEST_OWN" not in env
    fpm.stop()


def test_of_a_repeated_parameter_the_last_value_counts(case):
    script = case.script("cgi/env", PRINT_ENV)
    fpm = case.fpm({"www": ROOT})
    params = list(params_for("/env", script).items())
    params += [("HTTP_X", "first"), ("HTTP_X", "last"), ("HTTP_X", "")]
    env = environment_of(fastcgi.ask(fpm.address(), params))
    assert env["HTTP_X"] == "last"
    fpm.stop()


def test_a_body_without_a_length_ends_by_its_end(case):
    script = case.script("cgi/count", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                         "printf '%s ' \"${CONTENT_LENGTH-unset}\"\nwc -c\n")
    fpm = case.fpm({"www": ROOT})
    answer = ask(fpm, script, body=b"b" * 70000, CONTENT_LENGTH="")
    assert answer.body.split() == [b"unset", b"70000"], answer
    fpm.stop()


def test_a_script_that_does_not_read_its_body_is_no_error(case):
    script = case.script("cgi/lazy", printing("Content-Type: text/plain\\n\\nlazy"))
    fpm = case.fpm({"www": ROOT + "pm.max_children = 1"})
    for _ in range(3):
        assert ask(fpm, script, body=b"b" * 3_000_000).body == b"lazy"
    fpm.stop()


def test_a_client_that_still_sends_gets_the_early_answer(case):
    # nginx loses the answer when the connection is closed with input unread.
    script = case.script("cgi/lazy", printing("Status: 413 Too Large\\nContent-Type: text/plain"
                                              "\\n\\ntoo large"))
    fpm = case.fpm({"www": ROOT})
    nginx = case.nginx(f"""location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_request_buffering off;
      fastcgi_pass {fpm.nginx_address()}; }}""")
    for _ in range(10):
        status, _, body = nginx.ask("POST", "/lazy", b"b" * 4_000_000)
        assert (status, body) == (413, b"too large")
    fpm.stop()


def test_stderr_goes_to_the_log_and_to_the_front(case):
    script = case.script("cgi/noisy", "#!/bin/sh\necho 'something is odd' >&2\n"
                         "printf 'Content-Type: text/plain\\n\\nfine'\necho more >&2\n")
    fpm = case.fpm({"www": ROOT + "catch_workers_output = yes\n"})
    answer = ask(fpm, script)
    assert answer.body == b"fine" and b"something is odd" in answer.stderr, answer
    said = r'WARNING: \[pool www\] child \d+ said into stderr: "{}"$'
    fpm.wait_line(said.format("something is odd"))
    fpm.wait_line(said.format("more"))
    fpm.stop()


def test_without_capture_the_line_of_stderr_names_its_request(case):
    script = case.script("cgi/noisy", "#!/bin/sh\necho odd >&2\n"
                         "printf 'Content-Type: text/plain\\n\\nfine'\n")
    fpm = case.fpm({"www": ROOT})
    ask(fpm, script)
    fpm.wait_line(r'WARNING: \[pool www\] request "GET /noisy": script said into stderr: "odd"$')
    fpm.stop()


def test_in_json_a_line_of_a_script_is_neither_cut_nor_quoted_twice(case):
    script = case.script("cgi/noisy", "#!/bin/sh\n"
                         "head -c 20000 /dev/zero | tr '\\0' x >&2; echo ' \"end\"' >&2\n"
                         "printf 'Content-Type: text/plain\\n\\nfine'\n")
    fpm = case.fpm({"www": ROOT}, "log_format = json\n")
    ask(fpm, script)
    fpm.wait_line('"stream":"stderr"')
    lines = [json.loads(line) for line in fpm.lines if '"stream"' in line]
    assert [line["output"] for line in lines] == ["x" * 20000 + ' "end"'], lines
    assert lines[0]["pool"] == "www"
    fpm.stop()


def test_the_log_cannot_be_forged_by_a_script(case):
    script = case.script("cgi/forger", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                         "printf 'a\\n[01-Jan-2026 00:00:00] ALERT: forged\\n\\033[31mred\\n'"
                         " >&2\n")
    fpm = case.fpm({"www": ROOT + "catch_workers_output = yes\n"})
    ask(fpm, script)
    fpm.wait_line("red")
    assert not fpm.find(r"^\[01-Jan-2026"), "a script wrote a line of its own"
    assert "\033" not in fpm.text
    fpm.stop()


def test_the_log_says_why_a_script_gave_no_answer(case):
    fpm = case.fpm({"www": ROOT})
    for name, text, why in [("dies", "#!/bin/sh\nkill -9 $$\n", "(SIGKILL|signal 9)"),
                            ("fails", "#!/bin/sh\nexit 3\n", r"\b3\b"),
                            ("nointerpreter", "#!/no/such\n", "(No such file|interpreter)")]:
        mark = fpm.mark()
        ask(fpm, case.script(f"cgi/{name}", text))
        line = fpm.wait_line(r"\[pool www\].*" + name, after=mark).string
        assert re.search(why, line), line
    fpm.stop()


def test_nothing_outside_cgi_root_runs_not_even_through_a_link(case):
    outside = case.script("outside/env", PRINT_ENV)
    inside = case.script("cgi/env", PRINT_ENV)
    os.symlink(outside, case.dir / "cgi" / "link")
    os.symlink(case.dir / "outside", case.dir / "cgi" / "folder")
    os.symlink("env", case.dir / "cgi" / "alias")
    fpm = case.fpm({"www": ROOT})
    refused = [outside, case.dir / "cgi/link", case.dir / "cgi/folder/env",
               case.dir / "cgi/../outside/env", "/bin/echo", "/etc/passwd", "/no/such/file"]
    for script in refused:
        answer = ask(fpm, script, "/x")
        assert answer.status == 403 and b"PATH=" not in answer.body, f"{script}: {answer}"
    for script in (inside, case.dir / "cgi" / "alias"):
        assert ask(fpm, script).status == 200, script
    fpm.stop()


def test_cgi_allow_and_cgi_program(case):
    one = case.script("one", printing("Content-Type: text/plain\\n\\none"))
    two = case.script("two", printing("Content-Type: text/plain\\n\\ntwo"))
    fpm = case.fpm({"allow": f"cgi.allow[] = {one}", "program": f"cgi.program = {one}"})
    by_allow = {script: fastcgi.ask(fpm.address("allow"), params_for("/x", script))
                for script in (one, two)}
    assert by_allow[one].body == b"one" and by_allow[two].status == 403
    for script in (one, two, None):
        answer = fastcgi.ask(fpm.address("program"), params_for("/x", script))
        assert answer.body == b"one", answer
    fpm.stop()


def test_a_background_child_does_not_hold_the_answer(case):
    script = case.script("cgi/bg", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                         "sleep 1000 &\necho $!\n")
    fpm = case.fpm({"www": ROOT, "kills": ROOT + "cgi.background = kill"})
    left = int(ask(fpm, script).body)
    assert procs.alive(left), "cgi.background = leave"
    procs.end(left)
    killed = int(fastcgi.ask(fpm.address("kills"), params_for("/bg", script)).body)
    procs.wait_until(lambda: not procs.alive(killed), "cgi.background = kill")
    fpm.stop()


def test_scripts_inherit_no_descriptors_and_default_signals(case):
    script = case.script("cgi/fds", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
                         "ls -l /proc/self/fd | grep -v /proc/ | wc -l\n"
                         "grep -E '^Sig(Blk|Ign)' /proc/self/status\n")
    fpm = case.fpm({"www": ROOT})
    lines = ask(fpm, script).body.decode().split()
    assert int(lines[0]) <= 4, f"descriptors besides 0, 1, 2: {lines}"  # and the line `total`
    assert lines[lines.index("SigBlk:") + 1] == "0" * 16, lines
    assert int(lines[lines.index("SigIgn:") + 1], 16) & ~(1 << 12) == 0, lines
    fpm.stop()


def test_an_encoded_line_feed_makes_no_header_or_variable(case):
    script = case.script("cgi/env", PRINT_ENV)
    fpm = case.fpm({"www": ROOT})
    answer = fastcgi.ask(fpm.address(), {**params_for("/env", script), "A=B": "c", "": "empty",
                                         "HTTP_NUL": "a\0b"})
    env = environment_of(answer)
    assert "A" not in env and "" not in env, env
    fpm.stop()
