"""A guest that does what a policy must not: at MAIL FROM, what the setting `do` names."""

import sys

from wit_world import exports
from wit_world.imports import config, log
from wit_world.imports.types import Reply, Verdict, Verdict_Accept, Verdict_Reject


class ConnectionFilter(exports.ConnectionFilter):
    def on_connect(self) -> Verdict:
        return Verdict_Accept()


class SenderFilter(exports.SenderFilter):
    def on_mail(self) -> Verdict:
        match config.get("do"):
            case "loop":
                while True:
                    pass
            case "grow":
                hoard = []
                while True:
                    hoard.append(b"x" * len(hoard) * (1 << 16))
            case "recurse":
                # Python's own bound would only raise an error.
                sys.setrecursionlimit(1 << 30)
                recurse(0)
            case "logs":
                line = "x" * (64 << 10)
                while True:
                    log.error(line)
            case "huge":
                return Verdict_Reject(Reply(550, "5.7.1", "x" * (1 << 30)))
            case "trap":
                raise ValueError("a trap, as the settings say")
        return Verdict_Accept()


def recurse(depth: int) -> int:
    return recurse(depth + 1) + 1
