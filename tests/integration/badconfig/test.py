"""Wrong configurations: a clear line each, exit status 78, nothing left behind."""

import os
import re
import socket

from fpm import free_port, is_root, run_once

# Lines of a pool that is right; a test changes one of them.
GOOD = {
    "listen": "{dir}/www.sock",
    "pm": "static",
    "pm.max_children": "1",
    "cgi.root": "{dir}/cgi",
}


def pool(**changes):
    lines = dict(GOOD)
    if is_root():
        lines.update(user="nobody", group="nogroup")
    for name, value in changes.items():
        lines[name.replace("__", ".")] = value
    return "[www]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()
                               if value is not None)


def refused(case, text, *patterns, options=()):
    """Starts with that configuration; every pattern must be in one line of its own."""
    (case.dir / "cgi").mkdir(exist_ok=True)
    text = f"[global]\npid = {case.dir}/fpm.pid\nerror_log = {case.dir}/error.log\n" + text
    config = case.write("bad.conf", text.replace("{dir}", str(case.dir)))
    before = set(os.listdir(case.dir))
    for how in (["-t"], ["-F"]):
        if "-F" in options and how == ["-t"]:
            continue
        status, lines = run_once(case, [*how, "-O", "-y", str(config)])
        assert status == 78, f"{how}: status {status}: {lines}"
        for pattern in patterns:
            found = [line for line in lines if re.search(pattern, line)]
            assert len(found) == 1, f"{how}: {len(found)} lines with /{pattern}/ in {lines}"
        assert not any("ready to handle" in line for line in lines)
        left = set(os.listdir(case.dir)) - before - {"error.log"}
        assert not left, f"left behind: {left}"
    return lines


def test_unknown_directive_and_what_was_meant(case):
    refused(case, pool() + "pm.max_childen = 3\n",
            r"bad\.conf:\d+: \[pool www\] .*pm\.max_childen.*pm\.max_children")


def test_the_line_number_is_right(case):
    text = pool() + "pm.max_childen = 3\n"
    line = 3 + text.count("\n")
    refused(case, text, rf"bad\.conf:{line}: ")


def test_wrong_value(case):
    refused(case, pool(pm__max_children="many"),
            r'bad\.conf:\d+: \[pool www\] pm\.max_children = "many": '
            r"expected a whole number, 1 or more")


def test_all_errors_at_once(case):
    refused(case, pool(pm__max_children="many", pm="wild", listen__mode="rw"),
            r"pm\.max_children", r"\bpm = ", r"listen\.mode")


def test_missing_file(case):
    config = case.dir / "no" / "such.conf"
    for how in ("-t", "-F"):
        status, lines = run_once(case, [how, "-O", "-y", str(config)])
        assert status == 78, lines
        found = [line for line in lines if str(config) in line and "No such file" in line]
        assert len(found) == 1, lines


def test_no_pool(case):
    refused(case, "", r"[Nn]o pool")


def test_missing_directives(case):
    refused(case, pool(listen=None), r"\[pool www\].*listen")
    refused(case, pool(pm__max_children=None), r"\[pool www\].*pm\.max_children")


def test_port_taken(case):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused(case, pool(listen=f"127.0.0.1:{port}"),
                rf"127\.0\.0\.1:{port}.*Address already in use", options=["-F"])


def test_when_the_second_pool_cannot_listen_the_first_ones_socket_goes(case):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        second = pool(listen=f"127.0.0.1:{port}").replace("[www]", "[second]")
        refused(case, pool() + second, rf"127\.0\.0\.1:{port}", options=["-F"])


def test_folder_of_the_socket_missing(case):
    refused(case, pool(listen="{dir}/no/such/www.sock"), r"no/such/www\.sock.*No such file",
            options=["-F"])


def test_unknown_user_and_group(case):
    if not is_root():
        case.skip("user and group count only as root")
    refused(case, pool(user="nosuchuser"), r"\[pool www\].*nosuchuser")
    refused(case, pool(group="nosuchgroup"), r"\[pool www\].*nosuchgroup")


def test_root_needs_a_user(case):
    if not is_root():
        case.skip("needs root")
    refused(case, pool(user=None, group=None), r"\[pool www\].*user")
    refused(case, pool(user="root", group="root"), r"\[pool www\].*other than root")


def test_socket_path_too_long(case):
    refused(case, pool(listen="{dir}/" + "s" * 120), r"too long.*\b10[78]\b")


def test_open_to_everybody_without_confinement(case):
    port = free_port()
    for address in (f"0.0.0.0:{port}", str(port), f"[::]:{port}"):
        refused(case, pool(listen=address, cgi__root=None),
                r"\[pool www\].*(any program|anybody|cgi\.root)")


def test_two_pools_on_one_address(case):
    refused(case, pool() + pool(listen="{dir}/./www.sock").replace("[www]", "[twin]"),
            r"www\.sock.*www")


def test_directories_that_do_not_exist(case):
    refused(case, pool(cgi__root="{dir}/no"), r"cgi\.root.*/no\b")
    refused(case, pool(chdir="{dir}/nowhere"), r"chdir.*nowhere")


def test_unset_variable(case):
    refused(case, pool(cgi__root="${FPM_TEST_UNSET}/x"), r"FPM_TEST_UNSET")


def test_wrong_access_format(case):
    refused(case, pool(access__log="{dir}/a.log", access__format="'%Z'"), r"access\.format")
