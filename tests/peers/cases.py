"""What is measured, and of which servers: each case takes a fresh server and answers its figures."""

import email
import time
from collections.abc import Callable
from dataclasses import dataclass

from peers import settings
from support.mail import Pop3, Smtp, trusting

SIZE = 4096
MAILBOXES = 64
MAILDROP = 1000
AT_ONCE = 32
# Seconds that mail may take to become visible, and between two looks.
PATIENCE, SHORTEST, LONGEST = 600, 0.05, 5
DOVECOTS = tuple(f"dovecot-{format}" for format in settings.FORMATS)


@dataclass(frozen=True)
class Amount:
    """How much of everything: seconds measured and, before it, to warm up; mailboxes, and sessions that idle."""

    seconds: int
    warm: int
    mailboxes: int
    idle: int


@dataclass(frozen=True)
class Case:
    key: str
    servers: tuple
    measure: Callable


def mailboxes(amount):
    return [settings.plain(number) for number in range(amount.mailboxes)]


def count(server, users):
    """Messages in these maildrops now."""
    messages = 0
    for user in users:
        session = Pop3(server.ports["pop3"], user, settings.PASSWORD)
        messages += int(session.command("STAT").split()[1])
        session.quit()
    return messages


def until_visible(look, total, clock=time.monotonic, sleep=time.sleep):
    """Looks (all mailboxes, how many messages) until there are `total`; answers how often. Few looks: what is missing is given
    most of the time that it will take at the rate since the look before."""
    begun = looked = clock()
    seen, looks = None, 0
    while True:
        before, seen, looks = seen, look(), looks + 1
        now = clock()
        if seen >= total:
            return looks
        if now - begun > PATIENCE:
            raise TimeoutError(f"{seen} of {total} messages are visible after {PATIENCE} s")
        rate = 0 if before is None else (seen - before) / (now - looked)
        looked = now
        sleep(min(max(0.8 * (total - seen) / rate, SHORTEST), LONGEST) if rate > 0 else SHORTEST)


def used(server, before, count):
    return 1000 * (server.group.cpu() - before) / max(count, 1)


def delivered(connections):
    """SMTP, from the first command until all that was acknowledged is visible by POP3; what the looks cost is not counted."""
    def measure(server, load, amount):
        users = mailboxes(amount)

        def look():
            return count(server, users)

        def deliver(seconds, already):
            before = server.group.cpu()
            sent = load.smtp(server.ports["smtp"], users, connections, seconds, SIZE)
            ended = time.monotonic()
            looks = until_visible(look, already + sent["count"])
            took, spent = sent["seconds"] + time.monotonic() - ended, server.group.cpu() - before
            before = server.group.cpu()
            look()
            spent -= looks * (server.group.cpu() - before)
            return sent | {"visible_rate": sent["count"] / took, "cpu_ms": 1000 * spent / max(sent["count"], 1)}

        return deliver(amount.seconds, deliver(amount.warm, look())["count"])
    return measure


def lmtp(server, load, amount):
    """LMTP, 16 connections; what was acknowledged is visible at once."""
    users = mailboxes(amount)
    warmed = load.lmtp(server.ports["lmtp"], users, 16, amount.warm, SIZE)
    before = server.group.cpu()
    sent = load.lmtp(server.ports["lmtp"], users, 16, amount.seconds, SIZE)
    sent["cpu_ms"] = used(server, before, sent["count"])
    if (seen := count(server, users)) < (total := warmed["count"] + sent["count"]):
        raise RuntimeError(f"{seen} of {total} messages are visible")
    return sent


def message(number, size=SIZE):
    head = f"From: load@example.net\r\nSubject: number {number}\r\n\r\n".encode()
    line = b"x" * 70 + b"\r\n"
    body = line * ((size - len(head)) // len(line))
    rest = size - len(head) - len(body)
    return head + body + b"y" * (rest - 2) + b"\r\n" if rest >= 2 else head + body[:-2] + b"y" * rest + b"\r\n"


def retrieve(at_once):
    """One session that is logged in fetches the messages of its maildrop."""
    def measure(server, load, amount):
        user = settings.plain(0)
        with Smtp(server.ports["lmtp"], hello="LHLO load.example.net") as client:
            for number in range(MAILDROP):
                replies = [*client.envelope("load@example.net", [user]), client.data(message(number))]
                if any(code != 250 for code, _ in replies):
                    raise RuntimeError(f"a message for the maildrop was refused: {replies}")
        load.retrieve(server.ports["pop3"], user, amount.warm, at_once)
        before = server.group.cpu()
        fetched = load.retrieve(server.ports["pop3"], user, amount.seconds, at_once)
        return fetched | {"cpu_ms": used(server, before, fetched["count"])}
    return measure


def login(server, load, amount):
    """Login, STAT and QUIT on 16 connections, each with a mailbox of its own and a password that is hashed."""
    users = [settings.hashed(number) for number in range(16)]
    load.log_in(server.ports["pop3"], users, amount.warm)
    before = server.group.cpu()
    done = load.log_in(server.ports["pop3"], users, amount.seconds)
    return done | {"cpu_ms": used(server, before, done["count"])}


def idle(listener):
    """Memory that a session takes: SMTP after EHLO, POP3 after login, each with a mailbox of its own."""
    def measure(server, load, amount):
        tls = trusting(server.site.certificate) if listener.endswith("s") else None
        port = server.ports[listener]

        def connect(number):
            if listener.startswith("smtp"):
                return Smtp(port, context=tls)
            return Pop3(port, settings.plain(number), settings.PASSWORD, context=tls)

        # Before it, what the first session of its kind and the first login of each mailbox need.
        if listener.startswith("pop3"):
            for number in range(amount.idle + 1):
                connect(number).quit()
        sessions = [connect(0)]
        try:
            before = server.group.memory()
            sessions += [connect(number) for number in range(1, amount.idle + 1)]
            after = server.group.memory()
            for session in sessions:
                session.send("NOOP\r\n")
                if not session.line().startswith((b"250", b"+OK")):
                    raise RuntimeError("a session did not outlive its idling")
        finally:
            for session in sessions:
                session.close()
        return {"kib": (after - before) / amount.idle / 1024, "count": amount.idle}
    return measure


def subject(server, user):
    """Of the first message in a maildrop."""
    session = Pop3(server.ports["pop3"], user, settings.PASSWORD)
    head = session.retrieve(1).partition(b"\r\n\r\n")[0]
    session.quit()
    return email.message_from_bytes(head)["Subject"]


def policy(server, load, amount):
    """The same with and without a policy that tags the subject; that it does what it should is looked at first."""
    with Smtp(server.ports["smtp"]) as client:
        client.envelope("load@example.net", [settings.plain(0)])
        client.data(message(0))
    until_visible(lambda: count(server, [settings.plain(0)]), 1)
    wanted = "[EXTERNAL] number 0" if server.tags else "number 0"
    if (found := subject(server, settings.plain(0))) != wanted:
        raise RuntimeError(f"the subject is {found!r}, not {wanted!r}")
    return delivered(16)(server, load, amount)


MAIL = ("postfix", "postfix-mdbox", "haraka", "postern")
CASES = (
    Case("delivered-16", MAIL, delivered(16)),
    Case("delivered-64", MAIL, delivered(64)),
    Case("lmtp-16", (*DOVECOTS, "postern"), lmtp),
    Case("retr", (*DOVECOTS, "postern"), retrieve(1)),
    Case("retr-pipelined", (*DOVECOTS, "postern"), retrieve(AT_ONCE)),
    Case("login", ("dovecot-maildir", "postern"), login),
    Case("idle-smtp", ("postfix", "haraka", "postern"), idle("smtp")),
    Case("idle-smtps", ("postfix", "haraka", "postern"), idle("smtps")),
    Case("idle-pop3", ("dovecot-maildir", "postern"), idle("pop3")),
    Case("idle-pop3s", ("dovecot-maildir", "postern"), idle("pop3s")),
    Case("policy", ("postfix", "postfix-milter", "postern", "postern-policy"), policy),
)
