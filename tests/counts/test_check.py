"""What is made of counts: what fails, what is told, what is written."""

import json
import unittest
from pathlib import Path

from counts import check

WITH = {"rustc": "rustc 1.95.0", "valgrind": "valgrind-3.19.0"}


def figures(**cases):
    return {"with": WITH, "cases": {name.replace("_", "-"): {"instructions": count, "tolerance": 5} for name, count in cases.items()}}


class Check(unittest.TestCase):
    def test_what_takes_more_than_may_be_fails_with_both_figures_and_how_to_accept(self):
        lines, failures = check.compare(figures(smtp_dialogue=1000, store_batch=1000), {"smtp-dialogue": 1051, "store-batch": 1050})
        self.assertEqual(len(lines), 2)
        self.assertEqual(len(failures), 1)
        for word in ("smtp-dialogue", "1,051", "5.1 % more", "1,000", "make counts-accept"):
            self.assertIn(word, failures[0])

    def test_what_takes_less_is_told_and_does_not_fail(self):
        lines, failures = check.compare(figures(smtp_dialogue=1000), {"smtp-dialogue": 900})
        self.assertEqual(failures, [])
        self.assertIn("make counts-accept", lines[1])
        self.assertEqual(len(check.compare(figures(smtp_dialogue=1000), {"smtp-dialogue": 950})[0]), 1)

    def test_a_case_without_a_figure_fails(self):
        _, failures = check.compare({}, {"smtp-dialogue": 1000})
        self.assertIn("smtp-dialogue has no figure yet", failures[0])

    def test_what_is_accepted_keeps_tolerances_and_what_was_not_counted_and_forgets_what_is_gone(self):
        committed = figures(smtp_dialogue=1000, store_batch=2000, gone=3)
        committed["cases"]["smtp-dialogue"]["tolerance"] = 8
        written = check.accepted(committed, {"smtp-dialogue": 1500, "new": 7}, WITH, ["smtp-dialogue", "store-batch", "new"])
        self.assertEqual(written, {"with": WITH, "cases": {
            "new": {"instructions": 7, "tolerance": check.TOLERANCE},
            "smtp-dialogue": {"instructions": 1500, "tolerance": 8},
            "store-batch": {"instructions": 2000, "tolerance": 5}}})
        self.assertEqual(check.compare(written, {"smtp-dialogue": 1500, "new": 7})[1], [])

    def test_other_tools_are_named(self):
        here = WITH | {"rustc": "rustc 1.96.0"}
        self.assertEqual(check.others(figures(), here), ["counted with rustc 1.96.0, the committed figures with rustc 1.95.0"])
        self.assertEqual(check.others(figures(), WITH), [])

    def test_the_sum_of_a_dump_is_read(self):
        self.assertEqual(check.total("version: 1\nevents: Ir\nfn=(1) main\n16 400\ntotals: 421\n"), 421)
        with self.assertRaises(check.Fault):
            check.total("version: 1\n")

    def test_every_case_has_a_figure_that_is_committed(self):
        source = (Path(check.__file__).parent / "src/main.rs").read_text()
        committed = json.loads(check.FIGURES.read_text())["cases"]
        for case in committed:
            self.assertIn(f'("{case}"', source)
        self.assertEqual(source.count('    ("'), len(committed))


if __name__ == "__main__":
    unittest.main()
