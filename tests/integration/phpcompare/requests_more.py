"""What a worker keeps from one request to the next, the ends of a script, its children, the engine's own facts."""

import pathlib
import re

import fastcgi
import front_params
from requests_answer import cases
from requests_rest import FORM, disposition, multipart
from sides import Request


def names_in(root, script):
    """The cases that a script has."""
    text = (pathlib.Path(root) / script).read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r"^case '(\w+)'", text, re.M)))


def more_headers(root):
    out = cases(root, "more_headers.php", names_in(root, "more_headers.php"))
    for name in ("body_304", "length_smaller", "huge_many", "location_then_200", "status_and_code"):
        out.append(Request(f"{name}, HEAD", front_params.nginx(root, f"/more_headers.php?c={name}", method="HEAD")))
    return out


def layers(root):
    return cases(root, "layers.php", names_in(root, "layers.php"))


def children(root):
    out = cases(root, "process.php", names_in(root, "process.php"))
    return out + cases(root, "process.php", ["environment", "environment_given"], pool="quiet")


def engine(root):
    out = cases(root, "engine.php", names_in(root, "engine.php"))
    for pool in ("ini", "quiet", "odd"):
        out += cases(root, "engine.php", ["cfg", "getenv", "phpinfo_configuration", "ini_parse", "phpinfo_variables",
                                          "phpinfo_environment"], pool=pool)
    return out


def leftovers(root):
    """Each is changed, then looked at; and the same when the request that changed it did not end well."""
    text = (pathlib.Path(root) / "leftovers.php").read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"^    '(\w+)' => fn", text, re.M))
    out = []
    for name in names:
        for more, label in (("", ""), ("&die=1", " and a fatal error"), ("&exit=1", " and an exit")):
            for query in (f"{name}&set=1{more}", name):
                out += cases(root, "leftovers.php", [query])
                out[-1].name = f"{query}{label}" if "set" in query else f"{name} after the change{label}"
    return out


def limits(root):
    out = []

    def add(label, uri="/dump.php", body=b"", kind=FORM, pool="main", change=None, **more):
        params = front_params.nginx(root, uri, method="POST" if body else "GET", body=body,
                                    content_type=kind if body else "", **more)
        params.update(change or {})
        out.append(Request(label + ("" if pool == "main" else f" in {pool}"), params, body, pool))

    add("a long query", "/path.php?a=" + "q" * 20_000)
    add("parameters that are split", "/path.php?a=" + "q" * 60_000)
    add("a long path info", "/dump.php/" + "p" * 3000, script="/dump.php", path_info="/" + "p" * 3000)
    add("1000 parameters", change={f"HTTP_X_{i}": "v" * 20 for i in range(1000)})
    add("a parameter of 64000", change={"HTTP_LARGE": "v" * 64_000})
    add("an empty name", change={"": "nameless"})
    add("names with odd letters", change={"A B": "1", "C=D": "2", "E[]": "3", "F\n": "4", "GLOBALS": "5", "_SERVER": "6"})
    add("a parameter GLOBALS in the query", "/dump.php?GLOBALS[a]=1&_SERVER[b]=2&this=3")
    add("many cookies", headers={"Cookie": "; ".join(f"c{i}={i}" for i in range(80))})
    add("cookies with commas", headers={"Cookie": "a=1,b=2; c=3 ; =x; d==; e=%3B; f=\"q\"; [g]=1; h[=2"})
    add("100 fields", body=multipart(*[(disposition(f"f{i}"), b"x") for i in range(100)]),
        kind="multipart/form-data; boundary=----edge")
    add("30 files", "/upload.php", multipart(*[(disposition(f"f{i}", "n"), b"x") for i in range(30)]),
        "multipart/form-data; boundary=----edge")
    add("a large field", body=multipart((disposition("f"), b"y" * 100_000)), kind="multipart/form-data; boundary=----edge")
    add("deep fields", body=b"a" + b"[x]" * 100 + b"=1&b[c][]=2&b[c][]=3&b=4")
    add("semicolons", "/dump.php?a=1;b=2&c=3;d", body=b"e=1;f=2")
    add("plus and percent", "/dump.php?a=%2&b=%zz&c=+%2B+&d=%C3%28&e=%00x", body=b"f=%2&g=%zz&h=%C3%28&i=%00x")
    add("host with a port", headers={"Host": "www.example:8080"})
    add("a forwarded client", headers={"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Forwarded": "for=1"})
    add("range and conditions", headers={"Range": "bytes=0-1", "If-None-Match": "*", "If-Modified-Since": "x"})
    add("expect", headers={"Expect": "100-continue"}, body=b"a=1")
    add("settings as headers", headers={"PHP-VALUE": "memory_limit=1M", "Php-Admin-Value": "precision=2"})
    add("body without a length", body=b"a=1&b=2", change={"CONTENT_LENGTH": ""})
    add("body of chunks", "/input.php?c=all", b"0123456789", "text/plain",
        change={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"})
    for size in (1, 7, 8, 127, 128, 129, 255, 256, 65_000):
        add(f"name of {size}", change={"N" * size: "v"})
    return out


def sections(root):
    """[PATH=] and [HOST=] of php.ini, files before and after the script, logs of the pool's own."""
    out = []
    seen = "get=precision,user_agent,memory_limit,post_max_size"

    def add(label, uri, pool="main", **change):
        params = front_params.nginx(root, uri)
        params.update(change)
        out.append(Request(f"{label} in {pool}", params, pool=pool))

    for pool in ("main", "odd"):
        add("path", f"/sections/ini.php?{seen}", pool)
        add("path below", f"/sections/below/ini.php?{seen}", pool)
        add("path, levels", "/sections/ini.php?access=precision,user_agent", pool)
        add("after that", f"/ini.php?{seen}", pool)
        add("host", f"/ini.php?{seen}", pool, SERVER_NAME="section.example")
        add("host in capitals", f"/ini.php?{seen}", pool, SERVER_NAME="SECTION.example")
        add("host of the client", f"/ini.php?{seen}", pool, HTTP_HOST="section.example")
        add("host and path", f"/sections/ini.php?{seen}", pool, SERVER_NAME="section.example")
        add("no host after it", f"/ini.php?{seen}", pool)
    for name in ("zero", "text", "shutdown", "in_function", "return"):
        out += cases(root, "exit.php", [name], pool="odd")
    for name in ("notice", "exception", "parse_include", "memory", "error_log", "warning", "user_error",
                 "error_log_binary", "time_limit", "stderr", "silenced"):
        out += cases(root, "error.php", [name], pool="odd")
    out += cases(root, "finish.php", ["write&id=odd", "read&id=odd", "error"], pool="odd")
    add("missing", "/gone.php", "odd")
    add("syntax error", "/syntax.php", "odd")
    add("a folder", "/sub", "odd")
    add("the log that is the pool's", "/own_log.php?of=error_log", "odd")
    add("the log of the pool ini", "/own_log.php?of=error_log", "ini")
    return out


def roles(root):
    out = []
    for label, role in (("authorizer", fastcgi.AUTHORIZER), ("filter", fastcgi.FILTER)):
        for method, body in (("GET", b""), ("POST", b"a=1&b=2")):
            params = front_params.nginx(root, "/dump.php", method=method, body=body, content_type=FORM if body else "")
            out.append(Request(f"{label}, {method}", params, body, role=role))
    return out
