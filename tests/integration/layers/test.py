"""The sources keep to their rooms: who includes whom, and who may start and end processes."""

import re

from case import plain_only

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

# In the order in which they may include each other: a room includes itself and those before it.
ROOMS = ["fcgi", "os", "log", "config", "scoreboard", "policy", "status", "reporter", "handlers",
         "worker", "http", "master", "cli"]
NEVER = {
    "fcgi": ROOMS,
    "os": ROOMS,
    "handlers": ["master", "reporter"],
    "reporter": ["policy"],
    "master": ["worker", "handlers", "fcgi", "reporter", "http"],
    "worker": ["master", "reporter"],
    "http": ["config", "policy", "status", "reporter", "handlers", "worker", "master"],
}
# Pure rooms: nothing but their own headers and these (level.hpp, an enum, is part of config.hpp).
PURE = ["fpm/config/config.hpp", "fpm/scoreboard/snapshot.hpp", "fpm/scoreboard/door_snapshot.hpp",
        "fpm/log/level.hpp"]
# What the master hands to the entry point of a worker, which cli gives it as a function; what it
# tells the reporter and the doors. The door knows its pool by what it is told alone.
CONTRACTS = [("worker", "fpm/master/worker_entry.hpp"),
             ("worker", "fpm/master/template_entry.hpp"), ("master", "fpm/reporter/message.hpp"),
             ("master", "fpm/http/message.hpp")]
# Asio lives in the master and in what starts as a program of its own.
ASIO = re.compile(r"fpm/(master/|http/|reporter/)")


def sources(case):
    for top in ("fcgi", "fpm"):
        for path in sorted((case.root / top).rglob("*")):
            if path.suffix in (".cpp", ".hpp", ".h", ".c"):
                yield str(path.relative_to(case.root)), path.read_text()


def room_of(file):
    parts = file.split("/")
    if parts[0] == "fcgi":
        return "fcgi"
    return parts[1] if len(parts) > 2 else "main"


def complaints_about(file, bracket, target):
    room = room_of(file)
    if bracket == "<":
        if target.startswith("boost/asio") and not ASIO.match(file):
            yield "only the master, the reporter and the door use Asio"
        if room == "fcgi" and target.startswith(("boost/", "fmt/")):
            yield "fcgi/ is for strangers: the standard library alone"
        return
    if not target.startswith(("fpm/", "fcgi/")):
        yield "write it from the repository root"
        return
    other = room_of(target)
    if other == room or room == "main" or (room, target) in CONTRACTS:
        return
    if target == "fpm/build_config.hpp" and room not in ("fcgi", "os"):
        return
    pure = room == "policy" or room == "status"
    if pure and target not in PURE:
        yield f"{room} includes only {' and '.join(PURE)}"
    if other in NEVER.get(room, []):
        yield f"{room} does not include {other}"
    if room in ROOMS and other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
        # The order is fpm/meson.build's; a later room links the earlier ones.
        yield f"{other} comes after {room}"


@plain_only
def test_every_room_includes_only_what_it_may(case):
    found, checked = [], 0
    for file, text in sources(case):
        for match in INCLUDE.finditer(text):
            checked += 1
            for why in complaints_about(file, match.group(1), match.group(2)):
                found.append(f"{file} includes {match.group(2)}: {why}")
    assert checked > 20, "looked at no sources"
    assert not found, "\n".join(found)


@plain_only
def test_the_check_itself_finds_what_is_forbidden(case):
    for file, target in [
            ("fpm/master/x.cpp", "fpm/worker/y.hpp"), ("fpm/master/x.cpp", "fcgi/protocol.hpp"),
            ("fpm/master/x.cpp", "y.hpp"), ("fcgi/x.hpp", "fpm/os/fd.hpp"),
            ("fpm/os/x.cpp", "fpm/log/log.hpp"), ("fpm/policy/x.cpp", "fpm/log/log.hpp"),
            ("fpm/config/x.cpp", "fpm/master/y.hpp"),
            ("fpm/reporter/x.cpp", "fpm/master/y.hpp"),
            ("fpm/master/x.cpp", "fpm/reporter/view.hpp")]:
        assert list(complaints_about(file, '"', target)), f"{file} may include {target}?"
    assert list(complaints_about("fpm/worker/x.cpp", "<", "boost/asio.hpp"))
    assert not list(complaints_about("fpm/master/x.cpp", "<", "boost/asio.hpp"))
    assert not list(complaints_about("fpm/policy/x.cpp", '"', "fpm/config/config.hpp"))


# A call, not a member function (x.kill, x->kill), not another namespace's (os::kill), and not a
# declaration (a type before the name).
PROCESS_CALL = re.compile(
    r"(?:(\w+)\s+)?(?<![\w.>:])(?<!\w::)(?:::)?"
    r"(fork|vfork|_Fork|kill|killpg|tgkill|pidfd_send_signal|wait|waitpid|waitid|wait3|wait4|"
    r"posix_spawnp?|popen|system|execvp?e?|execl[pe]?|fexecve)\s*\(")
NO_TYPE = {"return", "else", "do", "case", "co_return", None}


def process_calls(text):
    text = re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', "", text)
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return [match.group(2) for match in PROCESS_CALL.finditer(text) if match.group(1) in NO_TYPE]


@plain_only
def test_only_os_starts_ends_and_waits_for_processes(case):
    found, own = [], 0
    for file, text in sources(case):
        calls = process_calls(text)
        if file.startswith("fpm/os/"):
            own += len(calls)
        else:
            found += [f"{file} calls {name}()" for name in calls]
    assert own > 0, "found no such call even in fpm/os"
    assert not found, "\n".join(found)


@plain_only
def test_the_check_itself_knows_a_call(case):
    for text in ("  ::kill(pid, 9);", "return fork();", "if (waitpid(pid, &s, 0) < 0)",
                 "x = fork ();"):
        assert process_calls(text), text
    for text in ("os::kill(pid, 9)", "child.kill(9)", "child->kill(9)", "// fork()",
                 "void kill(int);", 'fail("kill(pid)")', "unforked(1)"):
        assert not process_calls(text), text
