"""The settings of every server that is measured, as files: text by path below the instance's folder.

Alike for all: everything durable before the 250, loopback, no DNS, no filters, no limits on rates, a log file, the
same certificate and the same password hashes. What is in favour of a peer is said beside it.
"""

from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "example.org"
PASSWORD = "correct horse battery"
HASHES = "hashes.sqlite"
FORMATS = ("maildir", "sdbox", "mdbox")
# What Postern hashes passwords with; Dovecot's own argon2id (64 MiB, three passes) costs five times as much.
ARGON2ID = {"memory_kib": 19456, "passes": 2, "lanes": 1}
# Processes and sessions that no server is to run short of.
PLENTY = 4000


def plain(number):
    """A mailbox whose password costs Dovecot nothing to check."""
    return f"u{number}@{DOMAIN}"


def hashed(number):
    return f"h{number}@{DOMAIN}"


@dataclass(frozen=True)
class Site:
    """Where an instance lives, and what it serves."""

    folder: Path
    certificate: Path
    key: Path
    ports: dict = field(default_factory=dict)
    mailboxes: int = 64
    logins: int = 16

    @property
    def lmtp_socket(self):
        return self.folder / "lmtp"

    @property
    def milter_socket(self):
        return self.folder / "milter"

    @property
    def addresses(self):
        return [plain(n) for n in range(self.mailboxes)] + [hashed(n) for n in range(self.logins)]


# Durable before LMTP's 250, in each format: the message's file, the folder it is in, and the list or index that names it
# (as strace shows). `always` syncs caches too, which are made anew when they are lost.
FSYNC = "optimized"


def dovecot(site, format):
    """Files of a Dovecot that keeps mail in this format; LMTP by a port and a socket, POP3 with and without TLS."""
    return {
        "dovecot.passwords": "".join(f"{plain(n)}:{{PLAIN}}{PASSWORD}::::::\n" for n in range(site.mailboxes)),
        "dovecot.sql": (f"driver = sqlite\nconnect = {site.folder}/{HASHES}\n"
                        f"password_query = SELECT '{{ARGON2ID}}' || hash AS password FROM hashes WHERE user = '%u'\n"),
        "dovecot.conf": f"""\
base_dir = {site.folder}/run
state_dir = {site.folder}/state
instance_name = {site.folder.name}
protocols = lmtp pop3
listen = 127.0.0.1
log_path = {site.folder}/dovecot.log
ssl = yes
ssl_cert = <{site.certificate}
ssl_key = <{site.key}
disable_plaintext_auth = no
auth_mechanisms = plain
# Hashes are in a database, for what is read of a file is hashed by one process alone: workers hash on all cores. The cache
# spares the look into it.
auth_cache_size = 10M
auth_cache_verify_password_with_worker = yes
mail_location = {format}:~/mail
mail_fsync = {FSYNC}
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_max_userip_connections = 0
postmaster_address = postmaster@{DOMAIN}
default_process_limit = {PLENTY}
default_client_limit = {PLENTY * 4}
default_vsz_limit = 1G
passdb {{
  driver = passwd-file
  args = username_format=%u {site.folder}/dovecot.passwords
}}
passdb {{
  driver = sql
  args = {site.folder}/dovecot.sql
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={site.folder}/mail/%u
}}
service lmtp {{
  process_min_avail = 16
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {site.ports["lmtp"]}
  }}
  unix_listener {site.lmtp_socket} {{
    mode = 0666
  }}
}}
# Processes that serve many sessions, one after the other: the faster of Dovecot's modes.
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  inet_listener pop3 {{
    port = {site.ports["pop3"]}
  }}
  inet_listener pop3s {{
    port = {site.ports["pop3s"]}
    ssl = yes
  }}
}}
service pop3 {{
  service_count = 100000
  process_limit = {PLENTY}
  process_min_avail = 16
}}
""",
    }


def postfix(site, lmtp_socket, milter=False):
    """Files of a Postfix that takes mail by SMTP and gives it to an LMTP server at that socket."""
    main = {
        "compatibility_level": "3.6",
        "queue_directory": f"{site.folder}/queue",
        "data_directory": f"{site.folder}/data",
        "maillog_file": f"{site.folder}/postfix.log",
        "maillog_file_prefixes": site.folder,
        "myhostname": "mx.example.net",
        "mydestination": "",
        "mynetworks": "",
        "alias_maps": "",
        "alias_database": "",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "virtual_mailbox_domains": DOMAIN,
        "virtual_mailbox_maps": f"texthash:{site.folder}/postfix/mailboxes",
        "virtual_transport": f"lmtp:unix:{lmtp_socket}",
        # As many deliveries at once as there are clients; 20 is its default.
        "lmtp_destination_concurrency_limit": "64",
        "initial_destination_concurrency": "64",
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "smtpd_peername_lookup": "no",
        "smtp_dns_support_level": "disabled",
        "lmtp_dns_support_level": "disabled",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_client_connection_rate_limit": "0",
        "smtpd_client_message_rate_limit": "0",
        "smtpd_client_recipient_rate_limit": "0",
        "smtpd_client_new_tls_session_rate_limit": "0",
        "smtpd_error_sleep_time": "0",
        "in_flow_delay": "0",
        "default_process_limit": PLENTY,
        "smtpd_timeout": "300s",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": f"{site.key}, {site.certificate}",
    }
    if milter:
        main |= {"smtpd_milters": f"unix:{site.milter_socket}", "milter_default_action": "accept"}
    inet = "inet  n - n - - smtpd"
    services = [
        f"127.0.0.1:{site.ports['smtp']} {inet}",
        f"127.0.0.1:{site.ports['smtps']} {inet} -o smtpd_tls_wrappermode=yes",
        "cleanup    unix n - n - 0 cleanup",
        "qmgr       unix n - n 300 1 qmgr",
        "tlsmgr     unix - - n 1000? 1 tlsmgr",
        "rewrite    unix - - n - - trivial-rewrite",
        "bounce     unix - - n - 0 bounce",
        "defer      unix - - n - 0 bounce",
        "trace      unix - - n - 0 bounce",
        "verify     unix - - n - 1 verify",
        "flush      unix n - n 1000? 0 flush",
        "proxymap   unix - - n - - proxymap",
        "proxywrite unix - - n - 1 proxymap",
        "showq      unix n - n - - showq",
        "error      unix - - n - - error",
        "retry      unix - - n - - error",
        "lmtp       unix - - n - - lmtp",
        "anvil      unix - - n - 1 anvil",
        "scache     unix - - n - 1 scache",
        "postlog    unix-dgram n - n - 1 postlogd",
    ]
    return {
        "postfix/main.cf": "".join(f"{name} = {value}\n" for name, value in main.items()),
        "postfix/master.cf": "".join(f"{service}\n" for service in services),
        "postfix/mailboxes": "".join(f"{address} kept\n" for address in site.addresses),
    }


def haraka(site, lmtp_socket, workers):
    """Files of a Haraka with so many worker processes, whose queue (synced before the 250) goes to an LMTP server."""
    return {
        "config/smtp.ini": (f"listen=127.0.0.1:{site.ports['smtp']},127.0.0.1:{site.ports['smtps']}\n"
                            f"smtps_port={site.ports['smtps']}\nnodes={workers}\n"),
        "config/plugins": "no_dns\ntls\nrcpt_to.in_host_list\nqueue/lmtp\n",
        "config/host_list": f"{DOMAIN}\n",
        "config/lmtp.ini": f"path={lmtp_socket}\n",
        "config/connection.ini": ("[main]\n[haproxy]\nenabled=false\n[headers]\nmax_lines=1000\nmax_received=100\n"
                                  "[max]\nbytes=52428800\nmime_parts=1000\nline_length=512\ndata_line_length=992\n"
                                  "[message]\nhelo=Haraka\nclose=bye\n[uuid]\nbanner_chars=6\ndeny_chars=0\n"),
        "config/outbound.ini": "enable_tls=false\nlocal_mx_ok=true\n",
        # A line for each message; `info` has one for each hook.
        "config/log.ini": "[main]\nlevel=notice\ntimestamps=true\n",
        "config/me": "mx.example.net\n",
        "config/tls.ini": f"key={site.key}\ncert={site.certificate}\n",
        # Haraka asks DNS for each client's name unless a plugin knows it.
        "plugins/no_dns.js": "exports.hook_lookup_rdns = (next) => next(OK, 'localhost')\n",
    }


def postern(site):
    """Files of a Postern on its embedded store; its policies are what lies in plugins.d."""
    listeners = [
        ("smtp", "role: mx, tls: none"),
        ("smtps", "role: mx, tls: implicit"),
        ("lmtp", "role: lmtp, tls: none"),
        ("pop3", "role: pop3, tls: none, plaintext_auth: true"),
        ("pop3s", "role: pop3, tls: implicit"),
    ]
    lines = [f'  - {{ name: {name}, {role}, address: "127.0.0.1:{site.ports[name]}" }}\n' for name, role in listeners]
    return {"postern.yaml": "".join([
        "hostname: mx.example.net\nstate: state\nstore: embedded\npolicy: { folder: plugins.d }\n",
        f"postmaster: {plain(0)}\nlisteners:\n", *lines,
        f"tls: {{ certificates: [ {{ chain: {site.certificate}, key: {site.key} }} ] }}\n",
        f"limits: {{ sessions: {PLENTY * 4} }}\n",
    ])}


def write(files, folder):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


SAID = (
    "All servers run one at a time, as fresh instances in a folder on the same file system, on loopback, without DNS, filters or "
    "limits on rates, each with its log in a file, and with one certificate (ECDSA P-256) and one hash of passwords (argon2id, "
    f"{ARGON2ID['memory_kib'] // 1024} MiB, {ARGON2ID['passes']} passes).",
    "Postfix syncs each queue file before its 250, and gives it to Dovecot's LMTP by a socket, 64 deliveries at once (its default is 20).",
    "Haraka syncs each queue file (not the folder of it) before its 250; one worker a core; it logs a line a message "
    "(`notice`); it knows domains, not mailboxes; it gives mail to Dovecot's LMTP by a socket.",
    f"Dovecot: `mail_fsync` is {FSYNC}, which syncs a message's file, its folder and the list or index that names it before LMTP's "
    "250; login processes serve many sessions; hashes are in SQLite, so that workers hash on all cores, with the cache for logins "
    "before it. A POP3 session has a process, which then serves the next.",
    "Postern: the embedded store, its defaults; it remembers a right password as a keyed hash for 10 minutes.",
    "Mailboxes have plain passwords in Dovecot where logins are not what is measured.",
)
