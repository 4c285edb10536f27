"""A new version of a policy on its way to live mail: in shadow, as a canary, broken, and back."""

import json
import time

from gateway.test_watching import DELIVERED, NAME, Watched, component, settings

HARMLESS = 'settings: { names: ["*.never"], kinds: [] }\n'
# Settings are read in one call of a capability, a message in more.
BREAKS = "limits: { host_calls: 1 }\nfailure: { message: skip }\n"
CANDIDATE = f"{NAME}.candidate"


class Candidates(Watched):
    def put(self, extension, content, name=CANDIDATE):
        self.place(self.gateway.plugins / f"{name}.{extension}", content)

    def compared(self):
        answer = self.gateway.postern("plugin", "compare", NAME, "--json")
        return {(cell["question"], cell["enforced"], cell["candidate"]): cell["count"]
                for cell in json.loads(answer.stdout)}

    def until(self, holds, what):
        """Messages go on meanwhile."""
        end = time.monotonic() + 60
        while not holds():
            self.assertLess(time.monotonic(), end, what)
            self.sender.some()

    def entry(self, name):
        return next(listed for listed in self.listed() if listed["name"] == name)

    def test_a_new_version_is_seen_in_shadow_decides_for_a_share_and_goes_when_it_breaks(self):
        self.put("yaml", settings("one"), NAME)
        self.after("swapped added", self.put, "wasm", component(), NAME, answer="one")

        self.put("yaml", HARMLESS.encode())
        self.after(rf'swapped added="{CANDIDATE} ', self.put, "wasm", component(b"new"))
        self.until(lambda: self.compared().get(("message", "reject", "accept"), 0) >= 3, "nothing was compared")
        self.assertEqual(self.entry(CANDIDATE)["mode"], "shadow")
        self.assertRegex(self.gateway.postern("plugin", "compare", NAME).stderr, r"\d+ of \d+ differ")
        self.assertIn("a candidate says otherwise", "\n".join(self.gateway.log))

        self.sender.may_change_to(DELIVERED)
        before, since = len(self.delivered), len(self.gateway.log)
        self.put("yaml", ("mode: { canary: 50, drift: 100, calls: 10000 }\n" + HARMLESS).encode())
        self.gateway.logged(rf'swapped .*replaced="{CANDIDATE} ', since)
        self.until(lambda: len(self.delivered) >= before + 3, "the canary has no share")
        self.until(lambda: self.compared().get(("message", "reject", "accept"), 0) >= 3, "nothing was compared")
        self.assertEqual(self.entry(CANDIDATE)["mode"], "canary 50 %")

        since = len(self.gateway.log)
        self.put("yaml", ("mode: { canary: 50, calls: 10, failures: 20 }\n" + BREAKS).encode())
        self.gateway.logged(rf"a canary falls back: .*{CANDIDATE}", since)
        self.sender.may_change_to("one")
        self.sender.has_changed()
        self.sender.some()
        self.assertRegex(self.entry(CANDIDATE)["trouble"], "fell back: 2 of its last .* calls failed")
        self.assertIn("fell back: ", self.gateway.postern("plugin", "list").stdout)
        self.assertEqual(self.metric(
            f'postern_plugin_canary_fallbacks_total{{plugin="{CANDIDATE}",reason="failures"}}'), 1)

        # Its own octets: another file beside the same component would be no version to go back from.
        self.after(rf'swapped .*replaced="{NAME} ', self.put, "wasm", component(b"worse"), NAME)
        self.sender.may_change_to(DELIVERED)
        for extension in ("wasm", "yaml"):
            (self.gateway.plugins / f"{CANDIDATE}.{extension}").unlink()
        breaker = "breaker: { calls: 3, failures: 100, back: command }\n"
        since = len(self.gateway.log)
        self.put("yaml", (breaker + BREAKS).encode(), NAME)
        for _ in range(2):
            self.gateway.logged(f"a policy is out of service.*{NAME}", since)
            self.sender.may_change_to("one")
            self.sender.has_changed()
            self.sender.some()
            trouble = self.entry(NAME)["trouble"]
            self.assertRegex(trouble, r"out of service: 3 of 3 calls failed within 1m; earlier version \w{8} decides")
            self.assertEqual(self.metric(f'postern_plugin_breaker_open{{plugin="{NAME}"}}'), 1)
            self.sender.may_change_to(DELIVERED)
            since = len(self.gateway.log)
            answer = self.gateway.postern("plugin", "reset", NAME)
            self.assertIn("is back in service", answer.stdout)
        self.gateway.logged(f"a policy is out of service.*{NAME}", since)
        answer = self.gateway.postern("plugin", "compare", NAME, check=False)
        self.assertEqual(answer.returncode, 1)
        self.assertIn("has no candidate; put one beside it", answer.stderr)
        self.nothing_is_lost_or_doubled()
