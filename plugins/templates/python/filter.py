"""example-policy: refuses messages with a phrase, and counts those of each sender.

A filter answers with a verdict: accept, reject (5xx), defer (4xx), discard or quarantine. The first that
does not accept ends the question. `on_message` is asked after the final dot, before the 250.
"""

import json
from typing import NamedTuple

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, edit, kv, log, message, mime, session
from wit_world.imports.types import Reply, Verdict, Verdict_Accept, Verdict_Defer, Verdict_Reject


class Settings(NamedTuple):
    """What the administrator wrote in the file beside the component."""

    phrase: str
    hourly: int


def settings() -> Settings:
    phrase = setting("phrase", "wire the money")
    if not 1 <= len(phrase.encode()) <= 200:
        raise Err("phrase must have 1 to 200 octets")
    hourly = setting("hourly", "100")
    # isdigit alone takes digits of other scripts.
    if not (hourly.isascii() and hourly.isdigit() and len(hourly) <= 7 and 1 <= int(hourly) <= 1_000_000):
        raise Err("hourly must be a whole number from 1 to 1000000")
    return Settings(phrase, int(hourly))


def setting(name: str, usual: str) -> str:
    text = config.get(name)
    return usual if text is None else text


def known(*names: str) -> None:
    """Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map."""
    for name, value in json.loads(config.json()).items():
        if name not in names:
            raise Err(f"unknown setting `{name}`: known are {', '.join(names)}")
        if isinstance(value, (list, dict)):
            raise Err(f"{name} must be one value, not a list or a map")


class Lifecycle(exports.Lifecycle):
    def validate(self) -> None:
        """Asked when the policy is loaded: the Err is what the administrator reads."""
        known("phrase", "hourly")
        settings()


class MessageFilter(exports.MessageFilter):
    def on_message(self) -> Verdict:
        # They were validated when the policy was loaded.
        phrase, hourly = settings()
        # lower() of bytes changes the letters from A to Z, and no others.
        sought = phrase.encode().lower()
        subject = message.header_text("Subject") or ""
        if sought in subject.encode().lower() or body_contains(sought):
            return Verdict_Reject(Reply(550, "5.7.1", f'"{phrase}" is not taken here'))
        body = message.size() - message.body_offset()
        parts = len(mime.parts())
        mark = f"{body} octets, " + ("1 part" if parts == 1 else f"{parts} parts")
        sender = session.mail_from()
        if sender:
            try:
                # A missing key counts as 0; it is forgotten an hour after it was made.
                count = kv.increment(f"sent/{sender}", 1, 3600)
            except Err as error:
                log.warn(f"not counted: {error.value}")
            else:
                if count > hourly:
                    text = f"too many messages from {sender}, try again in an hour"
                    return Verdict_Defer(Reply(450, "4.7.1", text))
                mark += f"; message {count} of this hour"
        edit.add_header("X-Example-Policy", mark)
        return Verdict_Accept()


def body_contains(sought: bytes) -> bool:
    """Reads the body in pieces: one reading gives at most 64 KiB."""
    offset = message.body_offset()
    # The end of the piece before: the phrase may lie across.
    before = b""
    while piece := message.read(offset, 64 << 10):
        offset += len(piece)
        window = before + piece.lower()
        if sought in window:
            return True
        before = window[1 - len(sought) :] if len(sought) > 1 else b""
    return False
