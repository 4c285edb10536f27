"""What the tests of this folder share: a running gateway with two accounts."""

import os
import shutil
import unittest
from pathlib import Path

from support.gateway import Gateway
from support.mail import Pop3, Smtp, trusting

POSTERN = os.environ.get("POSTERN", "target/debug/postern")
GUESTS = os.environ.get("POSTERN_GUESTS", "plugins/target/wasm32-wasip2/release")
PASSWORD = "correct horse battery"


class GatewayCase(unittest.TestCase):
    """`extra` is YAML put behind the configuration, `store` that of the store, `policy` put in its section;
    `before_anything` runs before there are accounts, `prepare` before the start."""

    extra = ""
    store = "embedded"
    policy = ""
    users = ("ann@example.org", "bob@example.org")

    def setUp(self):
        self.gateway = Gateway(POSTERN, extra=self.extra, store=self.store, policy=self.policy)
        self.addCleanup(self.gateway._own.cleanup)
        self.before_anything(self.gateway)
        self.gateway.write_config()
        self.gateway.postern("domain", "add", "example.org")
        for user in self.users:
            self.gateway.add_user(user, PASSWORD)
        self.prepare()
        self.gateway.start()
        self.addCleanup(self.gateway.kill)

    def before_anything(self, gateway):
        pass

    def prepare(self):
        pass

    def install(self, name, order=20, settings=""):
        """Drops a shipped policy in."""
        built = Path(GUESTS) / f"{name.replace('-', '_')}.wasm"
        shutil.copy(built, self.gateway.plugins / f"{order}-{name}.wasm")
        (self.gateway.plugins / f"{order}-{name}.yaml").write_text(settings)

    def mx(self, **options):
        return Smtp(self.gateway.ports["mx"], **options)

    def submission(self, user="ann@example.org"):
        import base64
        client = Smtp(self.gateway.ports["submissions"], context=trusting(self.gateway.certificate))
        token = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        code, text = client.command(f"AUTH PLAIN {token}")
        self.assertEqual(code, 235, text)
        return client

    def pop(self, user="ann@example.org", **options):
        return Pop3(self.gateway.ports["pop3s"], user, PASSWORD,
                    context=trusting(self.gateway.certificate), **options)

    def accept(self, client, content, recipients=("ann@example.org",), sender="sender@example.net", parameters="",
               how="data"):
        for code, text in client.envelope(sender, recipients, parameters):
            self.assertEqual(code, 250, text)
        code, text = getattr(client, how)(content)
        self.assertEqual(code, 250, text)
        return text
