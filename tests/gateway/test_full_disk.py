"""A disk that fills: mail is refused in time, reading and deleting go on, and mail flows again by itself."""

import os
import subprocess
import threading
import unittest

from gateway.base import GatewayCase

MIB = 1 << 20
NOISE = os.urandom(MIB // 2).hex()
LINES = "\r\n".join(NOISE[at:at + 76] for at in range(0, len(NOISE), 76))
CONTENT = f"From: <sender@example.net>\r\nSubject: noise\r\n\r\n{LINES}\r\n".encode()


class FullDisk(GatewayCase):
    """The state folder is a small file system of its own, so this must be run as root."""

    extra = "limits: { message_size: 4MiB, bytes_in_flight: 8MiB }\n"
    store = "{ embedded: { reserve: 96MiB } }"

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a tmpfs takes root")
        super().setUp()

    def before_anything(self, gateway):
        gateway.folder.joinpath("state").mkdir(mode=0o700)
        state = str(gateway.folder / "state")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=700", "tmpfs", state], check=True)
        # Lazily: the last file of a gateway that was killed may still be closing.
        self.addCleanup(subprocess.run, ["umount", "-l", state], check=True)

    def offer(self, client):
        for code, text in client.envelope("sender@example.net", ["ann@example.org"]):
            if code != 250:
                return code, text
        return client.data(CONTENT)

    def test_a_full_disk_refuses_mail_until_there_is_room_again_and_nothing_else(self):
        accepted = 0
        with self.mx() as client:
            while True:
                code, text = self.offer(client)
                if code != 250:
                    break
                accepted += 1
            self.assertEqual((code, text.split()[0]), (452, "4.3.1"), text)
            self.assertGreater(accepted, 20)
            self.assertIsNone(self.gateway.process.poll(), "the engine never saw the end of the disk")

            pop = self.pop()
            self.assertEqual(len(pop.listing()), accepted)
            self.assertTrue(pop.retrieve(accepted).endswith(CONTENT))
            client.command("RSET")
            self.assertEqual(self.offer(client)[0], 452, "still full")
            for number in range(1, accepted):
                pop.command(f"DELE {number}")
            pop.quit()

            for _ in range(600):
                client.command("RSET")
                if self.offer(client)[0] == 250:
                    break
                threading.Event().wait(0.05)
            else:
                self.fail("mail did not flow again")
        pop = self.pop()
        self.assertEqual(len(pop.listing()), 2)
        self.assertTrue(pop.retrieve(1).endswith(CONTENT))
        pop.quit()
        self.assertEqual(self.gateway.postern("store", "check").returncode, 0)
        print(f"\nfull disk: {accepted} messages of 1 MiB taken on 256 MiB with a reserve of 96, then 452 4.3.1")


if __name__ == "__main__":
    unittest.main()
