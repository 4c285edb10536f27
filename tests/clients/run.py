#!/usr/bin/env python3
"""Ordinary mail clients against a real gateway: each sends or fetches one message that is then compared.

A client that is not installed is told as skipped; with POSTERN_CLIENTS_REQUIRED=1 it is a failure.
"""

import argparse
import email.policy
import os
import poplib
import re
import shutil
import smtplib
import ssl
import subprocess
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from support.gateway import Gateway  # noqa: E402

USER, PASSWORD = "ann@example.org", "correct horse battery"
CLIENTS = []


def client(*programs):
    """Registers a check that needs these programs."""
    def register(function):
        CLIENTS.append((function.__name__.replace("_", "-"), programs, function))
        return function
    return register


def run(command, home, **options):
    env = dict(os.environ, HOME=str(home), SSL_CERT_FILE=str(options.pop("ca")), LC_ALL="C.UTF-8")
    result = subprocess.run(command, env=env, capture_output=True, timeout=90, cwd=home, **options)
    if result.returncode:
        raise AssertionError(f"{command[0]} ended with {result.returncode}: "
                             f"{(result.stdout + result.stderr).decode(errors='replace')[-800:]}")
    return result.stdout


def message(token):
    return (f"From: {USER}\r\nTo: {USER}\r\nSubject: {token}\r\nMessage-ID: <{token}@example.org>\r\n"
            f"Date: Wed, 25 Nov 2026 12:00:00 +0000\r\n\r\nbody {token}\r\n.leading dot\r\n").encode()


def context(gateway):
    return ssl.create_default_context(cafile=str(gateway.certificate))


def pop(gateway):
    session = poplib.POP3_SSL("localhost", gateway.ports["pop3s"], context=context(gateway))
    session.user(USER)
    session.pass_(PASSWORD)
    return session


def fetched(gateway):
    """Takes everything out of the maildrop."""
    session = pop(gateway)
    texts = [b"\r\n".join(session.retr(n)[1]) + b"\r\n" for n in range(1, session.stat()[0] + 1)]
    for number in range(1, len(texts) + 1):
        session.dele(number)
    session.quit()
    return texts


def arrived(gateway, token):
    texts = fetched(gateway)
    assert len(texts) == 1, f"{len(texts)} messages instead of one"
    assert token.encode() in texts[0], "another message"
    return texts[0]


def submit(gateway, token):
    with smtplib.SMTP_SSL("localhost", gateway.ports["submissions"], context=context(gateway)) as session:
        session.login(USER, PASSWORD)
        session.sendmail(USER, [USER], message(token))


@client()
def python_smtplib_and_poplib(gateway, home, token):
    with smtplib.SMTP("localhost", gateway.ports["submission"]) as session:
        session.starttls(context=context(gateway))
        session.login(USER, PASSWORD)
        session.sendmail(USER, [USER], message(token), mail_options=["BODY=8BITMIME"])
    text = arrived(gateway, token)
    assert text.endswith(message(token)), "the message behind the trace is not what was sent"


@client("curl")
def curl(gateway, home, token):
    (home / "message").write_bytes(message(token))
    ca = ["--silent", "--show-error", "--cacert", str(gateway.certificate), "--user", f"{USER}:{PASSWORD}"]
    run(["curl", *ca, "--ssl-reqd", "--url", f"smtp://localhost:{gateway.ports['submission']}",
         "--mail-from", USER, "--mail-rcpt", USER, "--upload-file", "message"], home, ca=gateway.certificate)
    text = run(["curl", *ca, f"pop3s://localhost:{gateway.ports['pop3s']}/1"], home, ca=gateway.certificate)
    assert text.endswith(message(token)), "curl fetched something else"
    arrived(gateway, token)


@client("swaks")
def swaks(gateway, home, token):
    run(["swaks", "--server", f"localhost:{gateway.ports['submission']}", "--tls", "--tls-verify",
         "--tls-ca-path", str(gateway.certificate), "--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD,
         "--from", USER, "--to", USER, "--header", f"Subject: {token}"], home, ca=gateway.certificate)
    arrived(gateway, token)


@client("msmtp")
def msmtp(gateway, home, token):
    run(["msmtp", "--file=/dev/null", "--host=localhost", f"--port={gateway.ports['submissions']}", "--tls=on",
         "--tls-starttls=off", f"--tls-trust-file={gateway.certificate}", "--auth=plain", f"--user={USER}",
         f"--passwordeval=echo {PASSWORD}", f"--from={USER}", USER], home, ca=gateway.certificate, input=message(token))
    arrived(gateway, token)


@client("s-nail")
def s_nail(gateway, home, token):
    user, word = USER.replace("@", "%40"), PASSWORD.replace(" ", "%20")
    run(["s-nail", "-:/", "-Sv15-compat", "-Ssendwait", f"-Sssl-ca-file={gateway.certificate}",
         "-Stls-verify=strict", f"-Stls-ca-file={gateway.certificate}", f"-Sfrom={USER}", "-Ssmtp-auth=plain",
         f"-Smta=smtps://{user}:{word}@localhost:{gateway.ports['submissions']}", "-s", token, USER],
        home, ca=gateway.certificate, input=b"hello\n")
    arrived(gateway, token)


@client("mutt")
def mutt(gateway, home, token):
    user = USER.replace("@", "%40")
    (home / "muttrc").write_text(
        f'set smtp_url="smtps://{user}@localhost:{gateway.ports["submissions"]}/"\nset smtp_pass="{PASSWORD}"\n'
        f'set certificate_file="{gateway.certificate}"\nset ssl_verify_dates=yes\nset from="{USER}"\nset copy=no\n'
        f'set ssl_ca_certificates_file="{gateway.certificate}"\nset smtp_authenticators="plain"\n')
    run(["mutt", "-n", "-F", "muttrc", "-s", token, "--", USER], home, ca=gateway.certificate, input=b"hello\n")
    arrived(gateway, token)


@client("fetchmail")
def fetchmail(gateway, home, token):
    submit(gateway, token)
    rc = home / "fetchmailrc"
    rc.write_text(f'poll localhost protocol pop3 service {gateway.ports["pop3s"]} auth password\n  username "{USER}" '
                  f'password "{PASSWORD}" ssl sslcertck sslcertfile "{gateway.certificate}"\n  mda "cat >> {home}/inbox"\n')
    rc.chmod(0o600)
    run(["fetchmail", "-f", str(rc), "--pidfile", str(home / "pid"), "--silent", "--uidl", "-i", str(home / "ids")],
        home, ca=gateway.certificate)
    assert token in (home / "inbox").read_text(), "fetchmail fetched something else"
    assert not fetched(gateway), "fetchmail's deletion did not happen"


@client("getmail")
def getmail6(gateway, home, token):
    submit(gateway, token)
    for folder in ("cur", "new", "tmp"):
        (home / "maildir" / folder).mkdir(parents=True)
    owner = ""
    if os.geteuid() == 0:  # getmail delivers for root only in another's name
        owner = "user = nobody\n"
        home.chmod(0o711)
        for folder in ("", "cur", "new", "tmp"):
            shutil.chown(home / "maildir" / folder, "nobody")
    (home / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {gateway.ports['pop3s']}\n"
        f"username = {USER}\npassword = {PASSWORD}\nca_certs = {gateway.certificate}\n"
        f"[destination]\ntype = Maildir\npath = {home}/maildir/\n{owner}[options]\ndelete = true\n")
    run(["getmail", f"--getmaildir={home}", "--rcfile=getmailrc"], home, ca=gateway.certificate)
    texts = [file.read_text() for file in (home / "maildir" / "new").iterdir()]
    assert len(texts) == 1 and token in texts[0], "getmail fetched something else"
    assert not fetched(gateway), "getmail's deletion did not happen"


@client("mpop")
def mpop(gateway, home, token):
    submit(gateway, token)
    rc = home / "mpoprc"
    rc.write_text(f"account default\nhost localhost\nport {gateway.ports['pop3s']}\nuser {USER}\npassword {PASSWORD}\n"
                  f"tls on\ntls_starttls off\ntls_trust_file {gateway.certificate}\nkeep off\nauth plain\n"
                  f"delivery mbox {home}/mbox\nuidls_file {home}/uidls\n")
    rc.chmod(0o600)
    run(["mpop", f"--file={rc}"], home, ca=gateway.certificate)
    assert token in (home / "mbox").read_text(), "mpop fetched something else"
    assert not fetched(gateway), "mpop's deletion did not happen"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--postern", required=True, help="the binary to test")
    arguments.add_argument("--only", help="one client")
    options = arguments.parse_args()
    required = os.environ.get("POSTERN_CLIENTS_REQUIRED") == "1"
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    with Gateway(options.postern) as gateway:
        gateway.postern("domain", "add", "example.org")
        gateway.add_user(USER, PASSWORD)
        for name, programs, check in CLIENTS:
            if options.only not in (None, name):
                continue
            absent = [program for program in programs if not shutil.which(program)]
            if absent:
                outcome, why = ("failed" if required else "skipped"), f"{absent[0]} is not installed"
            else:
                outcome, why = attempt(gateway, check)
            counts[outcome] += 1
            print(f"client {name:<28} {outcome}" + (f": {why}" if why else ""), flush=True)
        if counts["failed"]:
            print("".join(gateway.log[-40:]))
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


def attempt(gateway, check):
    import tempfile
    with tempfile.TemporaryDirectory(prefix="postern-client-") as home:
        try:
            check(gateway, Path(home), uuid.uuid4().hex)
            return "passed", ""
        except (AssertionError, OSError, subprocess.SubprocessError, smtplib.SMTPException, poplib.error_proto) as fault:
            try:
                fetched(gateway)
            except (OSError, poplib.error_proto):
                pass
            return "failed", re.sub(r"\s+", " ", str(fault))


if __name__ == "__main__":
    sys.exit(main())
