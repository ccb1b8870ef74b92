"""What scripts do with their answer: headers, errors, ends, output, sessions."""

import front_params
from sides import Request


def cases(root, script, names, pool="main", **more):
    """One request for each name: `c`, or `c&other=parameters`."""
    return [Request(f"{name}{'' if pool == 'main' else ' in ' + pool}",
                    front_params.nginx(root, f"/{script}?c={name}", **more), pool=pool)
            for name in names]


def headers(root):
    names = """none empty_type no_charset type type_text type_odd remove_type remove_all remove_powered several cookie
        cookie_bad location location_301 location_201 location_308 status_404 status_line status_line_10 status_bare
        status_header status_header_200 status_both status_code status_unknown status_599 status_99 status_999
        status_long status_200_line status_204 status_304 status_100 auth auth_status injection injection_lf folded nul
        no_colon blank trailing long many utf8 length length_wrong late list callback code_get gzhandler x_sendfile date
        replace_case after_exit""".split()
    out = cases(root, "headers.php", names)
    zipped = {"Accept-Encoding": "gzip"}
    for name in ("compress", "gzhandler"):
        out.append(Request(f"{name}, accepted",
                           front_params.nginx(root, f"/headers.php?c={name}", headers=zipped)))
    for name in ("none", "status_404", "location", "long"):
        out.append(Request(f"{name}, HEAD", front_params.nginx(root, f"/headers.php?c={name}", method="HEAD")))
    for protocol in ("HTTP/1.0", "HTTP/2.0", ""):
        params = front_params.nginx(root, "/headers.php?c=status_404")
        params["SERVER_PROTOCOL"] = protocol
        out.append(Request(f"status_404, protocol {protocol!r}", params))
        params = dict(params, QUERY_STRING="c=location", REQUEST_METHOD="POST")
        out.append(Request(f"location after POST, protocol {protocol!r}", params))
    return out


ERRORS = """notice warning deprecated user_error user_warning user_notice user_deprecated exception type_error arguments
    undefined_function undefined_class undefined_method division match nested require include parse_include eval memory
    memory_slow abstract redeclare compile silenced handler exception_handler handler_throws shutdown shutdown_throws
    shutdown_fatal_twice destructor ob_callback ob_callback_fatal error_log error_log_many error_log_binary
    error_log_sapi error_log_file error_log_own error_prepend stderr stdout stdin output_stream assert readonly enum
    stack backtrace""".split()


def errors(root):
    out = cases(root, "error.php", ERRORS)
    out += cases(root, "error.php", ERRORS[:33], pool="quiet")
    for name in ("notice", "exception", "undefined_function", "memory"):
        out += cases(root, "error.php", [f"{name}&before=1", f"{name}&flushed=1", f"{name}&html=0", f"{name}&display=0",
                                         f"{name}&log=0", f"{name}&display=0&flushed=1", f"{name}&display=stderr",
                                         f"{name}&level=1", f"{name}&level=0"])
    return out + cases(root, "error.php", ["time_limit", "time_limit_ini"])


def exits(root):
    names = """zero three max big negative text empty in_function shutdown shutdown_order buffered buffered_twice
        destructor finally include die output_then halt return generator""".split()
    return cases(root, "exit.php", names)


def streams(root):
    sizes = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 32768, 65527, 65528, 65529, 65535, 65536, 1 << 20]
    names = [f"size&n={size}" for size in sizes]
    names += ["bytes&n=9000", "flush&n=1", "flush&n=5", "flush&n=200", "ob_flush&n=20", "implicit&n=50", "unbuffered&n=1",
              "unbuffered&n=70000", "flush_first", "nested", "chunks", "clean", "status", "rewrite", "passthru", "shell",
              "readfile", "fpassthru", "binary", "nothing", "newline_only", "crlf", "print_after_headers"]
    out = cases(root, "stream.php", names)
    return out + [Request(f"{name}, HEAD", front_params.nginx(root, f"/stream.php?c={name}", method="HEAD"))
                  for name in ("size&n=100", "size&n=100000", "flush&n=5", "readfile")]


def finish(root):
    out = []
    for number, name in enumerate(("write", "twice", "nothing", "buffered", "shutdown", "large", "abort")):
        out += cases(root, "finish.php", [f"{name}&id={number}", f"read&id={number}"])
        out[-1].name += f" after {name}"
    out += cases(root, "finish.php", ["headers", "error", "error_log", "in_shutdown"])
    known = {"Cookie": "PHPSESSID=finishfinishfinishfinish00"}
    out.append(Request("session", front_params.nginx(root, "/finish.php?c=session", headers=known)))
    out.append(Request("session after that", front_params.nginx(root, "/session.php?c=read", headers=known)))
    body = b"x" * 50000
    out.append(Request("body", front_params.nginx(root, "/finish.php?c=body&id=b", method="POST", body=body), body))
    out += cases(root, "finish.php", ["read&id=b"])
    return out


def sessions(root):
    def one(label, query, cookie=None, **more):
        wanted = {} if cookie is None else {"Cookie": cookie}
        return Request(label, front_params.nginx(root, f"/session.php?{query}", headers=wanted, **more))

    known = "PHPSESSID=abcdefghijklmnopqrstuvwxyz"
    return [
        one("new", "c=count", "PHPSESSID=fresh123456789012345678901"),
        one("count", "c=count", known), one("count again", "c=count", known),
        one("count, third", "c=count", known), one("read", "c=read", known),
        one("regenerate", "c=regenerate", known), one("count after regenerate", "c=count", known),
        one("destroy", "c=destroy", known), one("count after destroy", "c=count", known),
        one("abort", "c=abort", known), one("own handler", "c=handler", known),
        one("bad id", "c=count", "PHPSESSID=../../etc/passwd"), one("empty id", "c=destroy", "PHPSESSID="),
        one("cookie parameters", "c=cookie"), one("after output", "c=late", known),
        one("rewritten links", "c=trans", known), one("HEAD", "c=count", known, method="HEAD"),
    ] + [one(f"limiter {name or 'none'}", f"c=limiter&l={name}", known)
         for name in ("nocache", "public", "private", "private_no_expire", "")]
