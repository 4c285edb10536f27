"""`postern store`: what is backed up comes back byte for byte, and damage is found."""

import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.base import GatewayCase, PASSWORD
from support.gateway import Gateway
from support.mail import Pop3, trusting


def message(token, lines):
    return f"From: <s@example.net>\r\nSubject: {token}\r\n\r\n".encode() + b"0123456789\xff..\r\n" * lines


class Store(GatewayCase):
    def setUp(self):
        super().setUp()
        self.backup = Path(tempfile.mkdtemp(prefix="postern-backup-"))
        self.addCleanup(shutil.rmtree, self.backup)

    def deliver(self, token, lines):
        with self.mx() as client:
            client.envelope("s@example.net", ["ann@example.org"])
            self.assertEqual(client.data(message(token, lines))[0], 250)

    def fetched(self, gateway):
        """UIDL to the octets of the message."""
        with Pop3(gateway.ports["pop3s"], "ann@example.org", PASSWORD, context=trusting(gateway.certificate)) as client:
            return {uid: client.retrieve(number) for number, uid in enumerate(client.uids(), 1)}

    def restored(self):
        other = Gateway(self.gateway.binary)
        self.addCleanup(other._own.cleanup)
        other.write_config()
        other.postern("store", "restore", str(self.backup))
        other.start()
        self.addCleanup(other.kill)
        return other

    def refused(self, word, *arguments):
        done = self.gateway.postern(*arguments, check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(word, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, "one line: " + done.stderr)

    def test_mail_backed_up_beside_deliveries_comes_back_whole_or_not_at_all(self):
        for token, lines in (("empty", 0), ("small", 10), ("large", 100_000)):
            self.deliver(token, lines)
        before = self.fetched(self.gateway)
        self.assertEqual(len(before), 3)
        stop, begun, count = threading.Event(), threading.Event(), [0]

        def go_on():
            while not stop.is_set():
                self.deliver(f"during-{count[0]}", 20_000)
                count[0] += 1
                begun.set()

        load = threading.Thread(target=go_on)
        load.start()
        self.assertTrue(begun.wait(60))
        self.gateway.postern("store", "backup", str(self.backup))
        stop.set()
        load.join()
        delivered = self.fetched(self.gateway)
        restored = self.restored()
        found = self.fetched(restored)
        self.assertLessEqual(before.items(), found.items())
        self.assertLessEqual(found.items(), delivered.items(), "what came during the backup is whole or absent")
        check = restored.postern("store", "check")
        self.assertEqual(restored.stop(), 0)
        stopped = restored.postern("store", "check")
        for done in (check, stopped):
            self.assertIn(f"sound: {len(found)} entries", done.stderr)

    def test_a_restore_goes_beside_no_gateway_and_over_no_store(self):
        self.gateway.postern("store", "backup", str(self.backup))
        self.refused("a gateway runs", "store", "restore", str(self.backup))
        self.gateway.stop()
        self.refused("is not empty", "store", "restore", str(self.backup))
        shutil.rmtree(self.gateway.folder / "state" / "store")
        archive = next(self.backup.iterdir())
        whole = archive.read_bytes()
        archive.write_bytes(whole[:-1])
        self.refused("damaged or not whole", "store", "restore", str(self.backup))
        self.assertFalse((self.gateway.folder / "state" / "store").exists(), "half a store is none")
        archive.write_bytes(whole)
        self.gateway.postern("store", "restore", str(self.backup))
        self.assertIn("ann@example.org", self.gateway.postern("user", "list").stdout)

    def test_a_damaged_store_is_reported_with_exit_code_1(self):
        for number in range(40):
            self.deliver(f"m{number}", 500)
        self.gateway.stop()
        self.assertIn("sound: 40 entries", self.gateway.postern("store", "check").stderr)
        for path in sorted((self.gateway.folder / "state" / "store").rglob("*")):
            if path.is_file() and path.stat().st_size > 4096:
                octets = bytearray(path.read_bytes())
                for at in range(512, len(octets), 4096):
                    octets[at] ^= 0x55
                path.write_bytes(octets)
        done = self.gateway.postern("store", "check", check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertTrue(done.stderr.startswith("postern: "), done.stderr)
        self.assertNotIn("panicked", done.stderr)

    def test_a_store_that_lost_a_part_is_refused_by_all_and_no_backup_is_replaced(self):
        self.deliver("kept", 10)
        self.gateway.postern("store", "backup", str(self.backup))
        archive = next(self.backup.iterdir())
        whole = archive.read_bytes()
        self.gateway.stop()
        store = self.gateway.folder / "state" / "store"
        for current in (store / "db" / "keyspaces").glob("*/current"):
            current.unlink()
        before = sorted(store.rglob("*"))
        for arguments in (
            ("domain", "list"),
            ("domain", "list"),
            ("domain", "add", "other.example"),
            ("store", "check"),
            ("store", "backup", str(self.backup)),
        ):
            self.refused("current is gone", *arguments)
        served = self.gateway.postern("serve", check=False)
        self.assertEqual(served.returncode, 1, served)
        self.assertIn("current is gone", served.stderr)
        self.assertEqual(sorted(store.rglob("*")), before, "nothing is made or deleted")
        self.assertEqual(archive.read_bytes(), whole)
        shutil.rmtree(store)
        self.gateway.postern("store", "restore", str(self.backup))
        self.assertIn("sound: 1 entries", self.gateway.postern("store", "check").stderr)

    def test_commands_that_come_together_without_a_gateway_all_answer(self):
        self.gateway.stop()
        with ThreadPoolExecutor(12) as together:
            lists = [together.submit(self.gateway.postern, "domain", "list", check=False) for _ in range(12)]
        for done in (listed.result() for listed in lists):
            self.assertEqual((done.returncode, done.stdout), (0, "example.org\n"), done)
