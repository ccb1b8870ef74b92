"""git over HTTP: nginx, fpm and git-http-backend, with the real git as the client."""

import os
import re
import socket

import procs
from fpm import give_to_service_user
from gittool import commit_file, finish, git, head, make_origin, start

BACKEND = "/usr/lib/git-core/git-http-backend"

POOL = f"""
cgi.program = {BACKEND}
env[GIT_PROJECT_ROOT] = {{dir}}/repositories
env[GIT_HTTP_EXPORT_ALL] = 1
pm.max_children = 4
catch_workers_output = yes
"""

LOCATION = """
    location ~ ^/git(/.*)$ {
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
      fastcgi_param PATH_INFO $1;
      fastcgi_param REMOTE_USER tester;
      fastcgi_pass %s;
      %s
    }
"""


def serve(case, files, settings=""):
    repositories = case.folder("repositories")
    origin = repositories / "origin.git"
    make_origin(origin, case.dir / "author", files)
    give_to_service_user(repositories)
    fpm = case.fpm({"www": POOL})
    nginx = case.nginx(LOCATION % (fpm.nginx_address(), settings))
    return fpm, nginx, origin


def clone_and_push(case, settings):
    fpm, nginx, origin = serve(case, {"readme": b"hello\n"}, settings)
    work = case.dir / "work"
    git("clone", "-q", nginx.url("/git/origin.git"), work)
    assert (work / "readme").read_bytes() == b"hello\n"

    commit_file(work, "small", b"a few bytes\n")
    git("push", "-q", "origin", "main", folder=work)
    assert head(origin) == head(work), "the small push did not arrive"

    # Above http.postBuffer (1 MiB) git sends chunks, without a Content-Length.
    commit_file(work, "large", os.urandom(6 << 20))
    git("push", "-q", "origin", "main", folder=work)
    assert head(origin) == head(work), "the push of 6 MB did not arrive"

    again = case.dir / "again"
    git("clone", "-q", nginx.url("/git/origin.git"), again)
    assert head(again) == head(work)
    git("fsck", "--strict", folder=again)
    fpm.stop()


def test_clone_small_push_and_push_of_6_MB(case):
    clone_and_push(case, "")


def test_the_same_with_request_buffering_off(case):
    clone_and_push(case, "fastcgi_request_buffering off; fastcgi_buffering off;")


def test_ten_clones_at_once_are_all_whole(case):
    fpm, nginx, origin = serve(case, {"a": os.urandom(1 << 20), "b": b"text\n"})
    folders = [case.dir / f"clone{number}" for number in range(10)]
    clones = [start("clone", "-q", nginx.url("/git/origin.git"), folder) for folder in folders]
    for clone in clones:
        finish(clone)
    for folder in folders:
        assert head(folder) == head(origin)
        git("fsck", "--strict", folder=folder)
    fpm.stop()


def test_clone_of_a_missing_repository_is_refused_politely(case):
    _, nginx, _ = serve(case, {"a": b"a\n"})
    assert nginx.get("/git/nothing.git/info/refs?service=git-upload-pack")[0] == 404


def begin_clone(nginx):
    """Asks for all objects as git does (protocol 0), and reads only the beginning."""
    _, _, refs = nginx.get("/git/origin.git/info/refs?service=git-upload-pack")
    wanted = re.search(rb"([0-9a-f]{40}) HEAD", refs).group(1).decode()
    want = f"want {wanted} ofs-delta\n"
    body = f"{len(want) + 4:04x}{want}00000009done\n".encode()
    client = socket.create_connection(("127.0.0.1", nginx.port), 10)
    client.sendall(b"POST /git/origin.git/git-upload-pack HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Type: application/x-git-upload-pack-request\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert client.recv(4096).startswith(b"HTTP/1.1 200"), "no answer to the clone"
    return client


def test_a_client_killed_in_mid_clone_takes_its_git_processes_along(case):
    # So much that it cannot all wait in buffers between git and a client that does not read.
    fpm, nginx, _ = serve(case, {"large": os.urandom(32 << 20)}, "fastcgi_buffering off;")
    workers = fpm.workers()
    client = begin_clone(nginx)
    running = [one for worker in workers for one in procs.descendants(worker)]
    assert any(one.name.startswith("git") for one in running), f"no git at work: {running}"
    groups = {one.group for one in running}
    assert not groups & {procs.process(worker).group for worker in workers}, "no own group"

    client.close()
    procs.wait_until(lambda: not [one for group in groups for one in procs.group(group)],
                     "the process group of the aborted clone is gone", 1)
    assert fpm.workers() == workers, "a worker was lost"
    assert nginx.get("/git/origin.git/HEAD")[0] == 200
    fpm.stop()
