"""Memory for a message in flight does not grow with the message: many large ones come and go at once."""

import os
import threading
import time
import unittest

from gateway.base import PASSWORD, GatewayCase
from support.process import forget_peak, peak, resident

# POSTERN_LARGE=20 is the full form.
LARGE = int(os.environ.get("POSTERN_LARGE", "5"))
MEGABYTE = 1_000_000
MIB = 1 << 20
LINE = b"0123456789abcdef" * 4 + b"\r\n"
HEAD = b"From: <sender@example.net>\r\nSubject: large\r\n\r\n"


def message(octets):
    text = LINE * ((octets - len(HEAD)) // len(LINE))
    return HEAD + text


def at_once(work, count):
    """Runs `work(number)` in as many threads; answers what each returned."""
    results = [None] * count

    def run(number):
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Large(GatewayCase):
    def send(self, number, content):
        with self.mx(timeout=300) as client:
            client.envelope("sender@example.net", ["ann@example.org"], f" SIZE={len(content)}")
            return client.data(content) if number % 2 else client.bdat(content, chunk=MIB)

    def costs(self, what, work, count):
        pid = self.gateway.process.pid
        forget_peak(pid)
        begun = time.monotonic()
        results = at_once(work, count)
        print(f"\n{what}: peak {peak(pid) / MIB:.0f} MiB, then {resident(pid) / MIB:.0f}, {time.monotonic() - begun:.1f} s", results[:3])
        return results, peak(pid)

    def prepare(self):
        if os.environ.get("POL"):
            self.install("block-attachments")
            self.install("tag-subject", 30)

    def test_x(self):
        for size in (5, 50):
            content = message(size * MEGABYTE)
            for count in (1, LARGE):
                self.costs(f"{count} x {size} MB", lambda number: self.send(number, content), count)
        print("".join(line for line in self.gateway.log if "polic" in line))


if __name__ == "__main__":
    unittest.main()
