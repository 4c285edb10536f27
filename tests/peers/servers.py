"""Instances of what is measured, each in a folder of its own and with processes that end with it.

`with Server(site, …) as server:` has started when it listens on all of its ports. What ends it badly leaves its log's
last lines in the error.
"""

import os
import random
import re
import shutil
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from peers import install, settings
from peers.usage import Group

PATIENCE = 60
PORTS = range(20000, 32000)
# In the logs of Dovecot and Postfix, of Haraka, of Postern.
COMPLAINT = re.compile(r"\b(?:[Ww]arning|[Ee]rror|[Ff]atal|[Pp]anic): |\[(?:WARN|ERROR|CRIT|ALERT|EMERG)\]| (?:WARN|ERROR) ")


def free_ports(names):
    """Ports that nobody listens on now, by name; below those that clients get, one of which might be asked for itself."""
    ports = {}
    for port in random.sample(PORTS, len(PORTS)):
        if len(ports) == len(names):
            return ports
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports[names[len(ports)]] = port
    raise RuntimeError(f"no free ports in {PORTS}")


def password_hash():
    """The hash that all servers check, in the string form that they share."""
    cost = settings.ARGON2ID
    command = ["argon2", os.urandom(16).hex(), "-id", "-t", str(cost["passes"]), "-k", str(cost["memory_kib"]),
               "-p", str(cost["lanes"]), "-e"]
    return subprocess.run(command, input=settings.PASSWORD, capture_output=True, text=True, check=True).stdout.strip()


class Server:
    """`serves` names its ports; `logs` are files in its folder; a subclass starts its processes in `_start`."""

    serves = ()
    logs = ()
    # Does it put a tag before subjects?
    tags = False

    def __init__(self, site):
        self.site = site
        self.group = None

    @property
    def ports(self):
        return {name: self.site.ports[name] for name in self.serves}

    def __enter__(self):
        self.site.folder.mkdir(mode=0o755)
        self.group = Group(f"{self.site.folder.parent.name}-{self.site.folder.name}")
        try:
            self._start()
            for port in self.ports.values():
                self._await(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.group.end()
        finally:
            shutil.rmtree(self.site.folder)

    def spawn(self, command, log, **options):
        with open(self.site.folder / log, "ab") as output:
            return self.group.spawn([str(word) for word in command], stdout=output, stderr=subprocess.STDOUT, **options)

    def _await(self, port):
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = [process for process in self.group.started if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self.site.folder.name} does not listen on port {port}:\n{self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)

    def said(self, lines=30):
        """The last lines of its logs."""
        texts = [path.read_text(errors="replace").splitlines()[-lines:]
                 for path in (self.site.folder / log for log in self.logs) if path.exists()]
        return "\n".join(line for text in texts for line in text)

    def complaints(self):
        """Warnings and errors in its logs."""
        found = [path.read_text(errors="replace").splitlines()
                 for path in (self.site.folder / log for log in self.logs) if path.exists()]
        return [line for lines in found for line in lines if COMPLAINT.search(line)]


class Dovecot(Server):
    serves = ("lmtp", "pop3", "pop3s")
    logs = ("dovecot.log", "output.log")

    def __init__(self, site, format, password_hash):
        super().__init__(site)
        self.format = format
        self.password_hash = password_hash

    def _start(self):
        folder = self.site.folder
        settings.write(settings.dovecot(self.site, self.format), folder)
        with closing(sqlite3.connect(folder / settings.HASHES)) as hashes, hashes:
            hashes.execute("CREATE TABLE hashes (user TEXT PRIMARY KEY, hash TEXT NOT NULL)")
            hashes.executemany("INSERT INTO hashes VALUES (?, ?)",
                               [(settings.hashed(number), self.password_hash) for number in range(self.site.logins)])
        for kept in ("mail", "state"):
            (folder / kept).mkdir()
        shutil.chown(folder / "mail", "mail", "mail")
        self.spawn(["dovecot", "-F", "-c", folder / "dovecot.conf"], "output.log")


class PostfixDovecot(Dovecot):
    serves = ("smtp", "smtps", *Dovecot.serves)
    logs = ("postfix.log", *Dovecot.logs)

    def __init__(self, site, format, password_hash, milter=False):
        super().__init__(site, format, password_hash)
        self.tags = milter

    def _start(self):
        super()._start()
        folder = self.site.folder
        settings.write(settings.postfix(self.site, self.site.lmtp_socket, self.tags), folder)
        for owned in ("queue", "data"):
            (folder / owned).mkdir()
        shutil.chown(folder / "data", "postfix")
        if self.tags:
            self.spawn([install.milter(), f"unix:{self.site.milter_socket}"], "output.log")
            self._await_socket(self.site.milter_socket)
        self._await_socket(self.site.lmtp_socket)
        self.spawn(["postfix", "-c", folder / "postfix", "start-fg"], "output.log")

    def _await_socket(self, path):
        deadline = time.monotonic() + PATIENCE
        while not path.is_socket():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} is not there:\n{self.said()}")
            time.sleep(0.02)
        path.chmod(0o666)


class HarakaDovecot(Dovecot):
    serves = ("smtp", "smtps", *Dovecot.serves)
    logs = ("haraka.log", *Dovecot.logs)

    def _start(self):
        super()._start()
        folder = self.site.folder / "haraka"
        settings.write(settings.haraka(self.site, self.site.lmtp_socket, os.cpu_count()), folder)
        (folder / "queue").mkdir()
        self.spawn(["node", install.haraka() / "bin" / "haraka", "-c", folder], "haraka.log")


class Postern(Server):
    """`prepared` is a state folder with its accounts; `policies` are pairs of a component and its YAML."""

    serves = ("smtp", "smtps", "lmtp", "pop3", "pop3s")
    logs = ("postern.log",)

    def __init__(self, site, binary, prepared, policies=()):
        super().__init__(site)
        self.binary = binary
        self.prepared = prepared
        self.policies = policies
        self.tags = bool(policies)

    def _start(self):
        folder = self.site.folder
        settings.write(settings.postern(self.site), folder)
        shutil.copytree(self.prepared, folder / "state")
        (folder / "plugins.d").mkdir()
        for component, yaml in self.policies:
            name = Path(yaml).stem
            shutil.copy(component, folder / "plugins.d" / f"{name}.wasm")
            shutil.copy(yaml, folder / "plugins.d" / f"{name}.yaml")
        self.spawn([self.binary, "serve", "--config", folder / "postern.yaml"], "postern.log")


def prepare(binary, site):
    """A state folder of Postern's with all accounts, below the site's folder."""
    site.folder.mkdir(mode=0o755)
    settings.write(settings.postern(site), site.folder)
    (site.folder / "plugins.d").mkdir()

    def postern(*arguments, stdin=None):
        subprocess.run([binary, *arguments, "--config", str(site.folder / "postern.yaml")], input=stdin, text=True,
                       capture_output=True, check=True)

    postern("domain", "add", settings.DOMAIN)
    for address in site.addresses:
        postern("user", "add", address, "--password-stdin", stdin=settings.PASSWORD + "\n")
    return site.folder / "state"
