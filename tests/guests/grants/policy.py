"""grants: what the capabilities that are granted by name know of a sender, each in a header field.

Each raises its error as `Err`, whose text is `error.value`: `not granted` where the administrator's file grants
nothing, else what is outside of the grant, or what went wrong. Caught, it ends nothing: this filter says it in the
field, and accepts.
"""

from collections.abc import Callable

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config, directory, dns, edit, http, kv, session
from wit_world.imports.types import HeaderField, HttpRequest, Verdict, Verdict_Accept

# Seconds.
DAY = 86_400
# Octets of what others wrote that are shown.
SHOWN = 100


class MessageFilter(exports.MessageFilter):
    def on_message(self) -> Verdict:
        sender = session.mail_from()
        tell("X-Kv", ask_kv, sender)
        tell("X-Dns", ask_dns, sender)
        tell("X-Directory", ask_directory, sender)
        tell("X-Http", ask_http, sender)
        return Verdict_Accept()


def tell(field: str, ask: Callable[[str], str], sender: str) -> None:
    try:
        value = ask(sender)
    except Err as error:
        value = f"error: {error.value}"
    edit.add_header(field, value)


def ask_kv(sender: str) -> str:
    """The sender's last message, in whose place this one is put."""
    key = f"last/{sender}"
    last = kv.get(key)
    this = session.queue_id().encode()
    # Of two messages at once only one finds what it read still there.
    if not kv.compare_and_set(key, last, this, DAY):
        return "another at the same time"
    return "the first" if last is None else f"after {shown(last)}"


def ask_dns(sender: str) -> str:
    """Where the sender's domain takes mail; an empty list where it has no MX."""
    _, _, domain = sender.rpartition("@")
    return ", ".join(dns.mx(domain))


def ask_directory(sender: str) -> str:
    """The mailbox behind the sender's address, if it is one of ours."""
    mailbox = directory.mailbox_of(sender)
    return "nobody here" if mailbox is None else mailbox


def ask_http(sender: str) -> str:
    """What a service says about the sender."""
    request = HttpRequest(
        method="POST",
        url=config.get("url") or "https://api.example.com/reputation",
        headers=[HeaderField("Content-Type", b"text/plain")],
        body=sender.encode(),
        # What the grant gives one request.
        timeout_ms=0,
    )
    answer = http.send(request)
    return f"{answer.status} {shown(answer.body)}"


def shown(octets: bytes) -> str:
    """Their beginning as text. They may be anything; what is no ASCII is a question mark."""
    return "".join(chr(octet) if 32 <= octet <= 126 else "?" for octet in octets[:SHOWN])
