"""example-policy: one address for a team, addresses with a detail behind a plus, and one that is closed.

A router says where mail for an address goes: pass (not mine, the next is asked), local, rewrite (ask again
for these), relay, discard, reject or defer. The first that does not pass decides.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import Reply, Route, Route_Pass, Route_Reject, Route_Rewrite


def members() -> list[str]:
    return [member.strip(" ") for member in (config.get("members") or "").split(",")]


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
        known("team", "members", "closed")
        for member in members():
            local, _, domain = member.rpartition("@")
            if not (local and domain):
                raise Err(f"members: `{member}` is no address")


class Router(exports.Router):
    def resolve(self, recipient: str) -> Route:
        """The domain of `recipient` is in small letters."""
        if recipient == config.get("closed"):
            return Route_Reject(Reply(550, "5.1.1", f"{recipient} is closed"))
        if recipient == config.get("team"):
            return Route_Rewrite(members())
        local, _, domain = recipient.rpartition("@")
        name, plus, _ = local.partition("+")
        if name and plus:
            return Route_Rewrite([f"{name}@{domain}"])
        return Route_Pass()
