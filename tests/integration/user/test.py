"""Who runs what: pools as their own users, and the whole as an ordinary user."""

import os
import pwd
import signal

import fastcgi
import procs
from case import mode_of, needs_root
from fastcgi import params_for
from fpm import SERVICE_USER

WHO = ("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\nid -un\nid -gn\nid -G | wc -w\n"
       "echo \"$USER\"\necho \"$HOME\"\n")


def who(fpm, script, pool="www"):
    return fastcgi.ask(fpm.address(pool), params_for("/who", script)).body.decode().split("\n")[:5]


@needs_root
def test_each_pool_runs_as_its_own_user(case):
    script = case.script("cgi/who", WHO)
    pool = "cgi.root = {dir}/cgi\n"
    fpm = case.fpm({"www": pool, "nobody": pool + "user = nobody\ngroup = nogroup\n",
                    "number": pool + "user = 54321\ngroup = 54321\n"})
    assert who(fpm, script)[:2] == [SERVICE_USER, SERVICE_USER]
    assert who(fpm, script, "nobody")[:2] == ["nobody", "nogroup"]
    # A user without a passwd entry: HOME and USER stay unset.
    assert who(fpm, script, "number")[3:] == ["", ""]
    home = pwd.getpwnam(SERVICE_USER).pw_dir
    assert who(fpm, script)[3:] == [SERVICE_USER, home]
    wait_for_change_of_user(fpm)
    fpm.stop()


@needs_root
def test_owner_and_mode_of_the_socket(case):
    fpm = case.fpm({"www": "cgi.root = {dir}\nlisten.owner = nobody\nlisten.group = www-data\n"
                    "listen.mode = 0620\n"})
    stat = os.stat(fpm.address())
    assert pwd.getpwuid(stat.st_uid).pw_name == "nobody"
    assert mode_of(fpm.address()) == 0o620
    fpm.stop()


@needs_root
def test_without_listen_mode_the_socket_is_0660(case):
    fpm = case.fpm({"www": "listen = {dir}/own.sock\nlisten.mode = 0660\ncgi.root = {dir}\n"})
    assert mode_of(fpm.address()) == 0o660
    fpm.stop()


@needs_root
def test_an_ordinary_user_runs_all_of_it(case):
    script = case.script("cgi/who", WHO)
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\nping.path = /ping\n"
                    "access.log = {dir}/access.log\n"}, as_user="nobody")
    assert real_and_effective_uids(fpm.pid) == {pwd.getpwnam("nobody").pw_uid}
    fastcgi.ping(fpm.address())
    assert who(fpm, script)[0] == "nobody"
    fpm.stop(signal.SIGQUIT)


@needs_root
def test_an_ordinary_user_is_told_that_user_does_not_count(case):
    script = case.script("cgi/who", WHO)
    fpm = case.fpm({"www": "cgi.root = {dir}/cgi\nuser = www-data\n"}, as_user="nobody")
    fpm.wait_line(r"NOTICE: \[pool www\] 'user' directive is ignored when FPM is not running as "
                  "root")
    assert who(fpm, script)[0] == "nobody"
    fpm.stop()


@needs_root
def test_workers_of_a_pool_cannot_gain_rights(case):
    fpm = case.fpm({"www": "cgi.root = {dir}\n"})
    wait_for_change_of_user(fpm)
    for worker in fpm.workers():
        with open(f"/proc/{worker}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        assert int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0, fields
        groups = fields["Groups"].split()
        assert "0" not in groups, f"a worker keeps root's groups: {groups}"
    assert procs.alive(fpm.pid)
    fpm.stop()


def wait_for_change_of_user(fpm):
    """The log says that fpm is ready when its workers may still be on their way."""
    procs.wait_until(lambda: all(0 not in real_and_effective_uids(pid) for pid in fpm.workers()),
                     "no worker runs as root")


def real_and_effective_uids(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return {int(uid) for line in file if line.startswith("Uid:") for uid in line.split()[1:]}
