"""Policies that come, change, break, go back, run in shadow and as canary under mail at a fixed rate.

`POSTERN_CHURN` is how many changes are made, `POSTERN_RATE` how many messages are sent a second: each in a session of
its own that begins when it is due, whatever became of those before. Its time counts from then on.
"""

import itertools
import os
import queue
import sys
import threading
import time

from gateway.test_watching import DELIVERED, NAME, Watched, component, settings

CHANGES = int(os.environ.get("POSTERN_CHURN", "24"))
RATE = float(os.environ.get("POSTERN_RATE", "20"))
CLIENTS = 16
CANDIDATE = f"{NAME}.candidate"


class Paced:
    """Sends at the rate. An answer is right if it was expected at some time of its session."""

    def __init__(self, case):
        self.case = case
        self.expected = [(time.monotonic(), frozenset([case.first]))]
        self.due = queue.Queue()
        self.took = []
        self.wrong = []
        self.sent = threading.Condition()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._pace)]
        self.threads += [threading.Thread(target=self._send) for _ in range(CLIENTS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def _pace(self):
        begun = time.monotonic()
        number = 0
        while not self.over.wait(max(0, begun + number / RATE - time.monotonic())):
            self.due.put(begun + number / RATE)
            number += 1
        for _ in range(CLIENTS):
            self.due.put(None)

    def _send(self):
        while (due := self.due.get()) is not None:
            begun = time.monotonic()
            try:
                answer = self.case.answer()
            except Exception as error:  # The test says what its sender died of.
                answer = repr(error)
            ended = time.monotonic()
            right = self.right(begun, ended)
            with self.sent:
                self.took.append((ended - due) * 1000)
                if answer not in right:
                    self.wrong.append((answer, sorted(right)))
                self.sent.notify_all()

    def right(self, begun, ended):
        """What was expected at some time between."""
        known = list(self.expected)
        ends = [since for since, _ in known[1:]] + [ended]
        return frozenset().union(*(answers for (since, answers), until in zip(known, ends)
                                   if since <= ended and until >= begun))

    def expects(self, *answers):
        """From now on these, and no others."""
        self.expected.append((time.monotonic(), frozenset(answers)))

    def some(self, count=3):
        """Waits for as many answers; gives their times."""
        with self.sent:
            since = len(self.took)
            arrived = self.sent.wait_for(lambda: len(self.took) >= since + count or self.wrong, 60 + 5 * count / RATE)
            took = self.took[since:]
        self.case.assertEqual(self.wrong, [])
        self.case.assertTrue(arrived, "the sender stands still")
        return took

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def percentile(took, share):
    return sorted(took)[min(len(took) - 1, int(len(took) * share))]


class Churn(Watched):
    sending = Paced

    def setUp(self):
        super().setUp()
        self.now = [DELIVERED]
        self.changes = 0
        self.marks = itertools.count()

    def change(self, line, deeds, *answers):
        """Does it and waits for the log to say so; from then on these are the answers."""
        self.sender.expects(*self.now, *answers)
        since = len(self.gateway.log)
        for path, content in deeds:
            self.place(path, content) if content is not None else path.unlink()
        self.gateway.logged(line, since)
        self.sender.expects(*answers)
        self.now = list(answers)
        self.changes += 1
        self.sender.some()

    def fresh(self):
        """The policy in octets that were not seen before."""
        return component(f"mark {next(self.marks)}".encode())

    def candidate(self, extension):
        return self.gateway.plugins / f"{CANDIDATE}.{extension}"

    def round(self):
        wasm, yaml = self.path("wasm"), self.path("yaml")
        beside, beside_yaml = self.candidate("wasm"), self.candidate("yaml")
        mode = b"mode: { canary: 30, drift: 100, calls: 10000, p99: 30s }\n"
        good = self.fresh()
        self.change("swapped .*added=", [(yaml, settings("one")), (wasm, good)], "one")
        self.change("swapped .*replaced=", [(yaml, settings("two"))], "two")
        good = self.fresh()
        self.change("swapped .*replaced=", [(wasm, good)], "two")
        self.change("earlier version serves on", [(wasm, good[:50_000])], "two")
        self.change("right again, as it was", [(wasm, good)], "two")
        self.change("swapped .*added=", [(beside_yaml, settings("three")), (beside, self.fresh())], "two")
        self.change("swapped .*replaced=", [(beside_yaml, mode + settings("three"))], "two", "three")
        drifting = b"mode: { canary: 60, calls: 10, p99: 30s }\nsettings: { names: [], kinds: [] }\n"
        self.sender.expects(*self.now, DELIVERED)
        self.now.append(DELIVERED)
        self.change("a canary falls back: ", [(beside_yaml, drifting)], "two")
        self.change("swapped .*replaced=", [(beside_yaml, mode + settings("three"))], "two", "three")
        self.promote()
        self.change("swapped .*removed=", [(wasm, None)], DELIVERED)

    def promote(self):
        """The candidate takes the place of what it was beside; its settings say nothing of a mode."""
        self.change("swapped .*replaced=", [(self.candidate("yaml"), settings("three"))], "two")
        self.sender.expects("two", "three")
        self.now = ["two", "three"]
        since = len(self.gateway.log)
        self.candidate("yaml").rename(self.path("yaml"))
        self.candidate("wasm").rename(self.path("wasm"))
        self.gateway.logged("swapped .*removed=", since)
        self.sender.expects("three")
        self.now = ["three"]
        self.changes += 1
        self.sender.some()

    def test_no_message_is_lost_doubled_or_answered_by_another_set_while_policies_change(self):
        quiet = self.sender.some(max(3, CHANGES))
        since = len(self.sender.took)
        while self.changes < CHANGES:
            self.round()
        changing = self.sender.took[since:]
        self.nothing_is_lost_or_doubled()
        sys.stderr.write(
            f"\n{self.changes} changes under {RATE:g} messages/s, {len(changing)} messages: "
            f"p50 {percentile(changing, .5):.1f} ms, p99 {percentile(changing, .99):.1f} ms, most {max(changing):.1f} ms; "
            f"quiet, {len(quiet)} messages: p50 {percentile(quiet, .5):.1f} ms, p99 {percentile(quiet, .99):.1f} ms, "
            f"most {max(quiet):.1f} ms\n")
