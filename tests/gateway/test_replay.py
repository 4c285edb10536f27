"""`postern plugin replay` beside a gateway that runs: its mail, and what its policies keep."""

import json

from gateway.base import GatewayCase

PLAIN = b"From: <sender@example.net>\r\nSubject: plain\r\n\r\nhello\r\n"
SETTINGS = ("settings: { address: { messages: 3/1h }, exempt: [] }\ngrants: { kv: {} }\nlimits: { deadline: 30s }\n"
            "failure: { default: skip }\n")


class Replay(GatewayCase):
    def prepare(self):
        self.install("rate-limit", settings=SETTINGS)

    def send(self):
        with self.mx() as client:
            self.accept(client, PLAIN)

    def replay(self):
        candidate = str(self.gateway.plugins / "20-rate-limit.wasm")
        return json.loads(self.gateway.postern("plugin", "replay", candidate, "--from", "store", "--json").stdout)

    def test_what_the_gateway_keeps_is_seen_and_stays_as_it_was(self):
        self.send()
        self.send()
        for _ in range(2):
            report = self.replay()
            self.assertEqual(report["kv"], "begins with what rate-limit holds in the store now")
            # The third message, and the fourth, which is one too many.
            self.assertEqual((report["compared"], report["changed"], report["failed"]), (2, 1, 0), report)
            self.assertEqual((report["changes"][0]["question"], report["changes"][0]["to"]), ("mail", "defer"))
        # In truth it is the third.
        self.send()


def aliases(name):
    return f"settings:\n  aliases:\n    \"{name}@example.org\": [ann@example.org]\n"


class Routes(GatewayCase):
    def prepare(self):
        self.install("aliases", order=40, settings=aliases("info"))

    def replay(self, candidate, *more):
        told = self.gateway.postern("plugin", "replay", str(candidate), "--from", "store", "--json", *more)
        return json.loads(told.stdout)

    def test_a_router_is_compared_with_what_it_said_and_a_candidate_with_the_version_in_force(self):
        with self.mx() as client:
            self.accept(client, PLAIN, ["info@example.org"])
        installed = self.gateway.plugins / "40-aliases.wasm"
        report = self.replay(installed)
        self.assertEqual((report["compared"], report["changed"]), (1, 0), report)
        candidate = installed.with_name("40-aliases.candidate.wasm")
        candidate.with_suffix(".yaml").write_text(aliases("sales"))
        candidate.write_bytes(installed.read_bytes())
        for more in ([], ["--against", "active"]):
            report = self.replay(candidate, *more)
            [change] = report["changes"]
            self.assertEqual((change["question"], change["from"], change["to"]), ("router", "rewrite", "pass"))
        self.assertEqual(report["against"]["name"], "40-aliases")
