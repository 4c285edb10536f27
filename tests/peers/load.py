"""How the load generator (`tests/load`) is asked, and what it answers: the only place that knows its options."""

import json
import subprocess

from peers import settings


# Seconds beyond a run's own.
PATIENCE = 120


class Failed(Exception):
    """The generator ended badly, or answered what cannot be read."""


def address(port):
    return f"127.0.0.1:{port}"


def outcome(text, counts="turns"):
    """Of the generator's one line of JSON: how many `turns` or `messages`, in how long, how long each turn took, what failed."""
    try:
        said = json.loads(text)
        return {
            "count": said[counts],
            "seconds": said["seconds"],
            "rate": said[counts] / said["seconds"],
            "p50_ms": said["p50_ms"],
            "p99_ms": said["p99_ms"],
            "failed": said["failed"],
            "failures": dict(said["failures"]),
        }
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as fault:
        raise Failed(f"the load generator answered {text[:200]!r}: {fault!r}") from fault


class Load:
    """Closed loops: each connection goes on when it is answered."""

    def __init__(self, binary):
        self.binary = str(binary)

    def _run(self, mode, port, connections, seconds, *options, counts="turns"):
        command = [self.binary, mode, address(port), "--connections", str(connections), "--seconds", str(seconds), "--json",
                   *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE)
        if done.returncode:
            raise Failed(f"{mode}: the load generator ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return outcome(done.stdout, counts)

    def smtp(self, port, recipients, connections, seconds, size):
        return self._run("smtp", port, connections, seconds, "--to", ",".join(recipients), "--size", str(size))

    def lmtp(self, port, recipients, connections, seconds, size):
        return self._run("lmtp", port, connections, seconds, "--to", ",".join(recipients), "--size", str(size))

    def retrieve(self, port, user, seconds, at_once):
        """One session reads the messages of a maildrop again and again, so many asked for in one go."""
        return self._run("pop3", port, 1, seconds, "--users", user, "--password", settings.PASSWORD, "--kept", "--at-once",
                         str(at_once), counts="messages")

    def log_in(self, port, users, seconds):
        """Each connection logs in as a user of its own, asks STAT and quits, again and again."""
        return self._run("pop3", port, len(users), seconds, "--users", ",".join(users), "--password", settings.PASSWORD)
