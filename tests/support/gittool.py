"""git for tests: without the user's and the system's settings, without background work."""

import os
import subprocess

AUTHOR = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
          "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org"}
SETTINGS = {"init.defaultBranch": "main", "gc.auto": "0", "maintenance.auto": "false",
            "core.compression": "0", "safe.directory": "*"}


def environment():
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env.update(AUTHOR, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
               GIT_TERMINAL_PROMPT="0", GIT_CONFIG_COUNT=str(len(SETTINGS)))
    for number, (name, value) in enumerate(SETTINGS.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = name
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


def start(*arguments, folder=None):
    return subprocess.Popen(["git", *map(str, arguments)], cwd=folder, env=environment(),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def finish(process, limit_s=60):
    """Its output; AssertionError with it unless the exit status is 0."""
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"{process.args} took longer than {limit_s} s: {output}") from None
    assert process.returncode == 0, f"{process.args}: status {process.returncode}: {output}"
    return output.strip()


def git(*arguments, folder=None, limit_s=60):
    return finish(start(*arguments, folder=folder), limit_s)


def commit_file(folder, name, content):
    (folder / name).write_bytes(content)
    git("add", name, folder=folder)
    git("commit", "-q", "-m", f"add {name}", folder=folder)


def make_origin(path, work, files):
    """A bare repository with one commit a file that takes pushes over HTTP from anybody."""
    git("init", "-q", work)
    for name, content in files.items():
        commit_file(work, name, content)
    git("clone", "-q", "--bare", work, path)
    git("config", "http.receivepack", "true", folder=path)


def head(folder):
    return git("rev-parse", "refs/heads/main", folder=folder)
