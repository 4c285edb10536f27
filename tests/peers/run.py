#!/usr/bin/env python3
"""Measures Postern beside Postfix, Dovecot and Haraka on this machine, one server at a time, in turns.

Each measurement is of a fresh server; its record is a line of JSON in INTO/peers.jsonl, and INTO/peers.md has the tables.
One that fails is told and left out of them, and the exit code is 1.
Needs root: the servers have users of their own. It ends what it started, also when it is killed.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))
from peers import cases, figures, install, servers, settings  # noqa: E402
from peers.load import Failed, Load  # noqa: E402

LISTENERS = ("smtp", "smtps", "lmtp", "pop3", "pop3s")
# What a line on the way says of a record.
SHOWN = ("rate", "visible_rate", "cpu_ms", "kib")
PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAG_SUBJECT = TESTS.parent / "plugins" / "tag-subject" / "30-tag-subject.yaml"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postern", type=Path, required=True, help="a release build of the gateway")
    parser.add_argument("--load", type=Path, required=True, help="a release build of the load generator")
    parser.add_argument("--guests", type=Path, required=True, help="the folder with tag_subject.wasm")
    parser.add_argument("--into", type=Path, default=TESTS / "results", help="where peers.jsonl and peers.md go")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk that is measured")
    parser.add_argument("--only", action="append", choices=[case.key for case in cases.CASES], help="these cases")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="measured, of each server in each round")
    parser.add_argument("--warm", type=int, default=3, help="seconds of load before that")
    parser.add_argument("--idle", type=int, default=200, help="sessions that idle")
    return parser.parse_args()


def output(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout.strip()


def file_system(folder):
    return output("findmnt", "-n", "-o", "FSTYPE", "-T", folder)


def machine(folder):
    """One line: cores, memory, system, file system."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M).group(1)) / (1 << 20)
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    name = cpu.group(1) if cpu else platform.machine()
    return (f"{os.cpu_count()} cores of {name}, {memory:.0f} GiB, {system}, Linux {platform.release()}, "
            f"{file_system(folder)}")


@contextmanager
def own_folder(parent):
    """A folder that servers' users can look into, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="postern-peers-", dir=parent))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


def certificate(folder):
    """One for all servers."""
    chain, key = folder / "certificate.pem", folder / "key.pem"
    output("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
           "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", chain)
    return chain, key


class Bench:
    """Makes fresh servers, and keeps the records of what they did."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.certificate, self.key = certificate(folder)
        self.hash = servers.password_hash()
        self.amount = cases.Amount(options.seconds, options.warm, cases.MAILBOXES, options.idle)
        self.load = Load(options.load.resolve())
        self.made = 0
        self.prepared = servers.prepare(options.postern.resolve(), self.site())

    def site(self):
        self.made += 1
        return settings.Site(self.folder / str(self.made), self.certificate, self.key, servers.free_ports(LISTENERS),
                             mailboxes=max(self.amount.mailboxes, self.amount.idle + 1))

    def server(self, name):
        kind, _, variant = name.partition("-")
        match kind:
            case "postfix":
                format = "mdbox" if variant == "mdbox" else "maildir"
                return servers.PostfixDovecot(self.site(), format, self.hash, milter=variant == "milter")
            case "haraka":
                return servers.HarakaDovecot(self.site(), "maildir", self.hash)
            case "dovecot":
                return servers.Dovecot(self.site(), variant, self.hash)
            case "postern":
                policies = [(self.options.guests / "tag_subject.wasm", TAG_SUBJECT)] if variant else []
                return servers.Postern(self.site(), self.options.postern.resolve(), self.prepared, policies)

    def records(self, case, round_number):
        """One round of a case; every second one goes backwards, so that none is always the first."""
        for name in case.servers[::1 if round_number % 2 else -1]:
            with self.server(name) as server:
                began = time.monotonic()
                try:
                    measured = case.measure(server, self.load, self.amount)
                except (OSError, AssertionError, EOFError, RuntimeError, Failed, subprocess.SubprocessError) as fault:
                    print(f"peers: {name}, {case.key}: {fault!r}\n{server.said()}", file=sys.stderr)
                    measured = {"fault": repr(fault)}
                yield {"case": case.key, "server": name, "round": round_number, **measured, "took": time.monotonic() - began,
                       "counted": server.group.counted, "complaints": server.complaints()[:5]}


def command(words):
    """As it was said, but files without their folders, which say nothing on another machine."""
    return shlex.join(["tests/peers/run.py", *(word.rstrip("/").rpartition("/")[2] for word in words[1:])])


def the_run(options, folder):
    """What a reader must know of a run beside its records."""
    return {
        "machine": machine(folder),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load_average": f"{os.getloadavg()[0]:.2f}",
        "command": command(sys.argv),
        "versions": {"Postern": output(options.postern, "--version").removeprefix("postern "), **install.versions()},
        "rounds": options.rounds, "seconds": options.seconds, "warm": options.warm,
        "mailboxes": cases.MAILBOXES, "size": cases.SIZE,
    }


def measure(options, folder):
    bench = Bench(options, folder)
    chosen = [case for case in cases.CASES if not options.only or case.key in options.only]
    options.into.mkdir(parents=True, exist_ok=True)
    with open(options.into / "peers.jsonl", "w") as lines:
        run, records = the_run(options, folder), []
        print(json.dumps({"run": run}), file=lines, flush=True)
        for case in chosen:
            for round_number in range(1, options.rounds + 1):
                for record in bench.records(case, round_number):
                    records.append(record)
                    print(json.dumps(record), file=lines, flush=True)
                    shown = "  ".join(f"{name} {figures.number(record[name])}" for name in SHOWN if name in record)
                    print(f"{case.key:<16} {record['server']:<18} round {round_number}  {shown or 'failed'}", flush=True)
    page = figures.page(run, records, settings.SAID)
    (options.into / "peers.md").write_text(page)
    print(page)
    return 1 if any("fault" in record for record in records) else 0


def ended(signum, _):
    """Ends the servers on the way out, in which nothing more is heard."""
    for other in ENDING:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + signum)


def in_child(work):
    """Does it in a child, which hears of it when this process is killed, and still ends what it started."""
    if child := os.fork():
        for signum in ENDING:
            signal.signal(signum, lambda *_: os.kill(child, signal.SIGTERM))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for signum in ENDING:
        signal.signal(signum, ended)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    return work()


def main():
    options = arguments()
    if os.geteuid():
        sys.exit("peers: not root: Postfix and Dovecot start as root and change to users of their own")
    for wanted in (options.postern, options.load, options.guests / "tag_subject.wasm"):
        if not wanted.is_file():
            sys.exit(f"peers: {wanted} is not there: build it, or say `make peers`")
    if file_system(options.folder) == "tmpfs":
        sys.exit(f"peers: {options.folder} is in memory, where nothing is made durable: name one on a disk with --folder")
    try:
        install.everything()
    except install.Missing as fault:
        sys.exit(f"peers: {fault}")

    def work():
        with own_folder(options.folder) as folder:
            return measure(options, folder)

    return in_child(work)


if __name__ == "__main__":
    sys.exit(main())
