"""git over HTTP without a web server: the door, git-http-backend, and the real git as the client."""

import os

import procs
from door import Door
from fpm import give_to_service_user
from gittool import commit_file, finish, git, head, make_origin, start

POOL = """
http.scripts = all
cgi.program = /usr/lib/git-core/git-http-backend
env[GIT_PROJECT_ROOT] = {dir}/repositories
env[GIT_HTTP_EXPORT_ALL] = 1
pm.max_children = 4
catch_workers_output = yes
"""


def serve(case, files, lines=""):
    """(door, the repository in the file system, its address)"""
    repositories = case.folder("repositories")
    origin = repositories / "origin.git"
    make_origin(origin, case.dir / "author", files)
    give_to_service_user(repositories)
    log = case.folder("log") / "access.log"
    door = Door(case, POOL + f"access.log = {log}\n" + lines)
    return door, origin, f"http://127.0.0.1:{door.port}/origin.git"


def lines_of(case):
    return (case.dir / "log" / "access.log").read_text().splitlines()


def test_clone_and_push(case):
    door, origin, url = serve(case, {"readme": b"hello\n"})
    work = case.dir / "work"
    git("clone", "-q", url, work)
    assert (work / "readme").read_bytes() == b"hello\n"
    commit_file(work, "small", b"a few bytes\n")
    git("push", "-q", "origin", "main", folder=work)
    assert head(origin) == head(work), "the small push did not arrive"

    # Above http.postBuffer (1 MiB) git sends chunks, without a Content-Length.
    large = os.urandom(5 << 20)
    commit_file(work, "large", large)
    git("push", "-q", "origin", "main", folder=work)
    assert head(origin) == head(work), "the push of 5 MB did not arrive"

    again = case.dir / "again"
    git("clone", "-q", url, again)
    assert (again / "large").read_bytes() == large and head(again) == head(work)
    git("fsck", "--strict", folder=again)
    git("fsck", "--strict", folder=origin)
    posts = procs.wait_until(
        lambda: [line for line in lines_of(case) if '"POST /origin.git/git-receive-pack ' in line], "lines")
    assert posts and all('" 200 ' in line for line in posts), posts
    assert not door.fpm.find("ERROR"), door.fpm.text


def test_a_push_larger_than_allowed_is_refused_and_changes_nothing(case):
    door, origin, url = serve(case, {"readme": b"hello\n"}, "http.max_body = 2M")
    work = case.dir / "work"
    git("clone", "-q", url, work)
    before = head(origin)
    commit_file(work, "large", os.urandom(5 << 20))
    push = start("push", "-q", "origin", "main", folder=work)
    said, _ = push.communicate(timeout=30)
    assert push.returncode != 0 and "413" in said, said
    assert head(origin) == before
    assert door.get("/origin.git/HEAD")[0] == 200


def test_several_clones_at_once_are_all_whole(case):
    _, origin, url = serve(case, {"a": os.urandom(1 << 20), "b": b"text\n"})
    folders = [case.dir / f"clone{number}" for number in range(8)]
    clones = [start("clone", "-q", url, folder) for folder in folders]
    for clone in clones:
        finish(clone)
    for folder in folders:
        assert head(folder) == head(origin)
        git("fsck", "--strict", folder=folder)


def test_a_missing_repository_is_refused_politely(case):
    door, _, url = serve(case, {"a": b"a\n"})
    assert door.get("/nothing.git/info/refs?service=git-upload-pack")[0] == 404
    clone = start("clone", "-q", url.replace("origin", "nothing"), case.dir / "clone")
    said, _ = clone.communicate(timeout=30)
    assert clone.returncode != 0 and "not found" in said, said
