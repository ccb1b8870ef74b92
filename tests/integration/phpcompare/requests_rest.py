"""Bodies, uploads, settings, what is wrong, and the pages of php-fpm itself."""

import os

import fastcgi
import front_params
from requests_answer import cases
from sides import Request

FORM = "application/x-www-form-urlencoded"


def multipart(*parts, boundary="----edge", end=True, newline="\r\n"):
    """parts: (headers, content)"""
    out = b""
    for head, content in parts:
        out += f"--{boundary}{newline}{head}{newline}{newline}".encode() + content + newline.encode()
    return out + (f"--{boundary}--{newline}".encode() if end else b"")


def disposition(name, file=None, kind=None):
    text = f'Content-Disposition: form-data; name="{name}"'
    if file is not None:
        text += f'; filename="{file}"'
    return text + (f"\r\nContent-Type: {kind}" if kind else "")


def uploads(root):
    out = []
    content_type = "multipart/form-data; boundary=----edge"

    def add(label, body, content_type=content_type, uri="/upload.php", pool="main"):
        params = front_params.nginx(root, uri, method="POST", body=body, content_type=content_type)
        out.append(Request(label, params, body, pool))

    small = (disposition("f", "a.txt", "text/plain"), b"hello upload")
    add("one", multipart(small))
    add("one and fields", multipart((disposition("x"), b"1"), small, (disposition("y[k]"), b"2")))
    add("several", multipart(*[(disposition(f"f{i}", f"{i}.bin"), bytes([i]) * i) for i in range(4)]))
    add("too many", multipart(*[(disposition(f"f{i}", f"{i}.bin"), b"x") for i in range(8)]))
    add("array", multipart((disposition("f[]", "a"), b"1"), (disposition("f[]", "b"), b"22")))
    add("named array", multipart((disposition("f[k][l]", "a"), b"1"), (disposition("f[k][m]", "b"), b"22")))
    add("nothing chosen", multipart((disposition("f", "", "application/octet-stream"), b"")))
    add("empty file", multipart((disposition("f", "empty.txt"), b"")))
    add("binary", multipart((disposition("f", "b.bin"), bytes(range(256)) * 40)))
    add("large", multipart((disposition("f", "l.bin"), b"L" * 900_000)))
    add("larger than upload_max_filesize", multipart((disposition("f", "l.bin"), b"L" * 1_200_000), small))
    add("larger than MAX_FILE_SIZE", multipart((disposition("MAX_FILE_SIZE"), b"5"), small))
    add("larger than post_max_size", multipart((disposition("f", "l.bin"), b"L" * 2_200_000)))
    add("path in the name", multipart((disposition("f", "../../etc/passwd"), b"x")))
    add("windows path", multipart((disposition("f", "C:\\\\dir\\\\a.txt"), b"x")))
    add("utf-8 name", multipart((disposition("f", "äöü.txt"), b"x")))
    add("quotes in the name", multipart((disposition("f", 'a\\"b.txt'), b"x")))
    add("no closing boundary", multipart(small, end=False))
    add("cut in a file", multipart(small)[:-30])
    add("line feeds alone", multipart(small, newline="\n"))
    add("no boundary", multipart(small), "multipart/form-data")
    add("quoted boundary", multipart(small, boundary="a b"), 'multipart/form-data; boundary="a b"')
    add("other boundary", multipart(small), "multipart/form-data; boundary=other")
    add("long boundary", multipart(small, boundary="b" * 3000), "multipart/form-data; boundary=" + "b" * 3000)
    add("no name", multipart(("Content-Disposition: form-data; filename=\"a\"", b"x")))
    add("no disposition", multipart(("Content-Type: text/plain", b"x")))
    add("empty body", b"", content_type)
    add("moved", multipart(small), uri="/upload.php?move=1")
    add("full path", multipart((disposition("f", "dir/sub/a.txt"), b"x")))
    add("in a small pool", multipart((disposition("f", "a"), b"x" * 1500)), pool="ini")
    return out


def bodies(root):
    out = []

    def add(label, query, body, length=None, content_type=FORM, sent=None, **more):
        params = front_params.nginx(root, f"/input.php?{query}", method="POST", body=body, content_type=content_type)
        if length is not None:
            params["CONTENT_LENGTH"] = length
        params.update(more)
        sent = body if sent is None else sent
        missing = label.startswith("length is") and label.split(" ")[2].strip(",") in ("longer", "negative", "huge")
        out.append(Request(label, params, sent, half_close=missing))

    for size in (0, 1, 8192, 16384, 65535, 65536, 200_000, 1_000_000):
        add(f"input of {size}", "c=all", b"b" * size, content_type="application/octet-stream")
    add("form of 300000", "c=post", b"a=" + b"v" * 300_000)
    add("form above post_max_size", "c=post", b"a=" + b"v" * 2_200_000)
    add("input above post_max_size", "c=all", b"v" * 2_200_000, content_type="text/plain")
    add("twice", "c=twice", b"again and again")
    add("seek", "c=seek", b"0123456789", content_type="text/plain")
    add("in small reads", "c=small", b"s" * 30_000, content_type="text/plain")
    add("a part", "c=part", b"p" * 300_000, content_type="text/plain")
    add("unread", "c=none", b"u" * 300_000, content_type="text/plain")
    add("stat", "c=stat", b"12345", content_type="text/plain")
    add("copy", "c=copy", b"1" * 40_000, content_type="text/plain")
    add("raw", "c=raw", b"12345", content_type="text/plain")
    add("after finish", "c=after_finish", b"f" * 100_000, content_type="text/plain")
    add("length is longer, form", "c=post", b"a=1&b=2", "100")
    add("length is longer, input", "c=all", b"12345", "100", "text/plain")
    add("length is shorter, form", "c=post", b"a=1&b=2", "3")
    add("length is shorter, input", "c=all", b"1234567890", "4", "text/plain")
    add("length is 0", "c=length", b"1234567890", "0", "text/plain")
    add("length is empty", "c=length", b"1234567890", "", "text/plain")
    add("length is no number", "c=length", b"1234567890", "abc", "text/plain")
    add("length is negative", "c=length", b"1234567890", "-5", "text/plain")
    add("length has a sign", "c=length", b"1234567890", "+5", "text/plain")
    add("length begins with zeros", "c=length", b"1234567890", "0005", "text/plain")
    add("length is huge", "c=length", b"1234567890", "99999999999999999999", "text/plain")
    add("no type", "c=post", b"a=1", content_type="")
    add("type with charset", "c=post", b"a=1", content_type=FORM + "; charset=UTF-8")
    add("type in capitals", "c=post", b"a=1", content_type=FORM.upper())
    add("type with a comma", "c=post", b"a=1", content_type=FORM + ", x")
    add("GET with a body", "c=post", b"a=1", REQUEST_METHOD="GET")
    add("PUT with a form", "c=post", b"a=1", REQUEST_METHOD="PUT")
    add("HTTP_CONTENT_LENGTH", "c=length", b"1234567890", None, "text/plain", HTTP_CONTENT_LENGTH="3")
    add("bad utf-8", "c=post", b"a=%ff%fe&b=\xff")
    add("too many variables", "c=post", b"&".join(b"v%d=1" % i for i in range(80)))
    add("broken encoding", "c=post", b"a=%&b=%4&c=%zz&=d&e")
    return out


def settings(root):
    out = []
    seen = "memory_limit,date.timezone,error_reporting,display_errors,html_errors,max_execution_time,post_max_size," \
           "disable_functions,expose_php,allow_url_fopen,open_basedir,user.unknown,no.such,auto_prepend_file," \
           "cgi.fix_pathinfo,fastcgi.logging,output_buffering,include_path,extension_dir,precision"

    def add(label, query, pool="main", folder="", **params):
        base = front_params.nginx(root, f"{folder}/ini.php?{query}")
        base.update(params)
        out.append(Request(f"{label} in {pool}", base, pool=pool))

    for pool in ("main", "quiet", "nofix", "ini"):
        add("values", f"get={seen}", pool)
        add("levels", f"access={seen}", pool)
        add("all", "all=1", pool)
        add("set", "set[memory_limit]=64M&set[max_execution_time]=5&set[display_errors]=0&get=" + seen, pool)
        add("values after that", f"get={seen}", pool)
        add("restore", "set[memory_limit]=64M&restore=memory_limit&get=memory_limit", pool)
    add("set what is system's", "set[post_max_size]=9M&set[open_basedir]=/&set[opcache.enable]=0&set[nosuch]=1&get="
        "post_max_size,open_basedir", "main")
    add("disabled functions", "f=passthru,shell_exec,exec,system", "ini")
    add("call of one", "call=shell_exec", "ini")
    add("call of one allowed", "call=strlen", "ini")
    add("PHP_VALUE", f"get={seen}", "leak", PHP_VALUE="memory_limit=40M")
    add("what PHP_VALUE leaves", f"get={seen}", "leak")
    add("PHP_VALUE of several lines", f"get={seen}", "fresh",
        PHP_VALUE="memory_limit = 41M\nprecision=5 ; comment\ndisplay_errors=off\nno.such=1")
    add("PHP_VALUE that is broken", f"get={seen}", "fresh", PHP_VALUE="memory_limit=[\n;=\n\"")
    add("PHP_VALUE of a system setting", f"get={seen}", "fresh", PHP_VALUE="post_max_size=3M")
    add("PHP_ADMIN_VALUE", f"get={seen}", "fresh",
        PHP_ADMIN_VALUE="post_max_size=3M\nallow_url_fopen=0")
    add("set after PHP_ADMIN_VALUE", f"set[precision]=7&get={seen}", "fresh",
        PHP_ADMIN_VALUE="precision=9")
    add("both", f"get={seen}", "fresh", PHP_ADMIN_VALUE="precision=9", PHP_VALUE="precision=8")
    add("PHP_VALUE against admin", f"get={seen}", "fresh-ini",
        PHP_VALUE="max_execution_time=99\nmemory_limit=50M")
    add("PHP_ADMIN_VALUE against admin", f"get={seen}", "fresh-ini",
        PHP_ADMIN_VALUE="max_execution_time=98")
    add("PHP_ADMIN_VALUE of disable_functions", "f=strlen,passthru", "fresh-ini",
        PHP_ADMIN_VALUE="disable_functions=strrev")
    for pool in ("main", "ini"):
        add("user.ini", f"get={seen}", pool, "/user")
        add("user.ini below", f"access={seen}", pool, "/user/below")
        add("user.ini, then elsewhere", f"get={seen}", pool)
        add("user.ini that is broken", f"get={seen}", pool, "/user/broken")
    add("prepended", "get=", "ini")
    for number, name in enumerate(("static", "static", "env", "env_again", "locale", "locale_again", "umask",
                                   "umask_again", "timezone", "timezone_again", "chdir", "cwd")):
        out += cases(root, "misc.php", [name])
        out[-1].name = f"what stays {number}: {name}"
    return out


def bad_input(root):
    out = []

    def add(label, file, pool="main", prepare=None, **params):
        base = front_params.nginx(root, "/" + file)
        base.update({name: value for name, value in params.items() if value is not None})
        for name in [name for name, value in params.items() if value is None]:
            base.pop(name)
        out.append(Request(f"{label}{'' if pool == 'main' else ' in ' + pool}", base, pool=pool, prepare=prepare))

    for pool in ("main", "nofix", "quiet"):
        add("missing", "gone.php", pool)
        add("missing folder", "gone/gone.php", pool)
        add("a folder", "sub", pool)
        add("a folder with slash", "sub/", pool)
        add("a folder called php", "folder.php", pool)
        add("not readable", "secret.php", pool)
        add("in a folder not readable", "closed/a.php", pool)
        add("wrong extension", "sub/plain.txt", pool)
        add("extension of capitals", "CAPITAL.PHP", pool)
        add("phtml", "sub/script.phtml", pool)
        add("no extension", "noextension", pool)
        add("two extensions", "sub/archive.phar.php", pool)
        add("hidden name", ".php", pool)
        add("syntax error", "syntax.php", pool)
        add("dots", "sub/../dump.php?x", pool)
        add("dots beyond the root", "../www/path.php", pool)
        add("dots in path info", "path.php/../../x", pool)
        add("broken link", "broken.php", pool)
        add("a device", "null.php", pool)
        add("link to the outside", "outside.php", pool)
        add("empty file", "empty.php", pool)
        add("no php in it", "html.php", pool)
        add("very long name", "x" * 300 + ".php", pool)
        add("very long path", "y/" * 2500 + "x.php", pool)
    add("no file", "path.php", SCRIPT_FILENAME=None)
    add("empty file name", "path.php", SCRIPT_FILENAME="")
    add("relative file name", "path.php", SCRIPT_FILENAME="path.php")
    add("no method", "path.php", REQUEST_METHOD=None)
    add("empty method", "path.php", REQUEST_METHOD="")
    add("no file and no method", "path.php", SCRIPT_FILENAME=None, REQUEST_METHOD=None)
    add("NUL in the name", "path.php", SCRIPT_FILENAME=f"{root}/path.php\0.txt")
    add("a URL", "path.php", SCRIPT_FILENAME="http://localhost/path.php")
    add("a wrapper", "path.php", SCRIPT_FILENAME="php://input")
    add("a phar", "path.php", SCRIPT_FILENAME=f"phar://{root}/x.phar")
    add("query in the name", "path.php", SCRIPT_FILENAME=f"{root}/path.php?x=1")
    add("shebang", "shebang.php")
    add("byte order mark", "bom.php")
    add("namespace and declare", "strict.php")
    add("deleted meanwhile", "deleted-side0.php", prepare=lambda www: write(
        www, "deleted-side{}.php", "<?php unlink(__FILE__); include __DIR__ . '/returns.php'; echo 'still here';"))
    add("deleted before", "deleted-side0.php")
    add("new", "new.php", prepare=lambda www: write(www, "new.php", "<?php echo 'new';"))
    add("not allowed to be public", "auth.php", REQUEST_METHOD="TRACE")
    return out


def write(www, name, text):
    for side in "123":
        path = www / name.format(side)
        path.write_text(text)
        os.chmod(path, 0o666)


def pages(root):
    out = []
    for uri in ("/ping", "/status", "/status?json", "/status?html", "/status?xml", "/status?openmetrics", "/status?full",
                "/status?json&full", "/status?xml&full", "/status?html&full", "/status?full&openmetrics", "/ping?x=1",
                "/status?nonsense", "/status/", "/ping/x"):
        for method in ("GET", "HEAD"):
            out.append(Request(f"{method} {uri}", front_params.nginx(root, uri, method=method)))
    out.append(Request("POST /ping", front_params.nginx(root, "/ping", method="POST", body=b"x"), b"x"))
    out.append(Request("ping where there is none", front_params.nginx(root, "/ping"), pool="quiet"))
    return out + cases(root, "status.php", ["keys", "types", "pool", "process"])


def miscellany(root):
    names = """sapi ini_files extensions functions reflection constants connection uid opcache phpinfo phpinfo_module mail
        stream usage sleep time mb dl apache_missing response_headers files pcntl iterate random highlight
        include_relative""".split()
    out = cases(root, "misc.php", names)
    out += cases(root, "misc.php", ["sapi", "uid", "ini_files", "connection"], pool="ini")
    for label, role in (("authorizer", fastcgi.AUTHORIZER), ("filter", fastcgi.FILTER)):
        out.append(Request(f"role {label}", front_params.nginx(root, "/path.php"), role=role))
    return out
