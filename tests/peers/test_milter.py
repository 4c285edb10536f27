"""The milter that stands for tag-subject: what it does with subjects, by the milter protocol (version 6)."""

import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from peers import install

ADD_HEADERS, CHANGE_HEADERS = 0x01, 0x10
# No HELO, recipients, body, end of headers, unknown commands, DATA; no answers to headers, connect, MAIL.
STEPS = 0x02 | 0x08 | 0x10 | 0x40 | 0x100 | 0x200 | 0x80 | 0x1000 | 0x4000


class Session:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.put(b"O", struct.pack("!III", 6, 0x1FF, 0x1FFFFF))
        command, self.negotiated = self.get()
        assert command == b"O", command
        self.put(b"C", b"client.example\x004" + struct.pack("!H", 25) + b"192.0.2.1\0")

    def put(self, command, data=b""):
        self.socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def get(self):
        size, = struct.unpack("!I", self.exactly(4))
        packet = self.exactly(size)
        return packet[:1], packet[1:]

    def exactly(self, size):
        got = b""
        while len(got) < size:
            more = self.socket.recv(size - len(got))
            assert more, "the milter closed the connection"
            got += more
        return got

    def message(self, headers, login=None):
        """What it wants changed: `h` adds, `m` changes, with the header's name and value."""
        if login:
            self.put(b"D", b"M{auth_type}\0PLAIN\0")
        self.put(b"M", b"<a@example.net>\0")
        for name, value in headers:
            self.put(b"L", f"{name}\0{value}\0".encode())
        self.put(b"E")
        changes = []
        while True:
            command, data = self.get()
            if command not in b"hm":
                return command, changes
            name, value = (data[4:] if command == b"m" else data).rstrip(b"\0").split(b"\0")
            changes.append((command.decode(), name.decode(), value.decode()))


class Milter(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not install.installed("libmilter-dev"):
            raise unittest.SkipTest("libmilter-dev is not installed")
        install.build()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        path = Path(cls.folder.name, "socket")
        process = subprocess.Popen([install.milter(), f"unix:{path}"])
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.kill)
        while not path.is_socket():
            assert process.poll() is None, "the milter ended"
            time.sleep(0.01)
        cls.path = path

    def setUp(self):
        self.session = Session(self.path)
        self.addCleanup(self.session.socket.close)

    def subjects(self, *headers, **more):
        return self.session.message(headers, **more)[1]

    def test_it_asks_for_no_more_than_it_looks_at(self):
        _, actions, steps = struct.unpack("!III", self.session.negotiated[:12])
        self.assertEqual((actions & 0x3F, steps), (ADD_HEADERS | CHANGE_HEADERS, STEPS))

    def test_a_subject_gets_the_tag(self):
        self.assertEqual(self.subjects(("From", "a@x"), ("Subject", "lunch")), [("m", "Subject", "[EXTERNAL] lunch")])

    def test_every_message_of_a_session_gets_its_own(self):
        for word in ("one", "two"):
            self.assertEqual(self.subjects(("subject", word)), [("m", "Subject", f"[EXTERNAL] {word}")])

    def test_a_message_without_a_subject_gets_one(self):
        self.assertEqual(self.subjects(("From", "a@x")), [("h", "Subject", "[EXTERNAL]")])

    def test_no_subject_is_tagged_twice(self):
        for subject in ("[EXTERNAL] x", "[external] x", "Re: [EXTERNAL] x", "[list] Re: [External] x"):
            self.assertEqual(self.subjects(("Subject", subject)), [], subject)

    def test_a_tag_behind_other_words_does_not_count(self):
        for subject in ("about [EXTERNAL]", "message: [EXTERNAL]", ": [EXTERNAL]"):
            self.assertEqual(self.subjects(("Subject", subject)), [("m", "Subject", f"[EXTERNAL] {subject}")])

    def test_mail_of_a_session_with_a_login_is_left_alone(self):
        self.assertEqual(self.subjects(("Subject", "lunch"), login="ann"), [])
