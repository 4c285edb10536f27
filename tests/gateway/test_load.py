"""The load generator against a real gateway: what it counts is what the gateway has."""

import json
import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

import peers.load
from gateway.base import GUESTS, PASSWORD, POSTERN, GatewayCase

LOAD = os.environ.get("POSTERN_LOAD", "target/debug/load")


class Load(GatewayCase):
    users = tuple(f"user{nth}@example.org" for nth in range(4))
    to = ("--to", "user{0..3}@example.org")

    prefix = ()

    def fault(self, *arguments):
        words = [*self.prefix, LOAD, *(str(word) for word in arguments)]
        done = subprocess.run(words, text=True, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def load(self, *arguments, code=0):
        words = [*self.prefix, LOAD, *(str(word) for word in arguments), "--json", "--pid", str(self.gateway.process.pid)]
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
        # The server's is for both, which is no share of a delivery.
        self.assertNotIn("cpu_ms", outcome)
        self.assertGreater(outcome["cpu_s"]["server"], 0)

    def test_peers_ask_what_it_knows_and_read_what_it_answers(self):
        load, ports = peers.load.Load(LOAD), self.gateway.ports
        for mode in ("smtp", "lmtp"):
            sent = getattr(load, mode)(ports["lmtp" if mode == "lmtp" else "mx"], self.users, 2, 1, 4096)
            self.assertGreater(sent["count"], 0)
            self.assertEqual(sent["failures"], {})
        # Where no password is taken in clear.
        for read in (load.retrieve(ports["pop3"], self.users[0], 1, 4), load.log_in(ports["pop3"], self.users, 1)):
            self.assertEqual((read["count"], read["failed"]), (0, sum(read["failures"].values())))
            self.assertGreater(read["failed"], 0)

    def test_connections_have_the_files_that_they_need(self):
        self.prefix = ("prlimit", "--nofile=40:400")
        outcome = self.load("smtp", self.at("mx"), *self.to, "--connections", 30, "--rate", 60, "--seconds", 1)
        self.assertEqual((outcome["messages"], outcome["failures"]), (60, {}))
        outcome = self.load("mixed", self.at("mx"), self.at("pop3"), "--pop3-tls", "starttls", *self.to, "--password", PASSWORD,
                            "--connections", 30, "--rate", 60, "--seconds", 1)
        self.assertEqual((outcome["messages"], outcome["failures"]), (60, {}))
        self.prefix = ("prlimit", "--nofile=40:100")
        fault = self.fault("smtp", self.at("mx"), *self.to, "--connections", 30)
        self.assertIn("30 connections need 124 open files and 100 are allowed", fault)

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


class Bench(unittest.TestCase):
    """`load bench`, which starts gateways of its own."""

    def setUp(self):
        own = tempfile.TemporaryDirectory()
        self.addCleanup(own.cleanup)
        self.folder = Path(own.name)

    def words(self, part, *words):
        runs = self.folder / "runs.jsonl"
        return [LOAD, "bench", part, "--postern", POSTERN, "--runs", str(runs), "--rounds", "1", *words]

    def policy(self, settings):
        path = self.folder / "policy.yaml"
        path.write_text(settings)
        return "--policy", str(Path(GUESTS) / "tag_subject.wasm"), str(path)

    def test_ctrl_c_leaves_no_process_and_no_folder(self):
        # While a ceiling keeps a thread busy, and while a gateway is under load.
        for part, trial in (("deliveries", "deliveries/64/append#1"), ("connections", "connections/1/gateway#1")):
            for ending in (signal.SIGINT, signal.SIGTERM):
                words = self.words(part, "--seconds", "100")
                with subprocess.Popen(words, text=True, stderr=subprocess.PIPE) as bench:
                    self.assertIn(trial + "\n", iter(bench.stderr.readline, ""))
                    [gateway] = Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()
                    # To it alone: a terminal would end the gateway as well.
                    bench.send_signal(ending)
                    fault = bench.communicate(timeout=60)[1]
                self.assertEqual(bench.returncode, 1, fault)
                self.assertIn("what was measured is kept", fault)
                self.assertFalse(Path("/proc", gateway).exists())
                self.assertEqual(os.listdir(self.folder), ["runs.jsonl"])

    def test_copies_of_a_policy_all_do_their_work(self):
        done = subprocess.run(self.words("policies", "--seconds", "1", *self.policy("")), text=True, capture_output=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        runs = [json.loads(line) for line in (self.folder / "runs.jsonl").read_text().splitlines()]
        self.assertEqual([run["policies"] for run in runs], [0, 1, 2, 3, 5, 10])
        self.assertEqual([run["failed"] for run in runs], [0] * len(runs))

    def test_a_policy_that_is_refused_ends_a_bench(self):
        words = self.words("soak", "--seconds", "1", "--soak", "0.01", *self.policy("settings: { rulez: 1 }\n"))
        done = subprocess.run(words, text=True, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("load: 0 of 1 policies were loaded: ", done.stderr)
        self.assertIn("unknown field `rulez`", done.stderr)
