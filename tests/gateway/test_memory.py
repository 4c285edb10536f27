"""Memory for a message in flight does not grow with the message: many large ones come and go at once.

POSTERN_LARGE=20, with a release build, is the full form of what is here."""

import base64
import os
import random
import time
import unittest

from gateway.base import GatewayCase
from support.process import at_once, forget_peak, peak, resident

LARGE = int(os.environ.get("POSTERN_LARGE", "5"))
# A debug build decodes attachments a tenth as fast; the full form keeps to the usual deadline.
DEADLINE = "" if "POSTERN_LARGE" in os.environ else "limits: { deadline: 60s }\n"
READERS = 10
MB = 1_000_000
MIB = 1 << 20

# What a transfer may hold: the store's chunk in several stages, the session's buffers, TLS.
OF_ONE = 3 * MIB
# What the trees of all messages may have together, and guests and their runtime beside them.
OF_POLICIES = 512 * MIB + 64 * MIB

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
    def test_ten_times_the_size_needs_no_more_memory(self):
        # The engine's own buffers (memtables, cache) are full before anything is compared.
        self.deliver(1, BIG)
        self.deliver(2, BIG)
        small, _ = self.deliver(LARGE, SMALL)
        big, _ = self.deliver(LARGE, BIG)
        self.assertLess(big, small + LARGE * OF_ONE)

    def test_many_readers_of_a_large_message_need_a_chunk_each(self):
        readers = [f"reader{number}@example.org" for number in range(READERS)]
        for reader in readers:
            self.gateway.add_user(reader, "correct horse battery")
        with self.mx() as client:
            self.accept(client, BIG, readers)

        def retrieve(number):
            pop = self.pop(readers[number], utf8=True)
            size = pop.listing()[1]
            length = len(pop.retrieve(1))
            pop.quit()
            return size == length
        _, more, results = self.peak_of(f"{READERS} RETR of 50 MB at once", READERS, retrieve)
        self.assertEqual(results, [True] * READERS)
        self.assertLess(more, READERS * OF_ONE)
        for session in sessions:
            session.quit()


class LargeBesidePolicies(LargeCase):
    """The set that `make run` begins with, as far as it looks into messages."""

    def prepare(self):
        self.install("block-attachments", 20, DEADLINE)
        self.install("tag-subject", 30)

    def test_trees_of_messages_are_bounded_together_and_all_are_accepted(self):
        count = max(LARGE, 8)
        _, more = self.deliver(count, BIG)
        self.assertLess(more, OF_POLICIES + count * OF_ONE)


if __name__ == "__main__":
    unittest.main()
