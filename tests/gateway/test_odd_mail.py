"""Every odd message comes back byte for byte behind the trace headers; what is past a limit is refused whole."""

from gateway.base import GatewayCase

HEAD = b"From: <sender@example.net>\r\nSubject: odd\r\n\r\n"


# The defaults of limits.line (with its CRLF), limits.headers and limits.message_size.
LINE = 64 << 10
HEADERS = 2 << 20
MESSAGE = 50 << 20


def headers(octets):
    """A header section of so many octets, without its empty line."""
    line = b"X-Filler: 0123456789abcdef\r\n"
    whole = line * (octets // len(line) - 1)
    return whole + b"X-Rest: " + b"r" * (octets - len(whole) - 10) + b"\r\n"


def of_size(octets):
    whole = large(octets - 200)
    return whole + b"z" * (octets - len(whole) - 2) + b"\r\n"


def large(octets):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return HEAD + line * (octets // len(line))


class OddMail(GatewayCase):
    def comes_back(self, content, expected=None, how="data", parameters="", recipient="ann@example.org"):
        expected = content if expected is None else expected
        with self.mx() as client:
            self.accept(client, content, [recipient], parameters=parameters, how=how)
        pop = self.pop(utf8=True)
        sizes = pop.listing()
        self.assertEqual(list(sizes), [1])
        text = pop.retrieve(1)
        self.assertEqual(len(text), sizes[1], "LIST and RETR differ in size")
        self.assertTrue(text.endswith(expected), "the message behind the trace is not what was sent")
        trace = text[:len(text) - len(expected)]
        self.assertIn(b"Received: from ", trace)
        self.assertTrue(trace.startswith(b"Return-Path: <sender@example.net>\r\n"), trace[:80])
        pop.command("DELE 1")
        pop.quit()

    def test_dots_at_line_starts(self):
        self.comes_back(HEAD + b".\r\n..\r\n...\r\n.a\r\n\r\n.\r\n")

    def test_a_message_that_begins_with_a_dot(self):
        self.comes_back(b".\r\n")

    def test_a_body_without_a_header_section_is_kept_out_of_the_trace(self):
        for how in ["data", "bdat"]:
            for content in [b" by evil.example; today\r\nSubject: x\r\n\r\ntext\r\n", b"\tevil\r\n", b"Hello\r\n"]:
                self.comes_back(content, b"\r\n\r\n" + content, how=how)

    def test_the_line_of_an_mbox_is_a_field(self):
        line = b"From ann@example.org Thu Jan  1 00:00:00 1970\r\n" + HEAD
        self.comes_back(line, b"\r\nX-Mailbox-Line: " + line)

    def test_undeclared_eight_bit(self):
        self.comes_back(HEAD + bytes(range(128, 256)) + b"\r\n")

    def test_declared_eight_bit(self):
        self.comes_back(HEAD + "grüße\r\n".encode(), parameters=" BODY=8BITMIME")

    def test_an_empty_message(self):
        self.comes_back(b"")

    def test_headers_only(self):
        self.comes_back(b"Subject: x\r\n")

    def test_ten_thousand_header_lines(self):
        self.comes_back(b"".join(b"X-Line-%d: value\r\n" % n for n in range(10_000)) + b"\r\nbody\r\n")

    def test_a_missing_final_crlf_by_bdat_is_added_and_nothing_else(self):
        self.comes_back(HEAD + b"no end", HEAD + b"no end\r\n", how="bdat")

    def test_bdat_with_dots(self):
        self.comes_back(HEAD + b".\r\n..x\r\n", how="bdat")

    def test_forty_megabytes(self):
        self.comes_back(large(40 << 20))

    def test_forty_megabytes_by_bdat(self):
        self.comes_back(large(40 << 20), how="bdat")

    def test_utf8_addresses(self):
        self.gateway.add_user("jürgen@example.org", "correct horse battery")
        with self.mx() as client:
            self.accept(client, "Subject: grüße\r\n\r\nfür dich\r\n".encode(), ["jürgen@example.org"],
                        parameters=" SMTPUTF8")
        pop = self.pop("jürgen@example.org", utf8=True)
        self.assertTrue(pop.retrieve(1).endswith("Subject: grüße\r\n\r\nfür dich\r\n".encode()))
        pop.quit()
        pop = self.pop("ann@example.org")
        self.assertEqual(pop.listing(), {})
        pop.quit()

    def test_without_utf8_the_headers_are_downgraded_and_sizes_are_true(self):
        content = "From: Jürgen <j@example.net>\r\nSubject: grüße\r\n\r\nfür dich\r\n".encode()
        with self.mx() as client:
            self.accept(client, content, parameters=" SMTPUTF8")
        pop = self.pop()
        text = pop.retrieve(1)
        self.assertEqual(len(text), pop.listing()[1])
        self.assertTrue(text.split(b"\r\n\r\n")[0].isascii(), text)
        self.assertTrue(text.endswith("\r\n\r\nfür dich\r\n".encode()))
        pop.quit()

    def test_bare_line_feeds_are_refused_and_the_session_goes_on(self):
        with self.mx() as client:
            client.envelope("sender@example.net", ["ann@example.org"])
            code, text = client.data(HEAD + b"bare\nfeed\r\n")
            self.assertEqual(code // 100, 5, text)
            self.accept(client, HEAD + b"good\r\n")

    def refused(self, content, code=554, enhanced="5.6.0", how="data"):
        """The message is refused whole, and the session stays in sync and takes the next one."""
        with self.mx() as client:
            client.envelope("sender@example.net", ["ann@example.org"])
            answer, text = getattr(client, how)(content)
            self.assertEqual((answer, text.split()[0]), (code, enhanced), text)
            self.assertEqual(client.command("NOOP")[0], 250)
            self.accept(client, HEAD + b"good\r\n")
        pop = self.pop()
        self.assertEqual(len(pop.listing()), 1, "only the good one is kept")
        pop.quit()

    def test_nul_is_refused(self):
        self.refused(HEAD + b"a\0b\r\n")

    def test_nul_is_refused_by_bdat(self):
        self.refused(HEAD + b"a\0b\r\n", how="bdat")

    def test_a_line_of_64_kib_comes_back(self):
        self.comes_back(HEAD + b"x" * (LINE - 2) + b"\r\n")

    def test_a_line_of_one_octet_more_is_refused(self):
        self.refused(HEAD + b"x" * (LINE - 1) + b"\r\n")

    def test_a_line_of_one_octet_more_is_refused_by_bdat(self):
        self.refused(HEAD + b"x" * (LINE - 1) + b"\r\n", how="bdat")

    def test_headers_of_2_mib_come_back(self):
        self.comes_back(headers(HEADERS) + b"\r\nbody\r\n")

    def test_headers_of_one_octet_more_are_refused(self):
        self.refused(headers(HEADERS + 1) + b"\r\nbody\r\n")

    def test_a_message_of_exactly_the_largest_size_comes_back(self):
        self.comes_back(of_size(MESSAGE))

    def test_a_message_of_one_octet_more_is_refused(self):
        self.refused(of_size(MESSAGE + 1), code=552, enhanced="5.3.4")

    def test_a_declared_size_of_one_octet_more_is_refused_at_mail(self):
        with self.mx() as client:
            self.assertEqual(client.command(f"MAIL FROM:<s@example.net> SIZE={MESSAGE + 1}")[0], 552)
            self.assertEqual(client.command(f"MAIL FROM:<s@example.net> SIZE={MESSAGE}")[0], 250)

    def test_a_sender_with_utf8_and_a_display_name_come_back(self):
        with self.mx() as client:
            content = "From: Jürgen <jürgen@bücher.example>\r\nSubject: grüße\r\n\r\nfür dich\r\n".encode()
            self.accept(client, content, sender="jürgen@bücher.example", parameters=" BODY=8BITMIME SMTPUTF8")
        pop = self.pop(utf8=True)
        text = pop.retrieve(1)
        self.assertTrue(text.startswith("Return-Path: <jürgen@bücher.example>\r\n".encode()), text[:80])
        self.assertTrue(text.endswith(content))
        pop.quit()

    def test_utf8_addresses_without_smtputf8_are_refused(self):
        with self.mx() as client:
            code, text = client.command("MAIL FROM:<jürgen@example.net>")
            self.assertEqual(code, 553, text)

    def test_nobody_sees_another_recipient(self):
        with self.mx() as client:
            self.accept(client, HEAD + b"two\r\n", ["ann@example.org", "bob@example.org"])
        for user, other in (("ann", "bob"), ("bob", "ann")):
            pop = self.pop(f"{user}@example.org")
            text = pop.retrieve(1)
            self.assertNotIn(f"{other}@".encode(), text)
            self.assertEqual(len(text), pop.listing()[1])
            pop.quit()
