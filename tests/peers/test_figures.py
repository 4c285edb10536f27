"""What is made of records: medians, ratios, tables, notes."""

import unittest

from peers import cases, figures


RUN = {"machine": "2 cores", "at": "today", "load_average": "0.10", "command": "run.py --rounds 1", "rounds": 1, "seconds": 5,
       "warm": 3, "mailboxes": 64, "size": 4096, "versions": {"Postern": "0.1.0", "postfix": "3.7"}}


def record(case, server, **more):
    return {"case": case, "server": server, "round": 1, "failed": 0, "failures": {}, "complaints": [],
            "counted": "control group", "count": 100} | more


def rate(server, value, **more):
    return record("lmtp-16", server, rate=value, cpu_ms=1000 / value, p50_ms=1.5, p99_ms=9.0, **more)


class Figures(unittest.TestCase):
    def test_a_rate_is_the_median_of_its_rounds_and_ours_is_compared_with_it(self):
        records = [rate("dovecot-mdbox", value) for value in (400, 100, 500)]
        records += [rate("postern", value) for value in (3000, 3200, 9000)]
        lines = figures.rates(records)
        self.assertEqual(lines[2], "| LMTP, 16 connections | Dovecot, mdbox | 400 | 100 – 500 | 8.00 × | 2.50 | 1.50 | 9.00 | 0 |")
        self.assertEqual(lines[3], "| LMTP, 16 connections | Postern | 3,200 | 3,000 – 9,000 |  | 0.312 | 1.50 | 9.00 | 0 |")
        self.assertEqual(len(lines), 4)

    def test_a_run_without_ours_has_no_ratio(self):
        self.assertIn("| – |", figures.rates([rate("dovecot-mdbox", 400)])[2])

    def test_memory_is_said_as_a_part_of_the_others(self):
        records = [record("idle-smtp", "postfix", kib=1600.0), record("idle-smtp", "postern", kib=10.0)]
        lines = figures.memory(records)
        self.assertEqual(lines[2], "| SMTP in clear | Postfix + Dovecot, maildir | 1,600 | 1,600 – 1,600 | 1/160 | 100 |")
        self.assertEqual(lines[3], "| SMTP in clear | Postern | 10.0 | 10.0 – 10.0 |  | 100 |")

    def test_a_policy_costs_the_median_of_what_it_adds_round_by_round(self):
        costs = {"postern": (0.5, 0.9, 0.4), "postern-policy": (0.6, 0.95, 0.7)}
        records = [record("policy", server, round=number, cpu_ms=cost, visible_rate=100.0 if server == "postern" else 90.0)
                   for server, rounds in costs.items() for number, cost in enumerate(rounds)]
        # Its partner failed.
        records.append(record("policy", "postern-policy", round=9, cpu_ms=0.7, visible_rate=90.0))
        self.assertEqual(figures.policies(records)[2],
                         "| Postern, tag-subject.wasm | 0.500 | 0.700 | 0.100 | 0.050 – 0.300 | 90% |")

    def test_what_could_not_be_measured_is_told_and_in_no_table(self):
        failed = record("lmtp-16", "dovecot-sdbox", fault="TimeoutError('late')")
        self.assertEqual(len(figures.rates([rate("postern", 10), failed])), 3)
        self.assertIn("* 1 × Dovecot, sdbox, lmtp-16, not measured: TimeoutError('late')", figures.page(RUN, [failed], []))

    def test_numbers_have_three_digits_that_count(self):
        shown = [figures.number(value) for value in (12345.6, 100, 99.94, 10, 9.996, 1, 0.1234, None)]
        self.assertEqual(shown, ["12,346", "100", "99.9", "10.0", "10.00", "1.00", "0.123", "–"])

    def test_the_page_names_machine_command_failures_and_complaints(self):
        records = [rate("postern", 10, failed=2, failures={"451 no": 2}), rate("dovecot-sdbox", 10, complaints=["Error: why", "Error: b"])]
        page = figures.page(RUN, records, ["All alike."])
        for said in ("2 cores. today, load average 0.10", "`run.py --rounds 1`", "Postern 0.1.0, postfix 3.7", "* All alike.",
                     "by control group", "* 2 × Postern, lmtp-16: 451 no", "* in the log of Dovecot, sdbox, lmtp-16: `Error: why`"):
            self.assertIn(said, page)
        self.assertNotIn("## Memory", page)

    def test_every_case_has_a_place_and_every_server_a_name(self):
        shown = {line.case for line in figures.RATES + figures.MEMORY} | {"policy"}
        self.assertEqual(shown, {case.key for case in cases.CASES})
        self.assertEqual({server for case in cases.CASES for server in case.servers}, set(figures.NAMES))
