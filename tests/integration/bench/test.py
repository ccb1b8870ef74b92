"""The bench measures what it says: every row runs and every answer in it is right."""

import json
import os
import subprocess
import sys

from case import plain_only

ROWS = ["requests", "cgi", "burst", "cold", "timeout", "reload", "turnover", "kill", "killing", "workers",
        "status", "pools", "files", "door", "php_idle", "php_pools", "php_worker", "php_cold"]


def bench(case, build, *words):
    """(exit status, output), its temporary files below the case's folder."""
    command = [sys.executable, case.root / "tests/bench/run", "--build", build, *words]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=250, check=False,
                          env=dict(os.environ, TMPDIR=str(case.dir)))
    left = list(case.dir.glob("fpm-bench-*"))
    assert not left, f"left behind: {left}"
    return done.returncode, done.stdout


@plain_only
def test_every_row_gives_right_answers(case):
    status, output = bench(case, case.build, "--brief")
    assert status == 0, output
    assert output.splitlines() == [f"{row}: right" for row in ROWS], output


@plain_only
def test_figures_are_written_and_compared(case):
    readme = case.write("README.md", "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    first, second = case.dir / "first", case.dir / "second"
    few = ["--rounds", 1, "--scale", 0.02, "cgi"]
    status, output = bench(case, case.build, "--out", first, "--readme", readme, *few)
    assert status == 0, output
    figures = json.loads(first.with_suffix(".json").read_text())
    assert figures["about"]["date"] and figures["about"]["machine"], figures["about"]
    one = figures["figures"]["cgi: hello, CPU: fpm"]
    assert one["unit"] == "us" and len(one["values"]) == 1 and one["values"][0] > 10, one
    assert {goal["what"] for goal in figures["goals"]} == {
        f"cgi, {what}{beside}" for what in ("hello", "big", "body") for beside in ("", ", beside runner")}, figures

    text = readme.read_text()
    assert text.startswith("before\n<!-- bench -->\n") and text.endswith("<!-- /bench -->\nafter\n"), text
    assert "| cgi, hello |" in text and "old" not in text, text

    # A run that was ten times as fast: everything has become slower.
    for figure in figures["figures"].values():
        figure["values"] = [value / 10 for value in figure["values"]]
    faster = case.write("faster.json", json.dumps(figures))
    status, output = bench(case, case.build, "--out", second, "--against", faster, *few)
    assert status == 0, output
    count = len(figures["figures"])
    assert f"{count} of {count} figures differ by more than 10 %" in output, output
    assert "| cgi: hello, CPU: fpm |" in second.with_suffix(".md").read_text()


@plain_only
def test_a_server_that_does_not_start_is_told(case):
    build = case.folder("build")
    (build / "fpm").mkdir()
    case.script("build/fpm/fpm", "#!/bin/sh\necho 'no such thing' >&2\nexit 78\n")
    status, output = bench(case, build, "--brief", "kill")
    assert status == 1 and "kill: FAILED" in output, output
