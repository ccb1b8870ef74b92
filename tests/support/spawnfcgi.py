"""spawn-fcgi with a FastCGI program, as it is run without a manager: the control beside fpm."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import procs


@contextlib.contextmanager
def spawned(folder, command, children=1, environment=None):
    """(address, pids) of so many processes of a program at one UNIX socket; ended after use.

    folder: a new one below this is made for socket and pid file. The caller is a subreaper or lives
    as long as the processes do.
    """
    folder = pathlib.Path(folder) / "spawned"
    folder.mkdir(mode=0o755)
    socket, pid_file = folder / "socket", folder / "pid"
    subprocess.run(["spawn-fcgi", "-s", socket, "-M", "0666", "-F", str(children), "-P", pid_file,
                    "--", *map(str, command)], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, env=dict(os.environ, **(environment or {})))
    pids = [int(word) for word in pid_file.read_text().split()]
    assert len(pids) == children, pids
    try:
        yield str(socket), pids
    finally:
        for pid in pids:
            procs.end(pid)
            procs.wait_gone(pid)
        shutil.rmtree(folder)
