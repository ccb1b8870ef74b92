"""What PHP scripts answer: headers, status, errors, pieces, the end before the end."""

import os
import time

import fastcgi
import php
import procs
from fastcgi import Connection, params_for, request


def test_status_and_headers(case):
    fpm = php.pool(case)
    for text, line in [
            ("http_response_code(404);", "Status: 404 Not Found"),
            ("http_response_code(599);", "Status: 599"),
            ("header('HTTP/1.1 299 Strange');", "Status: 299 Strange"),
            ("header('Status: 404 Gone Fishing');", "Status: 404 Gone Fishing"),
            ("header('Location: /x');", "Status: 302 Found"),
            ("header('HTTP/1.1 404 Nope'); ini_set('cgi.rfc2616_headers', '1');", "HTTP/1.1 404 Nope"),
            ("ini_set('cgi.nph', '1');", "Status: 200 OK"),
            ("", "Content-type: text/html; charset=UTF-8")]:
        answer = php.ask(fpm, php.script(case, text + " echo 'x';"))
        first = answer.stdout.decode().split("\r\n")[0]
        assert first == line, (text, answer)
    answer = php.ask(fpm, php.script(case, "header('A: 1'); header('A: 2', false); header('B: 3');"))
    assert answer.stdout.decode() == ("A: 1\r\nA: 2\r\nB: 3\r\n"
                                      "Content-type: text/html; charset=UTF-8\r\n\r\n"), answer


def test_the_version_is_told_where_expose_php_says_so(case):
    fpm = php.pool(case, "ping.path = /ping\npm.status_path = /status\nphp_admin_flag[expose_php] = on\n")
    script = php.script(case, "echo 1;")
    for uri in ("/a.php", "/ping", "/status"):
        answer = fastcgi.ask(fpm.address(), params_for(uri, script))
        assert answer.headers["x-powered-by"].startswith("PHP/8."), (uri, answer)
        assert answer.stdout.startswith(b"X-Powered-By: "), answer
    fpm.stop()
    hidden = php.pool(case, "ping.path = /ping\nphp_admin_flag[expose_php] = off\n")
    assert "x-powered-by" not in fastcgi.ping(hidden.address()).headers


def test_a_fatal_error_has_the_header_that_is_asked_for(case):
    fpm = php.pool(case, "php_admin_value[fastcgi.error_header] = \"HTTP/1.1 550 Server Made Big Boo\"\n"
                   "php_admin_flag[fastcgi.logging] = off\ncatch_workers_output = yes\n"
                   "php_flag[display_errors] = off\n")
    answer = php.ask(fpm, php.script(case, "nothing();"))
    assert answer.stdout.startswith(b"Status: 550 Server Made Big Boo\r\n"), answer
    assert answer.stderr == b"", "fastcgi.logging is off"
    fpm.wait_line("said into stderr: \"NOTICE: PHP message: PHP Fatal error:")


def test_messages_of_a_request_are_joined_and_cut(case):
    fpm = php.pool(case, "catch_workers_output = yes\n")
    answer = php.ask(fpm, php.script(case, "error_log('one'); error_log('two');"))
    assert answer.stderr == b"PHP message: one; PHP message: two", answer
    answer = php.ask(fpm, php.script(case, "error_log(str_repeat('x', 5000));"))
    assert len(answer.stderr) == 1024 - len("NOTICE: ") - 1, len(answer.stderr)
    assert answer.stderr.endswith(b"xxx..."), answer
    fpm.wait_line("NOTICE: PHP message: two")


def test_an_error_log_of_its_own(case):
    log = case.folder("log")
    os.chmod(log, 0o777)
    fpm = php.pool(case, f"php_admin_value[error_log] = {log}/php.log\n")
    answer = php.ask(fpm, php.script(case, "error_log('kept'); echo 1;"))
    assert answer.stderr == b"", answer
    procs.wait_until(lambda: "kept" in (log / "php.log").read_text(), "the line in the log")


def test_pieces_are_sent_as_they_are_flushed(case):
    fpm = php.pool(case)
    path = php.script(case, """
      echo 'first'; ob_flush(); flush();
      $end = microtime(true) + 20;
      while (!file_exists(__DIR__ . '/go') && microtime(true) < $end) usleep(2000);
      clearstatcache(); echo file_exists(__DIR__ . '/go') ? 'second' : 'late';
    """)
    with Connection(fpm.address()) as client:
        client.send(request(params_for("/a.php", path)))
        begun = client.read_answer(until=lambda answer: answer.body)
        assert begun.body == b"first", begun
        case.write("www/go", "")
        assert client.read_answer().stdout.endswith(b"second")


def test_a_large_answer_is_whole(case):
    fpm = php.pool(case)
    text = php.run(case, fpm, "for ($i = 0; $i < 50000; $i++) printf('%06d-%s|', $i, 'xxxxxxxxxxxx');"
                   "echo str_repeat('y', 3000000);")
    numbers = text.split("|")
    assert [int(one[:6]) for one in numbers[:-1]] == list(range(50000))
    assert numbers[-1] == "y" * 3_000_000


def test_a_finished_request_works_on(case):
    fpm = php.pool(case)
    path = php.script(case, """
      header('X-Done: yes'); echo 'answer';
      var_dump(fastcgi_finish_request());
      $end = microtime(true) + 20;
      while (!file_exists(__DIR__ . '/go') && microtime(true) < $end) { usleep(2000); clearstatcache(); }
      echo 'nobody reads this';
      file_put_contents(__DIR__ . '/late', connection_aborted() . '|' . fastcgi_finish_request());
    """)
    os.chmod(case.dir / "www", 0o777)
    answer = php.ask(fpm, path)
    assert answer.body == b"answer" and answer.headers["x-done"] == "yes", answer
    assert answer.ended
    case.write("www/go", "")
    late = case.dir / "www/late"
    procs.wait_until(lambda: late.exists() and late.read_text(), "the script's work", 10)
    assert late.read_text() == "0|", late.read_text()
    assert php.run(case, fpm, "echo 'next';") == "next"


def test_a_client_that_leaves_ends_a_script_that_prints(case):
    fpm = php.pool(case)
    os.chmod(case.folder("www"), 0o777)
    path = php.script(case, """
      register_shutdown_function(function () {
        file_put_contents(__DIR__ . '/end', connection_status() . '|' . connection_aborted());
      });
      for ($i = 0; $i < 3000; $i++) { echo str_repeat('x', 10000); flush(); usleep(1000); }
      file_put_contents(__DIR__ . '/all', '');
    """)
    client = Connection(fpm.address())
    client.send(request(params_for("/a.php", path)))
    client.read_answer(until=lambda answer: answer.body)
    client.close()
    end = case.dir / "www/end"
    procs.wait_until(lambda: end.exists() and end.read_text(), "the script's end", 10)
    assert end.read_text() == "1|1", end.read_text()
    assert not (case.dir / "www/all").exists(), "it went on"


def test_a_script_that_ignores_its_client_goes_on(case):
    fpm = php.pool(case)
    os.chmod(case.folder("www"), 0o777)
    path = php.script(case, """
      ignore_user_abort(true);
      for ($i = 0; $i < 200 && !connection_aborted(); $i++) { echo str_repeat('x', 10000); flush(); usleep(5000); }
      file_put_contents(__DIR__ . '/end', connection_aborted() . '|' . (int)($i < 200));
    """)
    client = Connection(fpm.address())
    client.send(request(params_for("/a.php", path)))
    client.read_answer(until=lambda answer: answer.body)
    client.close()
    end = case.dir / "www/end"
    procs.wait_until(lambda: end.exists() and end.read_text(), "the script's end", 10)
    assert end.read_text() == "1|1", end.read_text()


def test_a_body_that_stands_still_gets_408(case):
    fpm = php.pool(case, "request_body_timeout = 300ms\n")
    path = php.script(case, "echo strlen(file_get_contents('php://input'));")
    for method, kind in (("POST", "application/x-www-form-urlencoded"), ("PUT", "")):
        with Connection(fpm.address()) as client:
            params = params_for("/a.php", path, method, CONTENT_LENGTH=100, CONTENT_TYPE=kind)
            client.send(request(params, b"short")[:-8])  # without the end of STDIN
            answer = client.read_answer()
            assert answer.status == 408, (method, answer)
    assert php.run(case, fpm, "echo 'fine';") == "fine"


def test_a_body_that_is_shorter_or_longer_than_announced(case):
    fpm = php.pool(case)
    path = php.script(case, "echo strlen(file_get_contents('php://input'));")
    for announced, expected in (("50", b"10"), ("4", b"4"), ("0", b"0"), ("junk", b"0"), ("-3", b"10")):
        answer = php.ask(fpm, path, method="PUT", body=b"0123456789", CONTENT_LENGTH=announced)
        assert answer.body == expected, (announced, answer)
    start = time.monotonic()
    answer = php.ask(fpm, php.script(case, "echo 'unread';", "b.php"), method="PUT", body=b"x" * 500000)
    assert answer.body == b"unread" and time.monotonic() - start < 5


def test_max_execution_time_ends_a_loop(case):
    fpm = php.pool(case, "php_flag[display_errors] = off\n")
    worker = fpm.wait_workers(1)
    answer = php.ask(fpm, php.script(case, "set_time_limit(1); while (true);"))
    assert answer.status == 500, answer
    assert b"Maximum execution time of 1 second exceeded" in answer.stderr, answer
    assert fpm.workers() == worker


def test_a_script_that_is_deleted_while_it_runs(case):
    fpm = php.pool(case)
    case.write("www/part.php", "<?php echo 'part';")
    os.chmod(case.dir / "www", 0o777)
    text = php.run(case, fpm, "unlink(__FILE__); include __DIR__ . '/part.php'; echo 'end';")
    assert text == "partend", text
    answer = php.ask(fpm, case.dir / "www/a.php")
    assert answer.status == 404, answer


def test_the_pool_s_status_as_a_script_sees_it(case):
    fpm = php.pool(case)
    text = php.run(case, fpm, "$s = fpm_get_status(); echo $s['pool'], '|', $s['process-manager'], '|',"
                   "$s['procs'][0]['request-uri'], '|', $s['procs'][0]['query-string'], '|',"
                   "$s['procs'][0]['state'], '|', $s['procs'][0]['pid'] == getmypid();", uri="/a.php?x=1")
    assert text == "www|static|/a.php|x=1|Running|1", text


def test_memory_and_cpu_are_in_the_access_log(case):
    fpm = php.pool(case, "access.log = {dir}/access.log\naccess.format = \"%s %f %M %{user}C %C %{mega}M\"\n")
    php.run(case, fpm, "$a = str_repeat('x', 9 << 20); for ($i = 0; $i < 3000000; $i++);")
    log = case.dir / "access.log"
    procs.wait_until(lambda: log.read_text().endswith("\n"), "the line")
    status, script, memory, user, cpu, mega = log.read_text().split()
    assert (status, script) == ("200", f"{case.dir}/www/a.php")
    assert int(memory) >= 9 << 20 and int(mega) >= 9, memory
    assert 0 <= float(user.rstrip("%")) <= float(cpu.rstrip("%")), (user, cpu)
    assert float(cpu.rstrip("%")) > 0, cpu
