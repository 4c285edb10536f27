"""example-policy: one bound for all mailboxes, one for each message, and a warning before.

A quota answers with the highest usage that a mailbox may reach, this message included. The host compares it
with exact usage when the message is delivered, so that messages arriving together cannot pass it.
"""

import json
from typing import NamedTuple

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import (
    Ceiling,
    QuotaDecision,
    QuotaDecision_Allow,
    QuotaDecision_Deny,
    QuotaDecision_Warn,
    QuotaWarning,
    Reply,
    Usage,
)

MIB = 1 << 20


class Settings(NamedTuple):
    """MiB, MiB and per cent."""

    mailbox: int
    message: int
    warn: int


def settings() -> Settings:
    return Settings(
        number("mailbox", 1024, 1_000_000),
        number("message", 25, 1_000_000),
        number("warn", 90, 100),
    )


def number(name: str, usual: int, most: int) -> int:
    text = config.get(name)
    if text is None:
        return usual
    # isdigit alone takes digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= most):
        raise Err(f"{name} must be a whole number from 1 to {most}")
    return int(text)


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
        known("mailbox", "message", "warn")
        settings()


class Quota(exports.Quota):
    def check(self, mailbox: str, current: Usage, incoming: int) -> QuotaDecision:
        # They were validated when the policy was loaded.
        bounds = settings()
        if incoming > bounds.message * MIB:
            text = f"a message for {mailbox} may have {bounds.message} MiB"
            return QuotaDecision_Deny(Reply(552, "5.2.3", text))
        most = bounds.mailbox * MIB
        ceiling = Ceiling(bytes=most, messages=None)
        full = (current.bytes + incoming) * 100 // most
        if full >= bounds.warn:
            return QuotaDecision_Warn(QuotaWarning(f"{mailbox} is {full} % full", ceiling))
        return QuotaDecision_Allow(ceiling)
