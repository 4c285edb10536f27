"""How mail is waited for, and the messages that fill a maildrop."""

import unittest

from peers import cases


class World:
    """Mail becomes visible at a steady rate from the beginning on; each look takes a moment."""

    def __init__(self, total, rate, look_takes=0.01):
        self.now, self.total, self.rate, self.look_takes = 0.0, total, rate, look_takes

    def look(self):
        self.now += self.look_takes
        return min(self.total, int(self.now * self.rate))

    def sleep(self, seconds):
        self.now += seconds

    def wait(self, total):
        return cases.until_visible(self.look, total, clock=lambda: self.now, sleep=self.sleep)


class Waiting(unittest.TestCase):
    def test_what_is_there_is_seen_at_the_first_look(self):
        world = World(500, rate=1e9)
        self.assertEqual(world.wait(500), 1)

    def test_few_looks_find_the_end_soon_after_it(self):
        world = World(5000, rate=500)
        self.assertLessEqual(world.wait(5000), 12)
        self.assertGreaterEqual(world.now, 10)
        self.assertLess(world.now, 10 + 2 * (cases.SHORTEST + world.look_takes))

    def test_mail_that_never_comes_is_said(self):
        world = World(10, rate=100)
        with self.assertRaisesRegex(TimeoutError, "10 of 11 messages are visible"):
            world.wait(11)
        self.assertGreater(world.now, cases.PATIENCE)


class Messages(unittest.TestCase):
    def test_they_have_their_size_to_the_octet_and_no_bare_line_end(self):
        for number in (0, 7, 999):
            for size in range(4000, 4100):
                text = cases.message(number, size)
                self.assertEqual(len(text), size)
                self.assertEqual(text.count(b"\n"), text.count(b"\r\n"))
                self.assertTrue(text.endswith(b"\r\n"))
