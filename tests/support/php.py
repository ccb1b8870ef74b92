"""Pools whose handler is php, and requests to them."""

import os
import time

import fastcgi


def library(case):
    return case.build / "fpm/handlers/php/php8.2.so"


def pool(case, lines="", name="www", **options):
    """Starts an fpm with one php pool."""
    return case.fpm({name: settings(case) + lines}, **options)


def settings(case):
    if not library(case).exists():
        case.skip("this build has no PHP: php8.2-dev and libphp8.2-embed are not installed")
    return "handler = php\npm.max_children = 1\n"


def script(case, text, name="a.php"):
    return case.write(f"www/{name}", text if text.startswith("<") else f"<?php\n{text}\n")


def old_script(case, text, name="a.php"):
    """One that was written a while ago: opcache takes no file of the last two seconds."""
    path = script(case, text, name)
    os.utime(path, (time.time() - 60,) * 2)
    return path


def ask(fpm, path, uri=None, method="GET", body=b"", **params):
    """The answer of one request; `path` is the script."""
    root = str(fpm.dir / "www")
    uri = uri or str(path).removeprefix(root)
    params.setdefault("DOCUMENT_ROOT", root)
    return fastcgi.ask(fpm.address(), fastcgi.params_for(uri, path, method, body, **params), body)


def run(case, fpm, text, **params):
    """The body that a script of this text gives."""
    answer = ask(fpm, script(case, text), **params)
    assert answer.status == 200, answer
    return answer.body.decode()
