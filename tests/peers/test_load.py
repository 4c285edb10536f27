"""What the load generator is asked, and how its answers are read."""

import json
import tempfile
import unittest
from pathlib import Path

from peers.load import Failed, Load, outcome

SAID = {"turns": 30, "messages": 960, "seconds": 2.0, "rate": 15.0, "p50_ms": 1.0, "p99_ms": 2.0, "failed": 3,
        "failures": {"451 no": 3}, "machine": {}}


class Answers(unittest.TestCase):
    def test_turns_or_messages_are_counted(self):
        self.assertEqual(outcome(json.dumps(SAID)), {"count": 30, "seconds": 2.0, "rate": 15.0, "p50_ms": 1.0, "p99_ms": 2.0,
                                                     "failed": 3, "failures": {"451 no": 3}})
        self.assertEqual(outcome(json.dumps(SAID), "messages")["rate"], 480.0)

    def test_what_cannot_be_read_is_named(self):
        for text in ("", "rate 3", "[]", "{}", json.dumps(SAID | {"seconds": 0})):
            with self.assertRaisesRegex(Failed, "the load generator answered"):
                outcome(text)


class Asking(unittest.TestCase):
    def asked(self, ask, code=0):
        """What a generator of one line would be told."""
        with tempfile.TemporaryDirectory() as folder:
            told, binary = Path(folder, "told"), Path(folder, "load")
            binary.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {told}\necho '{json.dumps(SAID)}'\necho why >&2\nexit {code}\n")
            binary.chmod(0o755)
            ask(Load(binary))
            return told.read_text().splitlines()

    def test_mail_has_its_recipients_connections_size_and_time(self):
        told = self.asked(lambda load: load.lmtp(2424, ["a@x", "b@x"], 16, 5, 4096))
        self.assertEqual(told, ["lmtp", "127.0.0.1:2424", "--connections", "16", "--seconds", "5", "--json", "--to", "a@x,b@x",
                                "--size", "4096"])

    def test_each_login_has_a_user_of_its_own(self):
        told = self.asked(lambda load: load.log_in(2110, ["a@x", "b@x", "c@x"], 5))
        self.assertEqual(told[:4], ["pop3", "127.0.0.1:2110", "--connections", "3"])
        self.assertIn("a@x,b@x,c@x", told)
        self.assertIn("correct horse battery", told)

    def test_reading_is_one_session_that_is_kept(self):
        told = self.asked(lambda load: load.retrieve(2110, "a@x", 5, 32))
        self.assertEqual((told[3], told[-3:]), ("1", ["--kept", "--at-once", "32"]))

    def test_a_bad_end_is_said_with_its_reason(self):
        with self.assertRaisesRegex(Failed, "smtp: the load generator ended with 2: why"):
            self.asked(lambda load: load.smtp(25, ["a@x"], 1, 1, 100), code=2)
