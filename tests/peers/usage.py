"""What a server and all that it starts use: CPU time and memory, and their end.

Processes are counted by a control group of their own where the machine lets one make it, which misses none; elsewhere by
the tree below the processes that were started here, with what they waited for.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def control_groups(mounts):
    """Folders of the hierarchies that count CPU time, the unified one first, in the text of /proc/self/mounts."""
    found = []
    for line in mounts.splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.insert(0, Path(folder))
        elif kind == "cgroup" and "cpuacct" in options.split(","):
            found.append(Path(folder))
    return found


def stat(text):
    """The parent's pid, and the seconds of CPU that a process and its reaped children used, of /proc/PID/stat."""
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS


def descendants(roots, parents):
    """The roots that there are and all below them; `parents` has each process's."""
    found = [pid for pid in roots if pid in parents]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def processes():
    """Parents and CPU seconds of all processes, by pid."""
    parents, seconds = {}, {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                pid, text = int(entry.name), Path(entry.path, "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[pid], seconds[pid] = stat(text)
    return parents, seconds


def running(pid):
    """Whether it is there and has not ended; one that its parent did not ask for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def made_group(name):
    """The folder of a new control group; None where none can be made."""
    for hierarchy in control_groups(Path("/proc/self/mounts").read_text()):
        try:
            (hierarchy / name).mkdir()
            return hierarchy / name
        except OSError:
            continue
    return None


class Group:
    """The processes of one server."""

    def __init__(self, name):
        self.started = []
        self.folder = made_group(name)

    @property
    def counted(self):
        """How, for the record."""
        return "control group" if self.folder else "process tree"

    def spawn(self, command, **options):
        """Starts a process that is in the group before it runs."""
        def enter():
            if self.folder:
                (self.folder / "cgroup.procs").write_text("0")

        process = subprocess.Popen(command, preexec_fn=enter, start_new_session=True, stdin=subprocess.DEVNULL, **options)
        self.started.append(process)
        return process

    def pids(self):
        if self.folder:
            return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]
        parents, _ = processes()
        return descendants([process.pid for process in self.started], parents)

    def cpu(self):
        """Seconds since the start."""
        if self.folder is None:
            parents, seconds = processes()
            return sum(seconds[pid] for pid in descendants([process.pid for process in self.started], parents))
        usage = self.folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int(re.search(r"^usage_usec (\d+)", (self.folder / "cpu.stat").read_text(), re.M).group(1)) / 1e6

    def memory(self):
        """Octets of all, what they share counted once (Pss of /proc/PID/smaps_rollup)."""
        total = 0
        for pid in self.pids():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.M).group(1)) << 10
        return total

    def end(self, patience=20):
        """SIGTERM to what was started here, last first; what is left then is killed by its pid."""
        before = self.pids()
        for process in reversed(self.started):
            process.terminate()
        for process in reversed(self.started):
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        deadline = time.monotonic() + patience
        while left := self._left(before):
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes that do not end: {left}")
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in self.started:
                process.poll()
            time.sleep(0.02)
        if self.folder:
            self.folder.rmdir()

    def _left(self, before):
        if self.folder:
            return self.pids()
        return [pid for pid in before if running(pid)]
