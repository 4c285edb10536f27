"""The load generator against a real gateway: what it counts is what the gateway has."""

import json
import os
import subprocess

from gateway.base import PASSWORD, GatewayCase

LOAD = os.environ.get("POSTERN_LOAD", "target/debug/load")


class Load(GatewayCase):
    users = tuple(f"user{nth}@example.org" for nth in range(4))
    to = ("--to", "user{0..3}@example.org")

    def load(self, *arguments, code=0):
        words = [LOAD, *(str(word) for word in arguments), "--json", "--pid", str(self.gateway.process.pid)]
        done = subprocess.run(words, text=True, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)

    def at(self, name, host="127.0.0.1"):
        return f"{host}:{self.gateway.ports[name]}"

    def secured(self):
        return "--tls", "starttls", "--ca", self.gateway.certificate

    def read_back(self):
        return "--read-back", self.at("pop3s"), PASSWORD, "--read-back-tls", "implicit"

    def is_whole(self, outcome):
        self.assertEqual((outcome["lost"], outcome["doubled"], outcome["altered"]), (0, 0, 0))
        self.assertEqual(outcome["failures"], {})

    def test_what_is_sent_by_smtp_over_tls_is_there_once_and_whole(self):
        outcome = self.load("smtp", self.at("mx", "localhost"), *self.secured(), *self.to, "--choose", "zipf",
                            "--size", "lognormal", "--connections", 4, "--rate", 60, "--seconds", 2,
                            "--read-back", self.at("pop3s", "localhost"), PASSWORD, "--read-back-tls", "implicit")
        self.is_whole(outcome)
        self.assertEqual(outcome["messages"], 120)
        self.assertEqual(outcome["acknowledged"], 120)
        self.assertGreater(outcome["sent"], outcome["octets"])
        self.assertGreater(outcome["cpu_s"]["generator"], 0)
        self.assertIn("server", outcome["written"])

    def test_a_certificate_of_another_is_refused(self):
        other = self.gateway.folder / "other.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1",
                        "-keyout", self.gateway.folder / "other.key", "-out", other], check=True, capture_output=True)
        outcome = self.load("smtp", self.at("mx", "localhost"), "--tls", "starttls", "--ca", other, *self.to,
                            "--connections", 1, "--rate", 2, "--seconds", 1)
        self.assertEqual(outcome["messages"], 0)
        self.assertTrue(any("certificate" in told for told in outcome["failures"]), outcome["failures"])

    def test_what_is_sent_by_lmtp_over_fresh_connections_is_there_once_and_whole(self):
        outcome = self.load("lmtp", self.at("lmtp"), *self.to, "--messages-per-connection", 2, "--connections", 2,
                            "--rate", 30, "--seconds", 1, *self.read_back())
        self.is_whole(outcome)
        self.assertEqual(outcome["acknowledged"], 30)

    def test_a_refusal_is_told_with_its_text_and_may_be_expected(self):
        words = ("smtp", self.at("mx"), "--to", "user0@example.org,nobody@example.org", "--connections", 1,
                 "--rate", 10, "--seconds", 1)
        unexpected = self.load(*words)
        self.assertEqual(unexpected["messages"], 5)
        [(told, times)] = unexpected["failures"].items()
        self.assertTrue(told.startswith("550 5.1.1 "), told)
        self.assertEqual(times, 5)
        expected = self.load(*words, "--expect", "550")
        self.assertEqual((expected["failed"], sum(expected["expected"].values())), (0, 5))

    def test_a_message_that_is_taken_away_is_reported_as_lost(self):
        words = [LOAD, "smtp", self.at("mx"), *self.to, "--connections", "2", "--rate", "10", "--seconds", "4", *self.read_back()]
        with subprocess.Popen([*words, "--json"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sending:
            taken = 0
            while not taken:
                pop = self.pop("user0@example.org")
                taken = len(pop.listing())
                for number in range(1, taken + 1):
                    pop.command(f"DELE {number}")
                pop.quit()
            told, fault = sending.communicate(timeout=120)
        self.assertEqual(sending.returncode, 1, fault)
        self.assertIn(f"{taken} lost, 0 doubled, 0 altered", fault)
        outcome = json.loads(told)
        self.assertEqual((outcome["acknowledged"], outcome["lost"]), (40, taken))

    def test_what_readers_delete_under_mail_is_accounted_for(self):
        outcome = self.load("mixed", self.at("mx"), self.at("pop3"), "--pop3-tls", "starttls", *self.to, "--password", PASSWORD,
                            "--connections", 4, "--rate", 60, "--seconds", 3, "--readers", 2, "--read", 100, "--delete", 70)
        self.is_whole(outcome)
        self.assertEqual(outcome["acknowledged"], 180)
        self.assertGreater(outcome["deleted"], 0)
        self.assertEqual(outcome["readers"]["failures"], {})

    def test_postal_by_its_command_line(self):
        users = self.gateway.folder / "users"
        users.write_text("".join(f"{user} {PASSWORD}\n" for user in self.users))
        sent = self.load("postal", "-M1", "-m8", "-t2", "-c3", "-r1200", f"[127.0.0.1]{self.gateway.ports['mx']}", users,
                         "--seconds", 2)
        self.assertEqual(sent["failures"], {})
        # At most: what a busy machine misses is not made up for.
        self.assertIn(sent["messages"], range(1, 42))
        self.assertTrue(1024 < sent["octets"] / sent["messages"] < 9 * 1024, sent)

    def test_idle_sessions_are_held_and_live(self):
        for name, words in (("mx", ()), ("pop3s", ("--protocol", "pop3", "--tls", "implicit"))):
            outcome = self.load("idle", self.at(name), *words, "--sessions", 50, "--seconds", 1)
            self.assertEqual((outcome["sessions"], outcome["alive"], outcome["failures"]), (50, 50, {}))
            self.assertGreater(outcome["memory"]["rss_with_kib"], 0)
