"""PHP scripts: requests, answers, errors, as php-fpm's users know them."""

import os
import shutil

import php


def test_a_script_answers_and_sees_its_request(case):
    fpm = php.pool(case, "env[COLOUR] = blue\n")
    text = php.run(case, fpm, """
      header('X-One: 1');
      echo php_sapi_name(), '|', $_GET['q'], '|', $_SERVER['SCRIPT_NAME'], '|', getenv('COLOUR'), '|',
           getcwd(), '|', $_SERVER['HTTP_COOKIE'], '|', $_COOKIE['a'], '|', __FILE__;
    """, uri="/a.php?q=7", HTTP_COOKIE="a=b")
    www = f"{case.dir}/www"
    assert text == f"fpm-fcgi|7|/a.php|blue|{www}|a=b|b|{www}/a.php", text
    answer = php.ask(fpm, f"{www}/a.php", uri="/a.php?q=7", HTTP_COOKIE="a=b")
    assert answer.headers["x-one"] == "1", answer
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert answer.app_status == 0


def test_a_form_a_raw_body_and_a_large_one(case):
    fpm = php.pool(case)
    text = "echo json_encode([$_POST, strlen(file_get_contents('php://input')), count($_FILES)]);"
    path = php.script(case, text)
    form = b"a=1&b[]=2&b[]=3"
    answer = php.ask(fpm, path, method="POST", body=form,
                     CONTENT_TYPE="application/x-www-form-urlencoded")
    assert answer.body == b'[{"a":"1","b":["2","3"]},15,0]', answer
    answer = php.ask(fpm, path, method="PUT", body=b"x" * 3_000_000)
    assert answer.body == b"[[],3000000,0]", answer
    php.script(case, "echo md5($_POST['big']);", "big.php")
    big = b"0123456789" * 300_000
    answer = php.ask(fpm, case.dir / "www/big.php", method="POST", body=b"big=" + big,
                     CONTENT_TYPE="application/x-www-form-urlencoded")
    import hashlib
    assert answer.body.decode() == hashlib.md5(big).hexdigest(), answer


def test_an_upload_arrives_as_a_file(case):
    fpm = php.pool(case)
    path = php.script(case, """
      $f = $_FILES['up'];
      echo $f['name'], '|', $f['size'], '|', $f['error'], '|', md5_file($f['tmp_name']), '|',
           $_POST['note'], '|', is_uploaded_file($f['tmp_name']) ? 'uploaded' : 'not';
    """)
    content = os.urandom(1_500_000)
    body = (b'--XX\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
            b'--XX\r\nContent-Disposition: form-data; name="up"; filename="a.bin"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--XX--\r\n")
    answer = php.ask(fpm, path, method="POST", body=body,
                     CONTENT_TYPE="multipart/form-data; boundary=XX")
    import hashlib
    expected = f"a.bin|1500000|0|{hashlib.md5(content).hexdigest()}|hello|uploaded"
    assert answer.body.decode() == expected, answer


def test_what_is_no_script_gets_php_fpms_answers(case):
    fpm = php.pool(case, "catch_workers_output = yes\n")
    www = case.dir / "www"
    php.script(case, "echo 1;")
    case.write("www/a.txt", "<?php echo 1;")
    secret = case.write("www/secret.php", "<?php echo 1;", 0o600)
    for path, status, body, error in [
            (www / "none.php", 404, b"File not found.\n", b"Primary script unknown"),
            (www, 403, b"Access denied.\n", b"has been denied (see security.limit_extensions)"),
            (f"{www}/../www/a.php", 404, b"File not found.\n", b"Primary script unknown"),
            (www / "a.txt", 403, b"Access denied.\n",
             b"Access to the script '" + str(www / "a.txt").encode() + b"' has been denied")]:
        answer = php.ask(fpm, path)
        assert (answer.status, answer.body) == (status, body), (path, answer)
        assert error in answer.stderr, (path, answer)
    if os.geteuid() == 0:
        answer = php.ask(fpm, secret)
        assert (answer.status, answer.body) == (403, b"Access denied.\n"), answer
        assert b"Unable to open primary script: " in answer.stderr
    fpm.wait_line("NOTICE: Access to the script")


def test_errors_end_one_request_and_not_the_worker(case):
    fpm = php.pool(case, "catch_workers_output = yes\nphp_flag[display_errors] = off\n"
                   "php_admin_value[memory_limit] = 8M\n")
    worker = fpm.wait_workers(1)
    for text, message in [
            ("nonsense(((", "PHP Parse error:"),
            ("undefined_function();", "PHP Fatal error:  Uncaught Error: Call to undefined"),
            ("throw new Exception('thrown');", "PHP Fatal error:  Uncaught Exception: thrown"),
            ("$a = str_repeat('x', 20_000_000);", "Allowed memory size of 8388608 bytes exhausted")]:
        answer = php.ask(fpm, php.script(case, text))
        assert answer.status == 500, (text, answer)
        assert message.encode() in answer.stderr, (text, answer)
        assert answer.stderr.startswith(b"PHP message: PHP "), answer
        fpm.wait_line(message)
    assert php.run(case, fpm, "echo 'fine';") == "fine"
    assert fpm.workers() == worker, "the worker was replaced"


def test_a_stack_that_overflows_takes_one_worker(case):
    # Without PHP's own limit (8.3): the process dies, and is named with its request.
    fpm = php.pool(case, "php_admin_value[memory_limit] = -1\n"
                   "php_admin_value[zend.assertions] = 0\n")
    worker, = fpm.wait_workers(1)
    path = php.script(case, "class A { function __toString() { return (string)new A; } }\n"
                      "echo new A;")
    try:
        php.ask(fpm, path)
        raise AssertionError("the worker answered")
    except php.fastcgi.Closed:
        pass
    fpm.wait_line(f"child {worker} exited on signal 11 .SIGSEGV.", 20)
    assert fpm.find("/a.php"), "the log does not name the request"
    assert php.run(case, fpm, "echo 'again';") == "again"


def test_the_missing_library_is_refused_with_what_to_install(case):
    php.settings(case)
    from fpm import run_once
    config = case.write("bad.conf", f"[www]\nhandler = php\nphp.version = 7.9\nuser = www-data\n"
                        f"listen = {case.dir}/s\npm = static\npm.max_children = 1\n")
    status, lines = run_once(case, ["-F", "-O", "-y", config])
    assert status == 78, (status, lines)
    assert any("handler" in line and "php7.9-dev" in line for line in lines), lines


def test_a_version_is_chosen_by_its_name(case):
    settings = php.settings(case)
    fpm = php.pool(case, "php.version = 8.2\n")
    assert php.run(case, fpm, "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION;") == "8.2"
    (worker,) = fpm.wait_workers(1)
    with open(f"/proc/{worker}/maps", encoding="utf-8") as maps:
        assert "/php8.2.so" in maps.read()
    # One that was built beside the program, and whose PHP is not installed any more.
    from fpm import run_once
    folder = case.dir / "program/handlers/php"
    folder.mkdir(parents=True)
    shutil.copy2(case.program, case.dir / "program/fpm")
    for name in ("php8.2.so", "php7.8.so"):
        shutil.copy2(php.library(case), folder / name)
    config = case.write("bad.conf", f"[www]\n{settings}php.version = 7.8\nuser = www-data\n"
                        f"listen = {case.dir}/s\npm = static\n")
    case.program = case.dir / "program/fpm"
    status, lines = run_once(case, ["-F", "-O", "-y", config])
    assert status == 78, (status, lines)
    assert any("libphp7.8.so is not there: install libphp7.8-embed" in line for line in lines), lines
