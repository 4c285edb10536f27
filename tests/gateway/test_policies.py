"""Policies that are there at a start, or not, change what becomes of the same message."""

import threading

from gateway.base import GatewayCase

ATTACHMENT = (b"From: <sender@example.net>\r\nSubject: invoice\r\nMIME-Version: 1.0\r\n"
              b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
              b"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"invoice.exe\"\r\n"
              b"Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n")
PLAIN = b"From: <sender@example.net>\r\nSubject: plain\r\n\r\nhello\r\n"


class Policies(GatewayCase):
    def restart(self):
        self.assertEqual(self.gateway.stop(), 0)
        self.gateway.start()

    def remove_all(self):
        for file in self.gateway.plugins.iterdir():
            file.unlink()

    def outcome(self, content, recipient="ann@example.org"):
        with self.mx() as client:
            for code, text in client.envelope("sender@example.net", [recipient]):
                if code != 250:
                    return code, text
            return client.data(content)

    def test_block_attachments_refuses_while_it_is_there(self):
        self.assertEqual(self.outcome(ATTACHMENT)[0], 250)
        self.install("block-attachments")
        self.restart()
        code, text = self.outcome(ATTACHMENT)
        self.assertEqual(code // 100, 5, text)
        self.assertEqual(self.outcome(PLAIN)[0], 250)
        self.remove_all()
        self.restart()
        self.assertEqual(self.outcome(ATTACHMENT)[0], 250)

    def test_the_router_sends_mail_elsewhere_while_it_is_there(self):
        self.assertEqual(self.outcome(PLAIN, "sales-berlin@example.org")[0], 550)
        self.install("aliases", settings="settings:\n  aliases:\n    \"sales-*@example.org\": [bob@example.org]\n")
        self.restart()
        self.assertEqual(self.outcome(PLAIN, "sales-berlin@example.org")[0], 250)
        pop = self.pop("bob@example.org")
        self.assertTrue(pop.retrieve(1).endswith(PLAIN))
        pop.quit()

    def test_a_broken_policy_is_told_in_one_line_and_stops_nothing(self):
        (self.gateway.plugins / "10-broken.wasm").write_bytes(b"\0asm not a component")
        self.install("block-attachments")
        self.restart()
        self.assertEqual(self.outcome(PLAIN)[0], 250)
        self.assertEqual(self.outcome(ATTACHMENT)[0] // 100, 5)
        listed = self.gateway.postern("plugin", "list").stdout
        self.assertIn("10-broken", listed)
        self.assertIn("20-block-attachments", listed)

    def test_quota_holds_at_its_exact_edge_with_fifty_concurrent_deliveries(self):
        self.gateway.postern("user", "add", "full@example.org", "--no-login", "--quota-messages", "20")
        codes = []

        def deliver():
            codes.append(self.outcome(PLAIN, "full@example.org")[0])

        threads = [threading.Thread(target=deliver) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(codes.count(250), 20, codes)
        self.assertEqual(codes.count(452), 30, codes)

    def test_a_quota_policy_holds_at_its_exact_edge_with_fifty_concurrent_deliveries(self):
        # A warning is a message too: at 100 per cent there is no room for one among the twenty.
        self.install("quota-tiers", settings="settings:\n  default: { messages: 20, warn: 100 }\n")
        self.restart()
        codes = []
        threads = [threading.Thread(target=lambda: codes.append(self.outcome(PLAIN, "bob@example.org")[0]))
                   for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(codes.count(250), 20, codes)
        self.assertEqual(len([code for code in codes if code == 452]), 30, codes)
        pop = self.pop("bob@example.org")
        self.assertEqual(len(pop.listing()), 20)
        pop.quit()
