"""Memory for a message in flight does not grow with the message: many large ones come and go at once.

POSTERN_LARGE=20, with a release build, is the full form of what is here."""

import base64
import os
import random
import time
import unittest

from gateway.base import GatewayCase
from support.process import at_once, forget_peak, peak, resident

FULL = "POSTERN_LARGE" in os.environ
LARGE = int(os.environ.get("POSTERN_LARGE", "5"))
READERS = 10 if FULL else 4
MB = 1_000_000
MIB = 1 << 20

# What a transfer may hold: the store's chunk in several stages, the session's buffers, TLS.
OF_ONE = 3 * MIB
# What the trees of all messages may have together, twice the message for each, and what guests have beside them.
TREES = 512 * MIB
GUESTS = 64 * MIB

HEAD = (b"From: <sender@example.net>\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: application/octet-stream; name=noise.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n")
TAIL = b"--b--\r\n"
# A megabyte that compresses no better than base64 of noise does.
NOISE = base64.encodebytes(random.Random(1).randbytes(750_000)).replace(b"\n", b"\r\n")


def message(octets):
    body = NOISE * (octets // len(NOISE) + 1)
    end = (octets - len(HEAD) - len(TAIL)) // 78 * 78
    return HEAD + body[:end] + TAIL


SMALL, BIG = message(5 * MB), message(50 * MB)
TEXT = b"Subject: long\r\n\r\n" + NOISE * 49


class LargeCase(GatewayCase):
    def send(self, number, content):
        """Every second one by BDAT."""
        with self.mx(timeout=300) as client:
            client.envelope("sender@example.net", ["ann@example.org"], f" SIZE={len(content)}")
            return client.data(content) if number % 2 else client.bdat(content, chunk=MIB)

    def peak_of(self, what, count, work):
        """The most memory while `count` threads do their work, above what was there before them."""
        pid = self.gateway.process.pid
        before = resident(pid)
        forget_peak(pid)
        begun = time.monotonic()
        results = at_once(work, count)
        most = peak(pid)
        print(f"\n{what}: {before / MIB:.0f} MiB before, {most / MIB:.0f} at most, {resident(pid) / MIB:.0f} after,"
              f" {time.monotonic() - begun:.1f} s")
        return most, most - before, results

    def deliver(self, count, content):
        what = f"{count} messages of {len(content) / MB:.0f} MB at once"
        most, more, results = self.peak_of(what, count, lambda number: self.send(number, content))
        self.assertEqual({code for code, _ in results}, {250}, results)
        return most, more


class Large(LargeCase):
    def test_ten_times_the_size_needs_no_more_memory_to_be_taken(self):
        # The engine's own buffers (memtables, cache) are full before anything is compared.
        self.deliver(1, BIG)
        self.deliver(2, BIG)
        small, _ = self.deliver(LARGE, SMALL)
        big, _ = self.deliver(LARGE, BIG)
        self.assertLess(big, small + LARGE * OF_ONE)

    def test_ten_times_the_size_needs_no_more_memory_to_be_read(self):
        readers = [f"reader{number}@example.org" for number in range(READERS)]
        for reader in readers:
            self.gateway.add_user(reader, "correct horse battery")
        for content in (SMALL, BIG):
            with self.mx() as client:
                self.accept(client, content, readers)
        # Logins are over before: a password's hash needs memory of its own.
        sessions = [self.pop(reader, utf8=True) for reader in readers]
        sizes = sessions[0].listing()

        def retrieve(message):
            what = f"{READERS} RETR of {sizes[message] / MB:.0f} MB at once"
            most, _, lengths = self.peak_of(what, READERS, lambda number: len(sessions[number].retrieve(message)))
            self.assertEqual(set(lengths), {sizes[message]})
            return most

        # Fills the engine's cache.
        sessions[0].retrieve(2)
        small = retrieve(1)
        self.assertLess(retrieve(2), small + READERS * OF_ONE)
        for session in sessions:
            session.quit()


class LargeBesidePolicies(LargeCase):
    """The set that `make run` begins with, as far as it looks into messages."""

    def prepare(self):
        # The full form keeps to what is shipped; here the machine may be busy with much else, and guests stand back.
        self.install("block-attachments", 20, "" if FULL else "limits: { deadline: 60s }\n")
        self.install("tag-subject", 30)

    def test_trees_of_messages_are_bounded_together_and_all_are_accepted(self):
        # A debug build takes seconds to decode an attachment; text needs no decoding, and half of the room.
        content, room = (BIG, TREES) if FULL else (TEXT, TREES // 2)
        count = LARGE if FULL else 2 * LARGE
        # The engine's own buffers are full before anything is compared.
        self.deliver(2, content)
        _, more = self.deliver(count, content)
        bound = room + GUESTS + count * OF_ONE
        self.assertLess(bound, count * len(content), "the bound says something")
        self.assertLess(more, bound)


if __name__ == "__main__":
    unittest.main()
