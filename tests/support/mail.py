"""Small SMTP and POP3 clients that send exactly the bytes they are told to."""

import socket
import ssl


class Lines:
    """A connection whose replies are read line by line."""

    def __init__(self, port, timeout=60, context=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the gateway closed the connection")
        return line

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Smtp(Lines):
    """`hello` is sent at once; every method answers the reply's code and text."""

    def __init__(self, port, hello="EHLO client.example.net", **options):
        super().__init__(port, **options)
        self.greeting = self.reply()
        if hello:
            self.hello = self.command(hello)

    def reply(self):
        lines = []
        while True:
            line = self.line().decode("utf-8", "replace").rstrip("\r\n")
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)

    def command(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def envelope(self, sender, recipients, parameters=""):
        replies = [self.command(f"MAIL FROM:<{sender}>{parameters}")]
        return replies + [self.command(f"RCPT TO:<{recipient}>") for recipient in recipients]

    def data(self, content):
        """`content` with its CRLFs; dots are stuffed here."""
        code, text = self.command("DATA")
        if code != 354:
            return code, text
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        self.send((b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n")
        return self.reply()

    def bdat(self, content, chunk=65536):
        pieces = [content[at:at + chunk] for at in range(0, len(content), chunk)] or [b""]
        for place, piece in enumerate(pieces):
            last = " LAST" if place == len(pieces) - 1 else ""
            self.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            answer = self.reply()
            if answer[0] != 250:
                return answer
        return answer


class Pop3(Lines):
    """Raises on -ERR; `user` logs in at once (the listener must be TLS or allow plaintext)."""

    def __init__(self, port, user, password, utf8=False, **options):
        super().__init__(port, **options)
        self.ok()
        if utf8:
            self.command("UTF8")
        self.command(f"USER {user}")
        self.command(f"PASS {password}")

    def ok(self):
        line = self.line().decode("utf-8", "replace").rstrip("\r\n")
        if not line.startswith("+OK"):
            raise AssertionError(line)
        return line

    def command(self, line):
        self.send(line + "\r\n")
        return self.ok()

    def multiline(self, line):
        self.command(line)
        out = []
        while True:
            got = self.line()
            if got == b".\r\n":
                return b"".join(out)
            out.append(got[1:] if got.startswith(b".") else got)

    def listing(self):
        """Sizes by message number."""
        rows = self.multiline("LIST").decode().split("\r\n")
        return {int(row.split()[0]): int(row.split()[1]) for row in rows if row}

    def uids(self):
        return [row.split()[1] for row in self.multiline("UIDL").decode().split("\r\n") if row]

    def retrieve(self, number):
        return self.multiline(f"RETR {number}")

    def quit(self):
        self.command("QUIT")
        self.close()


def trusting(certificate):
    return ssl.create_default_context(cafile=str(certificate))
