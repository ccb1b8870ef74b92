"""What a test function of an integration case gets: a folder, the built program, cleaning up."""

import contextlib
import os
import pathlib
import shutil
import stat
import tempfile

import procs
from fpm import Fpm, is_root
from nginx import Nginx


class Skipped(Exception):
    """Raised by Case.skip: the test cannot be made here; str() says why."""


def plain_only(function):
    """Measures memory, system calls or time, or needs no program: not run with sanitizers."""
    function.plain_only = True
    return function


def needs_root(function):
    function.needs_root = True
    return function


class Case:
    """One test function's surroundings; everything is gone after `finish`."""

    def __init__(self, source, build):
        self.source = pathlib.Path(source)  # the folder of test.py
        self.build = pathlib.Path(build)
        self.root = pathlib.Path(__file__).resolve().parents[2]
        self.program = self.build / "fpm" / "fpm"
        # PHP_FPM_UNDER_TEST=/usr/sbin/php-fpm8.2 tries whether a test asks what php-fpm can do.
        self.other_php_fpm = os.environ.get("PHP_FPM_UNDER_TEST")
        self.php_fpm = pathlib.Path(self.other_php_fpm or self.build / "fpm" / "php-fpm")
        self.debians_php_fpm = shutil.which("php-fpm8.2", path="/usr/sbin:/usr/bin:/sbin:/bin")
        self.sanitized = is_sanitized(self.build)
        self.failed = False
        self.said = []
        self.daemons = []
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fpm-"))
        os.chmod(self.dir, 0o755)
        self.reports = self.dir / "sanitizer"
        self.reports.mkdir()
        os.chmod(self.reports, 0o777)
        self._stack = contextlib.ExitStack()

    def defer(self, function):
        """Called at the end, the last one first."""
        self._stack.callback(function)

    def needs_php(self):
        """Skips where the build has no PHP, or where Debian's php-fpm, its measure, is missing."""
        here = list((self.build / "fpm/handlers/php").glob("php*.so"))
        if not here and not self.other_php_fpm:
            self.skip("this build has no PHP")
        if self.debians_php_fpm is None:
            self.skip("php-fpm8.2 is not installed")

    def say(self, line):
        """A line that is shown with the results, whatever they are."""
        self.said.append(line)

    def skip(self, why):
        raise Skipped(why)

    def fpm(self, pools, global_lines="", **options):
        """Starts fpm, see fpm.Fpm."""
        return Fpm(self, pools, global_lines, **options)

    def nginx(self, locations, http=None):
        """Starts nginx, see nginx.Nginx."""
        return Nginx(self, locations, http)

    def logs(self):
        """What the daemons of the case said, for a failure."""
        return "".join(f"\n--- {one.name}: {' '.join(one.command)}\n{one.text}"
                       for one in self.daemons)

    def write(self, name, text, mode=0o644):
        """A file below the case's folder that any user may read."""
        path = self.dir / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, mode)
        return path

    def script(self, name, text):
        """An executable file."""
        return self.write(name, text, 0o755)

    def copy(self, name):
        """A script out of the folder of test.py, into the case's folder."""
        target = self.dir / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(self.source / name, target)
        os.chmod(target, 0o755)
        return target

    def folder(self, name):
        """A folder in which the pool's user may write."""
        path = self.dir / name
        path.mkdir(mode=0o755)
        os.chmod(path, 0o777)
        return path

    def fifo(self, name):
        path = self.dir / name
        os.mkfifo(path)
        os.chmod(path, 0o666)
        return path

    def sanitizer_environment(self):
        """Reports go to files, because the output of a worker may go nowhere."""
        if not self.sanitized:
            return {}
        where = f"log_path={self.reports}/report"
        # PHP loads its extensions with RTLD_DEEPBIND, at which sanitizers end the program: none then.
        return {"PHP_INI_SCAN_DIR": "/nonexistent",
                **{name: ":".join(filter(None, [os.environ.get(name, ""), where]))
                   for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS")}}

    def finish(self):
        """Ends and removes everything. Returns what was wrong with that, as texts."""
        wrong = []
        try:
            self._stack.close()
        except Exception as error:  # pylint: disable=broad-except
            wrong.append(f"{type(error).__name__}: {error}")
        wrong += self._end_stray_processes()
        for report in sorted(self.reports.glob("*")):
            wrong.append(f"sanitizer report:\n{report.read_text(errors='replace')}")
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.dir.exists():
            wrong.append(f"{self.dir} could not be removed")
        return wrong

    def _end_stray_processes(self):
        """run_case.py is a subreaper: whatever the case started and left ends up below it."""
        wrong = []
        for one in procs.descendants(os.getpid()):
            if is_ending(one.pid):
                with contextlib.suppress(AssertionError):
                    procs.wait_gone(one.pid, 2)
                    continue
            wrong.append(f"left running: {one.pid} {one.name}: {procs.command_line(one.pid)}")
            procs.end(one.pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0 if wrong else os.WNOHANG)[0]:
                pass
        return wrong


def is_ending(pid):
    """Its memory is gone already: the kernel takes the process down."""
    return not procs.command_line(pid)


def is_sanitized(build):
    """Whether the folder was configured with b_sanitize."""
    import json  # pylint: disable=import-outside-toplevel
    file = build / "meson-info" / "intro-buildoptions.json"
    options = json.loads(file.read_text())
    return any(one["name"] == "b_sanitize" and one["value"] != "none" for one in options)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


__all__ = ["Case", "Skipped", "is_root", "mode_of", "needs_root", "plain_only"]
