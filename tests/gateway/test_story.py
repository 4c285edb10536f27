"""A filter that is wrong for 5 % of mail: caught by a replay, seen in shadow, stopped as a canary, and explained."""

import json

from gateway.base import GatewayCase
from gateway.test_watching import NAME, component

CANDIDATE = f"{NAME}.candidate"
# Bills are wanted here. Who wrote the new settings did not know.
WRONG = 'settings: { names: ["*.exe", "*.pdf"] }\n'
MAIL = 40
BILLS = MAIL // 20


def message(number):
    """One in twenty has a bill."""
    name = "bill.pdf" if number % 20 == 19 else "notes.txt"
    return (f"From: <bob@shop.example>\r\nSubject: {name} {number}\r\nMIME-Version: 1.0\r\n"
            f"Content-Type: application/octet-stream; name={name}\r\n"
            f"Content-Disposition: attachment; filename={name}\r\n\r\nhello\r\n").encode()


class Story(GatewayCase):
    policy = "settle: 20ms, deadline: 30s"

    def prepare(self):
        self.install("block-attachments", settings="settings: { advice: none }\n")

    def send(self, numbers, sender="bob@shop.example"):
        """Each in a session of its own; answers replies by number."""
        replies = {}
        for number in numbers:
            with self.mx() as client:
                for code, text in client.envelope(sender, ["ann@example.org"]):
                    self.assertEqual(code, 250, text)
                replies[number] = client.data(message(number))
        return replies

    def place(self, extension, content):
        aside = self.gateway.plugins / f".{CANDIDATE}.{extension}"
        aside.write_bytes(content)
        since = len(self.gateway.log)
        aside.rename(self.gateway.plugins / f"{CANDIDATE}.{extension}")
        return since

    def compared(self):
        answer = self.gateway.postern("plugin", "compare", NAME, "--json")
        return {(cell["enforced"], cell["candidate"]): cell["count"] for cell in json.loads(answer.stdout)}

    def test_a_filter_that_is_wrong_for_one_in_twenty_never_decides_for_all(self):
        stored = self.send(range(MAIL))
        self.assertEqual({code for code, _ in stored.values()}, {250})
        self.caught_by_a_replay()
        self.seen_in_shadow()
        refused = self.stopped_as_a_canary()
        self.explained(refused)

    def caught_by_a_replay(self):
        new = self.gateway.folder / "block-attachments.wasm"
        new.write_bytes(component(b"new"))
        manifest = new.with_suffix(".yaml")
        manifest.write_text(WRONG)
        replay = ("plugin", "replay", str(new), "--from", "store", "--against", "active")
        told = self.gateway.postern(*replay, "--max-changed", "1%", "--json", check=False)
        self.assertEqual(told.returncode, 1, told.stderr)
        report = json.loads(told.stdout)
        self.assertEqual((report["messages"], report["changed"]), (MAIL, BILLS))
        [change] = report["changes"]
        self.assertEqual((change["from"], change["to"]), ("accept", "reject"))
        pop = self.pop()
        self.assertEqual(len(pop.listing()), MAIL, "a replay writes nothing")
        pop.quit()

    def seen_in_shadow(self):
        self.place("yaml", WRONG.encode())
        since = self.place("wasm", component(b"new"))
        self.gateway.logged(f"swapped .*{CANDIDATE}", since)
        replies = self.send(range(MAIL))
        self.assertEqual({code for code, _ in replies.values()}, {250}, "a shadow decides nothing")
        for _ in range(BILLS):
            self.gateway.logged("a candidate says otherwise", since)
        while sum(self.compared().values()) < MAIL:
            self.send([0])
        self.assertEqual(self.compared()["accept", "reject"], BILLS)

    def stopped_as_a_canary(self):
        mode = "mode: { canary: 50, calls: 20, drift: 4, p99: 30s }\n"
        since = self.place("yaml", (mode + WRONG).encode())
        self.gateway.logged(f"swapped .*{CANDIDATE}", since)
        refused = {}
        for number in range(19, 20 * 50, 20):
            sender = f"bob{number}@shop.example"
            [(code, text)] = self.send([number], sender).values()
            if code != 250:
                self.assertEqual(code, 550, text)
                refused[sender] = text
            ordinary = self.send([number + 1, number + 2], sender)
            self.assertEqual({code for code, _ in ordinary.values()}, {250})
            if any("a canary falls back: " in line for line in self.gateway.log[since:]):
                break
        self.gateway.logged(f"a canary falls back: .*{CANDIDATE}", since)
        self.assertIn("fell back: the enforced version said otherwise", self.gateway.postern("plugin", "list").stdout)
        self.assertTrue(refused, "it decided for nobody")
        replies = self.send(range(MAIL))
        self.assertEqual({code for code, _ in replies.values()}, {250}, "the enforced version decides again")
        return refused

    def explained(self, refused):
        sender, reply = next(iter(refused.items()))
        told = self.gateway.postern("explain", "--address", sender).stdout
        self.assertIn(CANDIDATE, told)
        self.assertIn("bill.pdf", told)
        self.assertIn("*.pdf", told)
        self.assertIn("reject", told)
        self.assertIn(reply, told)
