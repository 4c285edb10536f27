"""`postern explain` of a real gateway: accepted, held back, refused at each stage, and after a trap."""

import json
import re

from gateway.base import GatewayCase

PLAIN = b"From: <sender@example.net>\r\nSubject: plain\r\n\r\nhello\r\n"
ATTACHMENT = (b"From: <sender@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
              b"Content-Disposition: attachment; filename=\"invoice.exe\"\r\n\r\nMZ\r\n")
DIGITS = re.compile(r"^  version  [0-9a-f]{12} with settings [0-9a-f]{12}$", re.M)
PATIENT = "limits: { deadline: 30s }\n"


class Explain(GatewayCase):
    def restart(self):
        self.assertEqual(self.gateway.stop(), 0)
        self.gateway.start()

    def explain(self, *arguments):
        told = self.gateway.postern("explain", *arguments, check=False)
        self.assertEqual(told.returncode, 0, told.stderr)
        return told.stdout

    def send(self, content, sender="sender@example.net"):
        with self.mx() as client:
            for code, text in client.envelope(sender, ["ann@example.org"]):
                if code != 250:
                    return code, text
            return client.data(content)

    def queue_id(self, text):
        return re.search(r"\b[0-9A-Z]{26}\b", text).group(0)

    def test_what_is_stored_tells_which_policy_read_said_and_changed_what(self):
        self.install("tag-subject", settings=PATIENT + 'settings: { rules: [ { tag: "[EXTERNAL]" } ] }\n')
        self.install("block-attachments", order=10, settings=PATIENT + "settings: { action: quarantine }\n")
        self.restart()
        code, text = self.send(PLAIN)
        self.assertEqual(code, 250, text)
        told = self.explain(self.queue_id(text))
        self.assertIn("message  10-block-attachments\n", told)
        self.assertIn("message  20-tag-subject\n", told)
        self.assertEqual(len(DIGITS.findall(told)), 2, told)
        self.assertIn("  edit     add-header Subject: [EXTERNAL] plain\n", told)
        self.assertIn("  read     session.", told)
        self.assertIn("outcome   ann@example.org: deliver\n", told)
        self.assertIn(f"reply     {code} 2.0.0 ", told)
        code, text = self.send(ATTACHMENT)
        self.assertEqual(code, 250, text)
        held = self.explain(self.queue_id(text))
        self.assertIn("  said     quarantine ", held)
        self.assertIn("outcome   ann@example.org: quarantine ", held)
        # It is the message's own: a restart forgets nothing of it, and its end everything.
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual(self.explain(self.queue_id(text)), held)
        self.gateway.start()
        self.gateway.postern("quarantine", "drop", self.queue_id(text))
        gone = self.gateway.postern("explain", self.queue_id(text), check=False)
        self.assertEqual((gone.returncode, gone.stdout), (1, ""))
        self.assertIn("nothing is known of", gone.stderr)

    def test_what_is_refused_is_found_by_address_at_each_stage(self):
        self.install("block-attachments", settings=PATIENT)
        self.restart()
        self.assertEqual(self.send(ATTACHMENT)[0] // 100, 5)
        with self.mx() as client:
            replies = client.envelope("other@example.net", ["nobody@example.org"])
            self.assertEqual(replies[-1][0], 550)
        refused = self.explain("--address", "sender@example.net")
        self.assertIn("known     from memory: it ended with its message\n", refused)
        self.assertIn("  said     reject 550 5.7.1 the attachment ", refused)
        self.assertIn("reply     550 5.7.1 the attachment ", refused)
        unknown = json.loads(self.explain("--address", "nobody@example.org", "--json"))
        self.assertEqual([told["source"] for told in unknown], [{"attempt": "rcpt"}])
        self.assertEqual(unknown[0]["mail_from"], "other@example.net")
        both = json.loads(self.explain("--address", "127.0.0.1", "--json"))
        self.assertEqual(len(both), 2)
        by_id = json.loads(self.explain(both[0]["id"], "--json"))
        self.assertEqual(by_id, both[:1])
        page = self.gateway.metrics()
        self.assertRegex(page, r"(?m)^postern_explain_bytes [1-9]")
        self.restart()
        self.gateway.logged("what was refused before this start is remembered")
        self.assertEqual(json.loads(self.explain("--address", "127.0.0.1", "--json")), both)

    def test_a_trap_is_told_with_what_it_comes_to(self):
        for at, stage in [("connect", "connect"), ("mail", "mail"), ("rcpt", "rcpt"), ("message", "message")]:
            self.install("hostile", settings=f"settings: {{ at: {at}, do: trap }}\n{PATIENT}")
            self.restart()
            if at == "connect":
                with self.mx(hello=None) as client:
                    self.assertEqual(client.greeting[0] // 100, 4)
            else:
                self.assertEqual(self.send(PLAIN)[0], 451)
            # Those of the stages before are remembered too, perhaps a moment later.
            told = json.loads(self.explain("--address", "127.0.0.1", "--json"))[-1:]
            self.assertEqual([attempt["source"] for attempt in told], [{"attempt": stage}], at)
            step = told[0]["explained"]["steps"][-1]
            self.assertEqual((step["question"], step["said"]), (stage, "defer"))
            self.assertTrue(step["failed"].startswith("trap: "), step)
            self.assertRegex(step["failed"], "; it wrote: .*a trap, as the settings say")
            self.assertRegex(told[0]["explained"]["replies"][0], "^4")
