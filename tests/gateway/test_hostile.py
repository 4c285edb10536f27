"""Guests that spin, hoard or storm on other connections: what a session that has nothing to do with them feels."""

import os
import threading
import time
import unittest

from gateway.base import GatewayCase
from support.mail import Smtp

DEADLINE = 5.0
ATTACKERS = 8
ROUNDS = int(os.environ.get("POSTERN_ROUNDS", "30"))
PLAIN = b"From: <sender@example.net>\r\nSubject: plain\r\n\r\nhello\r\n"


def percentile(sorted_times, per_cent):
    return sorted_times[(len(sorted_times) - 1) * per_cent // 100]


class Beside(GatewayCase):
    """`deed` is what the guest does when a client connects, for as long as it may; the session then goes on without
    it. At every other stage it has no objection, so a delivery on a session that is open is asked about honestly."""

    deed = None

    def prepare(self):
        self.install("hostile", settings=(
            f"settings: {{ do: {self.deed}, at: connect }}\n"
            f"limits: {{ deadline: {DEADLINE:.0f}s }}\nfailure: {{ connect: skip, default: defer }}\n"))

    def attack(self, stop):
        while not stop.is_set():
            Smtp(self.gateway.ports["mx"]).close()

    def measured(self, what):
        """How long a NOOP, a STAT and a whole delivery take; shortest first."""
        times = {"NOOP": [], "STAT": [], "delivery": []}

        def timed(name, work):
            begun = time.monotonic()
            work()
            times[name].append(time.monotonic() - begun)

        for _ in range(ROUNDS):
            timed("NOOP", lambda: self.assertEqual(self.smtp.command("NOOP")[0], 250))
            timed("STAT", lambda: self.pop3.command("STAT"))
            timed("delivery", lambda: self.accept(self.smtp, PLAIN))
        for name, took in times.items():
            took.sort()
            print(f"\n{what}, {name}: p50 {1000 * percentile(took, 50):.1f} ms,"
                  f" p99 {1000 * percentile(took, 99):.1f} ms", end="")
        print()
        return times

    def costs_others_little(self):
        self.smtp, self.pop3 = self.mx(), self.pop("bob@example.org")
        self.measured("alone")
        stop, before = threading.Event(), self.ended_calls()
        attackers = [threading.Thread(target=self.attack, args=(stop,)) for _ in range(ATTACKERS)]
        for attacker in attackers:
            attacker.start()
        try:
            times = self.measured(f"beside {ATTACKERS} guests that {self.deed}")
        finally:
            stop.set()
            for attacker in attackers:
                attacker.join()
        for name in ("NOOP", "STAT"):
            self.assertLess(percentile(times[name], 99), DEADLINE / 10, name)
        self.assertLess(percentile(times["delivery"], 99), DEADLINE / 2)
        self.assertGreaterEqual(self.ended_calls() - before, ATTACKERS, "the guests did what they are for")
        self.smtp.close()
        self.pop3.quit()

    def ended_calls(self):
        return sum("a policy's call failed" in line for line in self.gateway.log)


class Spinning(Beside):
    deed = "loop"

    def test_a_loop_on_other_connections_costs_this_one_little(self):
        self.costs_others_little()


class Hoarding(Beside):
    deed = "grow"

    def test_a_memory_bomb_on_other_connections_costs_this_one_little(self):
        self.costs_others_little()


class Storming(Beside):
    deed = "storm"

    def test_a_storm_of_host_calls_on_other_connections_costs_this_one_little(self):
        self.costs_others_little()


if __name__ == "__main__":
    unittest.main()
