"""The bench measures what it says: every row runs and every answer in it is right."""

import os
import subprocess
import sys

from case import plain_only

ROWS = ["burst", "cold", "pools", "turnover", "ping", "kill", "timeout", "reload"]


def bench(case, build, *rows):
    """(exit status, output), its temporary files below the case's folder."""
    command = [sys.executable, case.root / "tests/bench/run", "--brief", "--build", build, *rows]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False, env=dict(os.environ, TMPDIR=str(case.dir)))
    return done.returncode, done.stdout


@plain_only
def test_every_row_gives_right_answers(case):
    status, output = bench(case, case.build)
    assert status == 0, output
    assert output.splitlines() == [f"{row}: right" for row in ROWS], output
    left = list(case.dir.glob("fpm-bench-*"))
    assert not left, f"left behind: {left}"


@plain_only
def test_a_server_that_does_not_start_is_told(case):
    build = case.folder("build")
    (build / "fpm").mkdir()
    case.script("build/fpm/fpm", "#!/bin/sh\necho 'no such thing' >&2\nexit 78\n")
    status, output = bench(case, build, "kill")
    assert status == 1 and "kill: FAILED" in output, output
