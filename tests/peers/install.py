#!/usr/bin/env python3
"""Installs the servers that Postern is measured against: Postfix, Dovecot, libmilter and argon2 from Debian (as root),
Haraka by npm into the user's cache folder. No service of the system is enabled or started: the benches start
instances of their own.

`install.py` installs what is missing and prints the versions; it needs Node 20 with npm for Haraka and gcc for the milter.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = ("postfix", "dovecot-core", "dovecot-lmtpd", "dovecot-pop3d", "dovecot-sqlite", "libmilter-dev", "argon2",
            "openssl")
UNITS = {"postfix": "postfix", "dovecot-core": "dovecot"}
POLICY_RC_D = Path("/usr/sbin/policy-rc.d")
REFUSES = "#!/bin/sh\nexit 101\n"
HARAKA = "3.3.4"


class Missing(Exception):
    """What is not there, and how to mend it, in one line."""


def cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postern" / "peers"


def haraka():
    """The folder of the Haraka that is measured."""
    return cache() / f"haraka-{HARAKA}" / "node_modules" / "Haraka"


def milter():
    return cache() / "milter"


def installed(package):
    """Its version, or None."""
    if not shutil.which("dpkg-query"):
        return None
    found = subprocess.run(["dpkg-query", "-W", "-f", "${Status}\t${Version}", package], capture_output=True, text=True)
    status, _, version = found.stdout.partition("\t")
    return version if found.returncode == 0 and status.endswith("ok installed") else None


@contextmanager
def no_services():
    """While packages are set up nothing is started (invoke-rc.d asks policy-rc.d); one that is there is left alone."""
    if POLICY_RC_D.exists():
        yield
        return
    POLICY_RC_D.write_text(REFUSES)
    POLICY_RC_D.chmod(0o755)
    try:
        yield
    finally:
        POLICY_RC_D.unlink()


def quietly(command, what, **options):
    """Runs it, and shows what it said only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:])
        raise Missing(f"{what} failed: {' '.join(map(str, command))}; what it said stands above")


def packages():
    missing = [package for package in PACKAGES if not installed(package)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Missing("apt-get is missing: the peers are Debian's packages")
    if os.geteuid():
        raise Missing(f"not installed: {' '.join(missing)}; run this as root, or install them with apt-get")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # Without an answer postfix would make a main.cf for the whole system.
    answer = "postfix postfix/main_mailer_type select No configuration\n"
    quietly(["debconf-set-selections"], "debconf", input=answer)
    quietly(["apt-get", "update", "-qq"], "apt-get", env=environment)
    with no_services():
        quietly(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], "apt-get", env=environment)
    # Packages enable what they bring, for the next start of the machine.
    units = [unit for package, unit in UNITS.items() if package in missing]
    if units and shutil.which("systemctl"):
        quietly(["systemctl", "disable", *units], "systemctl")


def npm():
    if (haraka() / "package.json").exists():
        return
    if not shutil.which("npm"):
        raise Missing("npm is missing: install Node 20 or newer")
    target = cache() / f"haraka-{HARAKA}"
    target.mkdir(parents=True, exist_ok=True)
    quietly(["npm", "install", "--prefix", str(target), "--no-audit", "--no-fund", "--omit=dev", "--omit=optional",
             "--ignore-scripts", f"Haraka@{HARAKA}"], "npm")


def build():
    """The milter, when its source is newer."""
    if not shutil.which("gcc"):
        raise Missing("gcc is missing: install it for the milter")
    source = HERE / "milter.c"
    if milter().exists() and milter().stat().st_mtime >= source.stat().st_mtime:
        return
    cache().mkdir(parents=True, exist_ok=True)
    quietly(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(milter()), str(source), "-lmilter",
             "-lpthread"], "gcc")


def versions():
    found = {package: installed(package) for package in PACKAGES}
    found["Haraka"] = HARAKA
    found["node"] = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return found


def everything():
    packages()
    npm()
    build()
    return versions()


if __name__ == "__main__":
    try:
        for name, version in everything().items():
            print(f"{name:<16} {version}")
    except Missing as fault:
        sys.exit(f"peers: {fault}")
