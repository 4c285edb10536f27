"""What may go wrong around a gateway: kill -9, clients that vanish or dawdle, thousands of idle ones."""

import os
import random
import re
import resource
import signal
import socket
import struct
import threading
import time
import unittest
import urllib.request

from gateway.base import GatewayCase, PASSWORD
from support.mail import Lines, Smtp, trusting
from support.process import resident

KILLS = int(os.environ.get("POSTERN_KILLS", "5"))
IDLE = int(os.environ.get("POSTERN_IDLE", "1000"))
# A TLS session keeps the keys of both directions and rustls's state; one in clear far less.
MOST_IDLE_KIB = 64


def message(token):
    return (f"From: <s@example.net>\r\nSubject: {token}\r\n\r\n" + "x" * random.randint(0, 9000) + "\r\n").encode()


class Killed(GatewayCase):
    def test_what_got_its_250_survives_kill_9_and_what_was_deleted_stays_deleted(self):
        acknowledged, lock = set(), threading.Lock()
        for round_ in range(KILLS):
            stop = threading.Event()

            def deliver(worker):
                count = 0
                try:
                    with Smtp(self.gateway.ports["mx"]) as client:
                        while not stop.is_set():
                            token = f"{round_}-{worker}-{count}"
                            client.envelope("s@example.net", ["ann@example.org"])
                            if client.data(message(token))[0] == 250:
                                with lock:
                                    acknowledged.add(token)
                            count += 1
                except (OSError, EOFError, ValueError):
                    pass

            threads = [threading.Thread(target=deliver, args=(worker,)) for worker in range(8)]
            for thread in threads:
                thread.start()
            target = len(acknowledged) + random.randint(40, 120)
            while len(acknowledged) < target and any(thread.is_alive() for thread in threads):
                threads[0].join(0.01)
            self.gateway.kill(signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join()
            self.gateway.start()
            pop = self.pop()
            texts = [pop.multiline(f"TOP {number} 0").decode() for number in pop.listing()]
            found = [re.search(r"^Subject: (\S+)", text, re.M).group(1) for text in texts]
            self.assertEqual(set(), acknowledged - set(found), "acknowledged mail is lost")
            self.assertEqual(len(found), len(set(found)), "mail came twice")
            doomed = random.sample(range(1, len(found) + 1), len(found) // 2)
            for number in doomed:
                pop.command(f"DELE {number}")
            pop.quit()
            gone = {found[number - 1] for number in doomed}
            acknowledged -= gone
            self.gateway.kill(signal.SIGKILL)
            self.gateway.start()
            pop = self.pop()
            left = {re.search(r"Subject: (\S+)", pop.multiline(f"TOP {n} 0").decode()).group(1) for n in pop.listing()}
            self.assertEqual(set(), left & gone, "deleted mail came back")
            self.assertEqual(set(), acknowledged - left)
            pop.quit()
        report = self.gateway.postern("store", "check", check=False)
        self.gateway.stop()
        report = self.gateway.postern("store", "check")
        self.assertEqual(report.returncode, 0, report.stdout + report.stderr)
        print(f"\nkill -9: {2 * KILLS} kills, {len(acknowledged)} acknowledged messages left, none lost")


class Clients(GatewayCase):
    def test_a_client_that_vanishes_in_data_leaves_nothing_and_blocks_nobody(self):
        for size in (100, 3 << 20, 20 << 20):
            self.vanish_in_data(size)
        with self.mx() as client:
            self.accept(client, b"Subject: whole\r\n\r\nx\r\n")
        pop = self.pop()
        self.assertEqual(len(pop.listing()), 1)
        pop.quit()
        # Only the message that was sent whole is left, and nobody's session or octets are counted any more.
        self.comes_to("arriving", 0, self.checked)
        self.assertEqual([self.checked(what) for what in ("bodies", "entries")], [1, 1])
        self.comes_to("postern_in_flight_bytes", 0, self.measured)
        self.comes_to("postern_sessions", 0, self.measured)

    def vanish_in_data(self, size):
        client = self.mx()
        client.envelope("s@example.net", ["ann@example.org"])
        client.command("DATA")
        client.send(b"Subject: half\r\n\r\n" + b"x" * 62 + b"\r\n" + (b"y" * 62 + b"\r\n") * (size // 64))
        if size > 4 << 20:
            # Chunks of it are in the store when it goes.
            self.comes_to("arriving", 1, self.checked)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def checked(self, what):
        report = self.gateway.postern("store", "check")
        return int(re.search(rf"(\d+) {what}", report.stdout + report.stderr).group(1))

    def measured(self, gauge):
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.gateway.ports['admin']}/metrics").read().decode()
        return float(re.search(rf"^{gauge} (\S+)", page, re.M).group(1))

    def comes_to(self, what, expected, ask):
        """Waits until it is so."""
        for _ in range(400):
            found = ask(what)
            if found == expected:
                return
            threading.Event().wait(0.02)
        self.fail(f"{what} is {found}, not {expected}")

    def test_a_slow_client_costs_others_nothing(self):
        slow = self.mx()
        slow.envelope("s@example.net", ["ann@example.org"])
        slow.command("DATA")
        slow.send(b"Subject: slow\r\n\r\n")
        latencies = []
        with self.mx() as client:
            for count in range(50):
                slow.send(b"z")
                start = time.monotonic()
                self.accept(client, b"Subject: quick\r\n\r\nx\r\n", ["bob@example.org"])
                latencies.append(time.monotonic() - start)
        slow.send(b"\r\n.\r\n")
        self.assertEqual(slow.reply()[0], 250)
        slow.close()
        print(f"\nbeside a slow client: median 250 after {1000 * sorted(latencies)[25]:.1f} ms")

    def test_a_vanished_pop3_client_does_not_hold_its_maildrop(self):
        first = self.pop()
        with self.assertRaisesRegex(AssertionError, "IN-USE"):
            self.pop()
        first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        for _ in range(200):
            try:
                self.pop().quit()
                return
            except AssertionError:
                threading.Event().wait(0.05)
        self.fail("the maildrop stayed locked")


class Idle(GatewayCase):
    def held(self, what, connect, command, expected):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 2000), hard))
        # What the first session of its kind needs for all of them.
        connect().close()
        pid = self.gateway.process.pid
        before = resident(pid)
        clients = [connect() for _ in range(IDLE)]
        each = (resident(pid) - before) / IDLE / 1024
        print(f"\nidle: {IDLE} sessions, {what}: {each:.1f} KiB each")
        self.assertLess(each, MOST_IDLE_KIB)
        with self.mx() as client:
            self.accept(client, b"Subject: among many\r\n\r\nx\r\n")
        for client in clients:
            client.send(command + "\r\n")
        self.assertEqual({client.line()[:3] for client in clients}, {expected})
        for client in clients:
            client.close()

    def test_thousands_of_idle_sessions_in_clear_are_held_and_others_served(self):
        self.held("SMTP in clear", self.mx, "NOOP", b"250")

    def test_thousands_of_idle_smtp_sessions_over_tls_are_held_and_others_served(self):
        port, context = self.gateway.ports["submissions"], trusting(self.gateway.certificate)
        self.held("SMTP over TLS", lambda: Smtp(port, context=context), "NOOP", b"250")

    def test_thousands_of_idle_pop3_sessions_over_tls_are_held_and_others_served(self):
        port, context = self.gateway.ports["pop3s"], trusting(self.gateway.certificate)

        def connect():
            client = Lines(port, context=context)
            self.assertTrue(client.line().startswith(b"+OK"))
            return client

        # NOOP wants a login; that it is refused shows that the session lives.
        self.held("POP3 over TLS", connect, "NOOP", b"-ER")


class Stalled(GatewayCase):
    extra = "limits: { pop3_idle: 3s, transfer: 10s, sessions: 4 }\n"

    def loses_its_maildrop(self, client):
        """The next login succeeds although this client never closed."""
        for _ in range(600):
            try:
                self.pop().quit()
                return client
            except AssertionError:
                threading.Event().wait(0.05)
        self.fail("the maildrop stayed locked")

    def test_a_reader_that_takes_nothing_more_loses_its_maildrop_and_its_session(self):
        with self.mx() as client:
            self.accept(client, b"Subject: long\r\n\r\n" + (b"y" * 62 + b"\r\n") * (40 << 14))
        stalled = self.pop()
        stalled.send("RETR 1\r\n")
        stalled.ok()
        with self.assertRaisesRegex(AssertionError, "IN-USE"):
            self.pop()
        begun = time.monotonic()
        self.loses_its_maildrop(stalled)
        self.assertLess(time.monotonic() - begun, 10, "limits.pop3_idle ended it, not limits.transfer")
        others = [self.mx() for _ in range(4)]
        self.assertEqual({other.greeting[0] for other in others}, {220}, "no session is held for it any more")
        stalled.close()
        for other in others:
            other.close()

    def test_a_reader_that_takes_a_little_at_a_time_is_ended_by_the_limit_of_a_transfer(self):
        with self.mx() as client:
            self.accept(client, b"Subject: long\r\n\r\n" + (b"y" * 62 + b"\r\n") * (40 << 14))
        slow = self.pop()
        slow.send("RETR 1\r\n")
        slow.ok()
        begun, taken = time.monotonic(), 0
        with self.assertRaises((EOFError, OSError)):
            while time.monotonic() - begun < 40:
                taken += len(slow.file.read(256 << 10) or slow.line())
                threading.Event().wait(0.5)
        self.assertGreater(time.monotonic() - begun, 3, "it was not silent for limits.pop3_idle")
        self.loses_its_maildrop(slow).close()


class Drained(GatewayCase):
    def test_a_transfer_that_runs_at_sigterm_is_finished(self):
        client = self.mx()
        idle = self.mx()
        client.envelope("s@example.net", ["ann@example.org"])
        client.command("DATA")
        client.send(b"Subject: late\r\n\r\n")
        self.gateway.process.send_signal(signal.SIGTERM)
        self.assertEqual(idle.reply()[0], 421)
        client.send(b"x\r\n.\r\n")
        self.assertEqual(client.reply()[0], 250)
        client.close()
        self.assertEqual(self.gateway.process.wait(60), 0)
        self.gateway.start()
        pop = self.pop()
        self.assertEqual(len(pop.listing()), 1)
        pop.quit()

    def test_health_readiness_and_metrics_are_served(self):
        base = f"http://127.0.0.1:{self.gateway.ports['admin']}"
        for path in ("/healthz", "/readyz"):
            self.assertEqual(urllib.request.urlopen(base + path).status, 200)
        with self.mx() as client:
            self.accept(client, b"Subject: counted\r\n\r\nx\r\n")
        metrics = urllib.request.urlopen(base + "/metrics").read().decode()
        self.assertIn("postern_", metrics)
        self.assertNotIn(PASSWORD, metrics)


if __name__ == "__main__":
    unittest.main()
