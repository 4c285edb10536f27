"""What the kernel says of a running process (its memory now and at its peak), and work in many threads at once."""

import re
from concurrent.futures import ThreadPoolExecutor


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


def at_once(work, count):
    """Runs `work(number)` in as many threads; answers what each returned, and raises what the first raised."""
    with ThreadPoolExecutor(count) as pool:
        return [task.result() for task in [pool.submit(work, number) for number in range(count)]]
