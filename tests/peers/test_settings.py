"""The settings of the servers: what is promised of them stands in the files."""

import unittest
from pathlib import Path

from peers import settings

PORTS = {"smtp": 20001, "smtps": 20002, "lmtp": 20003, "pop3": 20004, "pop3s": 20005}
SITE = settings.Site(Path("/srv/peers/7"), Path("/srv/peers/certificate.pem"), Path("/srv/peers/key.pem"), PORTS, mailboxes=3, logins=2)


def main_cf(files):
    return dict(line.split(" = ", 1) for line in files["postfix/main.cf"].splitlines())


class Files(unittest.TestCase):
    def test_dovecot_syncs_what_it_takes_in_every_format(self):
        for format in settings.FORMATS:
            conf = settings.dovecot(SITE, format)["dovecot.conf"]
            self.assertIn(f"mail_location = {format}:~/mail\nmail_fsync = optimized\n", conf)
            for port in ("lmtp", "pop3", "pop3s"):
                self.assertIn(f"port = {PORTS[port]}\n", conf)
            self.assertEqual(conf.count("{"), conf.count("}"))

    def test_dovecot_has_plain_passwords_in_a_file_and_hashes_in_a_database(self):
        files = settings.dovecot(SITE, "maildir")
        self.assertEqual(files["dovecot.passwords"].splitlines(),
                         [f"u{n}@example.org:{{PLAIN}}correct horse battery::::::" for n in range(3)])
        self.assertIn("connect = /srv/peers/7/hashes.sqlite\n", files["dovecot.sql"])
        self.assertLess(files["dovecot.conf"].index("driver = passwd-file"), files["dovecot.conf"].index("driver = sql"))

    def test_postfix_limits_no_rate_asks_no_dns_and_lives_in_its_folder(self):
        files = settings.postfix(SITE, SITE.lmtp_socket)
        main = main_cf(files)
        self.assertEqual({main[f"smtpd_client_{limit}_limit"] for limit in
                          ("connection_count", "connection_rate", "message_rate", "recipient_rate", "new_tls_session_rate")}, {"0"})
        self.assertEqual((main["in_flow_delay"], main["smtpd_peername_lookup"], main["lmtp_dns_support_level"]), ("0", "no", "disabled"))
        self.assertEqual(main["virtual_transport"], "lmtp:unix:/srv/peers/7/lmtp")
        for folder in ("queue_directory", "data_directory", "maillog_file"):
            self.assertTrue(main[folder].startswith("/srv/peers/7/"), main[folder])
        self.assertNotIn("smtpd_milters", main)
        self.assertEqual(len(files["postfix/mailboxes"].splitlines()), 5)

    def test_every_service_of_postfix_is_one_line_and_none_is_in_a_jail(self):
        services = [line.split() for line in settings.postfix(SITE, SITE.lmtp_socket)["postfix/master.cf"].splitlines()]
        self.assertEqual({service[4] for service in services}, {"n"})
        self.assertEqual([service[0] for service in services[:2]], ["127.0.0.1:20001", "127.0.0.1:20002"])

    def test_the_milter_is_there_when_it_is_asked_for(self):
        main = main_cf(settings.postfix(SITE, SITE.lmtp_socket, milter=True))
        self.assertEqual(main["smtpd_milters"], "unix:/srv/peers/7/milter")

    def test_haraka_has_a_worker_a_core_and_no_dns(self):
        files = settings.haraka(SITE, SITE.lmtp_socket, 2)
        self.assertIn("listen=127.0.0.1:20001,127.0.0.1:20002\nsmtps_port=20002\nnodes=2\n", files["config/smtp.ini"])
        self.assertEqual(files["config/plugins"].split()[0], "no_dns")
        self.assertEqual(files["config/lmtp.ini"], "path=/srv/peers/7/lmtp\n")

    def test_postern_serves_on_the_same_ports_with_its_defaults(self):
        text = settings.postern(SITE)["postern.yaml"]
        for name, port in PORTS.items():
            self.assertIn(f'name: {name}, ', text)
            self.assertIn(f'address: "127.0.0.1:{port}" }}', text)
        self.assertIn("store: embedded\n", text)
