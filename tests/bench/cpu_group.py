"""CPU time of all processes in a control group: also of children that their parent does not wait for."""

import os
import pathlib

import procs


class CpuGroup:
    """A context. `there` is False where groups cannot be made (containers, no root)."""

    def __init__(self):
        self._dir, self._parent = None, None
        for parent, usage in _parents():
            path = parent / f"fpm-bench-{os.getpid()}-{id(self)}"
            try:
                path.mkdir()
            except OSError:
                continue
            self._dir, self._parent, self._usage = path, parent, usage
            break

    @property
    def there(self):
        return self._dir is not None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.there:
            procs.wait_until(self._removed, f"an end of {self._dir}", 20)

    def _removed(self):
        try:
            self._dir.rmdir()
            return True
        except OSError:
            for pid in (self._dir / "cgroup.procs").read_text().split():
                _write(self._parent / "cgroup.procs", pid)
            return False

    def add(self, pids):
        for pid in pids:
            _write(self._dir / "cgroup.procs", str(pid))

    def cpu_us(self):
        """So far."""
        words = (self._dir / self._usage).read_text().split()
        return int(words[0]) / 1000 if len(words) == 1 else int(words[1])  # usage_usec of cpu.stat


def _parents():
    """(folder, file with the CPU time) of control groups of version 1 and 2."""
    own = {line.split(":")[1]: line.strip().split(":", 2)[2]
           for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()}
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if kind == "cgroup" and "cpuacct" in options.split(","):
            name = next((names for names in own if "cpuacct" in names.split(",")), None)
            yield pathlib.Path(place + own.get(name, "/")), "cpuacct.usage"
        elif kind == "cgroup2":
            yield pathlib.Path(place + own.get("", "/")), "cpu.stat"


def _write(file, text):
    try:
        file.write_text(text)
    except OSError:
        pass  # the process has ended
