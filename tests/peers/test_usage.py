"""What processes use is counted whole, and nothing of a server outlives it."""

import os
import sys
import unittest
from pathlib import Path
from unittest import mock

from peers import usage

MOUNTS = """\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
# A master whose child burns 0.3 s of CPU and ends, and whose second one ignores SIGTERM and stays.
FAMILY = """
import os, signal, sys, time
if not (child := os.fork()):
    begun = time.process_time()
    while time.process_time() - begun < 0.3: pass
    os._exit(0)
os.waitpid(child, 0)
if not os.fork():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    while True: signal.pause()
os.wait()
"""


class Parsing(unittest.TestCase):
    def test_the_unified_hierarchy_goes_before_the_old_one(self):
        self.assertEqual(usage.control_groups(MOUNTS), [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/cpuacct")])

    def test_a_name_with_brackets_and_blanks_does_not_shift_the_fields(self):
        text = "12 (a) b (c)) S 7 12 12 0 -1 4194304 100 0 0 0 10 20 30 40 20 0 1 0 100 0 0"
        self.assertEqual(usage.stat(text), (7, 100 / usage.TICKS))

    def test_what_ended_and_was_not_asked_for_yet_does_not_run(self):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        self.assertTrue(Path(f"/proc/{child}").exists())
        self.assertFalse(usage.running(child))
        os.waitpid(child, 0)
        self.assertFalse(usage.running(child))
        self.assertTrue(usage.running(os.getpid()))

    def test_descendants_are_found_over_generations(self):
        self.assertEqual(sorted(usage.descendants([2, 99], {1: 0, 2: 1, 3: 2, 4: 3, 5: 1})), [2, 3, 4])


class Family:
    """Shared by both ways to count."""

    def test_a_child_that_ended_is_counted_and_one_that_refuses_to_end_is_ended(self):
        group = usage.Group(f"postern-peers-test-{os.getpid()}")
        read, write = os.pipe()
        with os.fdopen(write, "w") as out:
            process = group.spawn([sys.executable, "-c", FAMILY], stdout=out)
        with os.fdopen(read) as said:
            self.assertEqual(said.readline(), "ready\n")
        self.assertEqual(group.counted, self.counted)
        self.assertGreaterEqual(group.cpu(), 0.29)
        pids = group.pids()
        self.assertEqual(len(pids), 2)
        self.assertGreater(group.memory(), 1 << 20)
        group.end(patience=10)
        self.assertIsNotNone(process.returncode)
        self.assertEqual([pid for pid in pids if usage.running(pid)], [])
        self.assertFalse(group.folder and group.folder.exists())


class ByTree(Family, unittest.TestCase):
    counted = "process tree"

    def setUp(self):
        patched = mock.patch.object(usage, "control_groups", return_value=[])
        patched.start()
        self.addCleanup(patched.stop)


@unittest.skipIf((probe := usage.made_group(f"postern-peers-probe-{os.getpid()}")) is None, "no control group can be made here")
class ByControlGroup(Family, unittest.TestCase):
    counted = "control group"


if probe:
    probe.rmdir()
