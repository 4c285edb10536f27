"""A real `postern` process for tests: own state folder, ephemeral ports, ended by its own pid."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

LISTENERS = {
    "mx": "role: mx",
    "submission": "role: submission",
    "submissions": "role: submission, tls: implicit",
    "lmtp": "role: lmtp, tls: none",
    "pop3": "role: pop3",
    "pop3s": "role: pop3, tls: implicit",
    "admin": "role: admin, tls: none",
}
LISTENING = re.compile(r"listening.*?\bname=\"?([\w-]+)\"?.*?\baddress=\"?([0-9.:\[\]a-f]+)")


class Gateway:
    """`with Gateway(binary) as gateway:` starts it and waits until every listener listens."""

    def __init__(self, binary, extra="", folder=None, wrap=(), store="embedded", policy=""):
        self.binary = str(Path(binary).resolve())
        self._own = tempfile.TemporaryDirectory(prefix="postern-test-") if folder is None else None
        self.folder = Path(folder or self._own.name)
        self.config = self.folder / "postern.yaml"
        self.plugins = self.folder / "plugins.d"
        self.extra = extra
        self.store = store
        self.policy = policy
        self.wrap = list(wrap)
        self.ports = {}
        self.log = []
        self._more = threading.Condition()
        self.process = None

    def write_config(self):
        self.plugins.mkdir(exist_ok=True)
        lines = ["hostname: localhost", "state: state", "listeners:"]
        lines += [f'  - {{ name: {name}, {role}, address: "127.0.0.1:0" }}' for name, role in LISTENERS.items()]
        lines += [f"store: {self.store}", f"policy: {{ folder: plugins.d, {self.policy} }}",
                  "postmaster: admin@example.org"]
        self.config.write_text("\n".join(lines) + "\n" + self.extra)

    def start(self):
        self.write_config()
        self.ports = {}
        self.process = subprocess.Popen(
            self.wrap + [self.binary, "serve", "--config", str(self.config)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        ready = threading.Event()
        threading.Thread(target=self._follow, args=(self.process, ready), daemon=True).start()
        if not ready.wait(60) or len(self.ports) < len(LISTENERS):
            self.kill()
            raise RuntimeError("postern did not come up:\n" + "".join(self.log[-40:]))
        return self

    def _follow(self, process, ready):
        with process.stdout as log:
            for line in log:
                with self._more:
                    self.log.append(line)
                    self._more.notify_all()
                found = LISTENING.search(line)
                if found:
                    self.ports[found.group(1)] = int(found.group(2).rsplit(":", 1)[1])
                    if len(self.ports) == len(LISTENERS):
                        ready.set()
        ready.set()

    def logged(self, pattern, since=0):
        """Waits for a line of the log that has `pattern`, at `since` or behind it."""
        found = re.compile(pattern)
        with self._more:
            if not self._more.wait_for(lambda: any(map(found.search, self.log[since:])), 60):
                raise AssertionError(f"no {pattern!r} in the log:\n" + "".join(self.log[since:]))
            return next(line for line in self.log[since:] if found.search(line))

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def kill(self, signum=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.wait(60)

    def stop(self):
        self.kill(signal.SIGTERM)
        return self.process.returncode

    @property
    def certificate(self):
        return next((self.folder / "state" / "tls").glob("*cert*.pem"))

    def postern(self, *arguments, stdin=None, check=True):
        return subprocess.run(
            [self.binary, *arguments, "--config", str(self.config)],
            env=os.environ | {"XDG_CACHE_HOME": str(self.folder.resolve() / "cache")},
            input=stdin, text=True, capture_output=True, check=check, timeout=120,
        )

    def add_user(self, address, password, *options):
        self.postern("user", "add", address, "--password-stdin", *options, stdin=password + "\n")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if self._own:
            self._own.cleanup()
