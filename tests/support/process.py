"""What the kernel says of a running process: its memory now and at its peak."""

import re


def memory(pid, field):
    """Octets of a field of /proc/PID/status, such as VmRSS (now) or VmHWM (peak)."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"^{field}:\s+(\d+) kB", status.read(), re.M).group(1)) << 10


def resident(pid):
    return memory(pid, "VmRSS")


def peak(pid):
    return memory(pid, "VmHWM")


def forget_peak(pid):
    """From here on the peak counts anew (proc(5), clear_refs)."""
    with open(f"/proc/{pid}/clear_refs", "w") as clear:
        clear.write("5")
