"""The policy folder while the gateway runs: whatever is done to it, each message gets the answer of one set."""

import json
import shutil
import signal
import threading
from pathlib import Path

from gateway.base import GUESTS, GatewayCase

ATTACHMENT = (b"From: <sender@example.net>\r\nSubject: invoice\r\nMIME-Version: 1.0\r\n"
              b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
              b"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"invoice.exe\"\r\n"
              b"Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n--b--\r\n")
DELIVERED = "delivered"
NAME = "20-block-attachments"


def settings(advice):
    return f"settings: {{ advice: {advice} }}\n".encode()


def component(mark=b""):
    """`block-attachments`; with a mark, the same in other octets: a custom section is behind it."""
    octets = (Path(GUESTS) / "block_attachments.wasm").read_bytes()
    section = bytes([len(mark)]) + mark
    return octets + (bytes([0, len(section)]) + section if mark else b"")


class Sender(threading.Thread):
    """Sends one message after the other, each in a session of its own. An answer is right if it was expected at some
    time of its session."""

    def __init__(self, case):
        super().__init__()
        self.case = case
        self.expected = [case.first]
        self.certain = 0
        self.count = 0
        self.wrong = []
        self.sent = threading.Condition()
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set() and not self.wrong:
            since = self.certain
            try:
                answer = self.case.answer()
            except Exception as error:  # The test says what its sender died of.
                answer = repr(error)
            with self.sent:
                if answer not in self.expected[since:]:
                    self.wrong.append((answer, self.expected[since:]))
                self.count += 1
                self.sent.notify_all()

    def may_change_to(self, answer):
        self.expected.append(answer)

    def has_changed(self):
        self.certain = len(self.expected) - 1

    def some(self):
        """Waits for messages that began after now."""
        with self.sent:
            until = self.count + 3
            arrived = self.sent.wait_for(lambda: self.count >= until or self.wrong, 60)
        self.case.assertTrue(arrived, "the sender stands still")
        self.case.assertEqual(self.wrong, [])

    def end(self):
        self.over.set()
        self.join()


class Watched(GatewayCase):
    """`first` is what a message is answered at the start."""

    # Nobody's patience ends on a busy machine.
    policy = "settle: 20ms, deadline: 30s"
    first = DELIVERED
    sending = Sender

    def setUp(self):
        super().setUp()
        self.delivered = []
        self.sender = self.sending(self)
        self.sender.start()
        self.addCleanup(self.sender.end)
        self.sender.some()

    def answer(self, client=None):
        """The advice that the client is given, or that its message was taken."""
        if client is None:
            with self.mx() as client:
                return self.answer(client)
        for code, text in client.envelope("sender@example.net", ["ann@example.org"]):
            self.assertEqual(code, 250, text)
        code, text = client.data(ATTACHMENT)
        if code == 250:
            self.delivered.append(text)
            return DELIVERED
        self.assertEqual(code, 550, text)
        return text.rsplit(" ", 1)[1]

    def path(self, extension):
        return self.gateway.plugins / f"{NAME}.{extension}"

    def place(self, path, content):
        """Writes aside and renames."""
        aside = path.with_name(f".{path.name}.new")
        aside.write_bytes(content)
        aside.rename(path)

    def link(self, path, target):
        """The same with a link."""
        aside = path.with_name(f".{path.name}.new")
        aside.symlink_to(target)
        aside.rename(path)

    def after(self, line, deed, *arguments, answer=None):
        """Does it and waits for the log to say so. From then on the new answer is the only one."""
        if answer:
            self.sender.may_change_to(answer)
        since = len(self.gateway.log)
        deed(*arguments)
        found = self.gateway.logged(line, since)
        self.sender.has_changed()
        self.sender.some()
        return found

    def listed(self):
        return json.loads(self.gateway.postern("plugin", "list", "--json").stdout)

    def metric(self, name):
        lines = self.gateway.metrics().splitlines()
        return next(int(line.split()[-1]) for line in lines if line.startswith(name + " "))

    def nothing_is_lost_or_doubled(self):
        self.sender.end()
        self.assertEqual(self.sender.wrong, [])
        pop = self.pop()
        self.assertEqual(len(pop.listing()), len(self.delivered))
        pop.quit()
        self.assertEqual(len(set(self.delivered)), len(self.delivered))


class Files(Watched):
    def test_each_message_gets_the_answer_of_one_set_while_policies_come_change_break_and_go(self):
        wasm, yaml = self.path("wasm"), self.path("yaml")
        other = rf'swapped .*replaced="{NAME} \w{{8}} → \w{{8}}"'
        other_yaml = rf'swapped .*replaced="{NAME} \w{{8}}, its \.yaml"'

        yaml.write_bytes(settings("one"))
        self.after(rf'swapped added="{NAME} \w{{8}}"', wasm.write_bytes, component(), answer="one")
        self.gateway.logged(rf"a policy is being compiled .*{NAME}\.wasm")
        begun = self.mx()
        self.addCleanup(begun.close)
        self.after(other_yaml, self.place, yaml, settings("two"), answer="two")
        self.after(other, self.place, wasm, component(b"renamed"))
        self.after(other, wasm.write_bytes, component(b"copied"))

        told = self.after("earlier version serves on", wasm.write_bytes, component()[:50_000])
        self.assertIn(f"{NAME}.wasm: is no component that runs here", told)
        [listed] = self.listed()
        serving = listed["serving"]
        self.assertIn(f'serving="{serving[:8]}"', told)
        self.assertNotEqual(listed["digest"], serving)
        said = f"{NAME}  earlier version {serving[:8]} serves on; refused: is no component"
        self.assertIn(said, self.gateway.postern("plugin", "list").stdout)
        self.assertEqual(self.metric('postern_plugins{state="earlier"}'), 1)
        self.after(r"earlier version serves on .*\.yaml: ", self.place, yaml, b"settinsg: {}\n")
        self.after("right again, as it was; .*policy=.*" + NAME, lambda: (self.place(yaml, settings("two")),
                   self.place(wasm, component(b"copied"))))
        new = self.gateway.plugins / "10-new.wasm"
        self.assertNotIn("serves on", self.after("10-new.wasm: is no WebAssembly", new.write_bytes, b"noise"))

        new.unlink()
        self.place(yaml, settings("three"))
        self.after(other, self.place, wasm, component(), answer="three")
        self.after(rf'swapped .*removed="{NAME} \w{{8}}"', wasm.unlink, answer=DELIVERED)
        self.assertEqual(self.listed(), [])

        for _ in range(2):
            self.assertEqual(self.answer(begun), "one", "a session keeps the set that it began with")
        self.assertEqual(self.metric('postern_plugin_reloads_total{result="swapped"}'), 6)
        self.nothing_is_lost_or_doubled()


class Links(Watched):
    first = "first-one"

    def before_anything(self, gateway):
        """The folder is a link to one of two; in each, files are links through a link."""
        for folder in ("first", "second"):
            inside = gateway.folder / folder
            for advice in ("one", "two"):
                (inside / advice).mkdir(parents=True)
                (inside / advice / "yaml").write_bytes(settings(f"{folder}-{advice}"))
                (inside / advice / "wasm").write_bytes(component(f"{folder}-{advice}".encode()))
            (inside / "..data").symlink_to("one")
            for extension in ("yaml", "wasm"):
                (inside / f"{NAME}.{extension}").symlink_to(f"..data/{extension}")
        gateway.plugins.symlink_to("first")

    def test_links_that_are_exchanged_exchange_the_set_at_once(self):
        other = rf'swapped .*replaced="{NAME} \w{{8}} → \w{{8}}"'
        folder = self.gateway.plugins
        self.after(other, self.link, folder / "..data", "two", answer="first-two")
        self.after(other, self.link, folder, "second", answer="second-one")
        self.after(other, self.link, folder / "..data", "two", answer="second-two")
        self.after(other, self.link, self.path("wasm"), "one/wasm")
        self.after(r"its \.yaml", self.link, self.path("yaml"), "one/yaml", answer="second-one")

        self.after("the policies before serve on .*plugins.d: is a link to nothing", self.link, folder, "nowhere")
        since = len(self.gateway.log)
        self.after("swapped .*removed", folder.unlink, answer=DELIVERED)
        self.gateway.logged("WARN .*the policy folder is gone: no policy decides about mail", since)
        aside = self.gateway.folder / "aside"
        shutil.copytree(self.gateway.folder / "first", aside, symlinks=True)
        self.after("swapped added", aside.rename, folder, answer="first-two")
        self.after("swapped .*removed", folder.rename, aside, answer=DELIVERED)
        self.nothing_is_lost_or_doubled()


class Refusals(Watched):
    def test_what_may_not_be_in_the_folder_is_named_and_changes_nothing(self):
        folder, wasm, yaml = self.gateway.plugins, self.path("wasm"), self.path("yaml")
        yaml.write_bytes(settings("one"))
        self.after("swapped added", wasm.write_bytes, component(), answer="one")

        self.after("wasm: everybody may write to it; chmod o-w it", wasm.chmod, 0o666)
        outside = self.gateway.folder / "outside.yaml"
        outside.write_bytes(settings("two"))
        self.after(r"yaml: is a link to .*outside\.yaml, which is not in this folder", self.link, yaml, outside)
        (folder / "30-code.cwasm").write_bytes(b"code")
        self.gateway.logged("30-code.cwasm: is compiled code, which is never loaded from here")
        self.after("everybody may write to this folder, so nothing in it is loaded", folder.chmod, 0o777)
        self.assertEqual([line["name"] for line in self.listed()], [NAME, "30-code.cwasm", str(folder)])
        self.assertEqual(self.answer(), "one")

        check = self.gateway.postern("check", check=False)
        self.assertEqual(check.returncode, 1)
        self.assertIn(f"chmod o-w {folder}", check.stderr)
        folder.chmod(0o755)
        check = self.gateway.postern("check", check=False)
        self.assertEqual(check.returncode, 1)
        self.assertIn("outside.yaml, which is not in this folder", check.stderr)
        self.assertIn("30-code.cwasm: is compiled code", check.stderr)

        since = len(self.gateway.log)
        self.gateway.process.send_signal(signal.SIGHUP)
        for told in ("SIGHUP", "certificate loaded", "30-code.cwasm: is compiled code"):
            self.gateway.logged(told, since)
        self.place(yaml, settings("two"))
        self.after("swapped .*replaced", wasm.chmod, 0o644, answer="two")
        self.nothing_is_lost_or_doubled()
