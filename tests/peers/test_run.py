"""The order of the servers in rounds, and what is told of a run."""

import unittest
from contextlib import nullcontext, redirect_stderr
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

from peers import cases, run


class Bench(run.Bench):
    """Without servers: a measurement is only counted."""

    def __init__(self):
        self.load, self.amount = None, None

    def server(self, name):
        return nullcontext(SimpleNamespace(name=name, group=SimpleNamespace(counted="control group"), complaints=lambda: [],
                                           said=lambda: f"the log of {name}"))


class Rounds(unittest.TestCase):
    def order(self, round_number):
        case = cases.Case("x", ("a", "b", "c"), lambda server, load, amount: {"rate": 1})
        return [record["server"] for record in Bench().records(case, round_number)]

    def test_every_second_one_goes_backwards(self):
        self.assertEqual([self.order(number) for number in (1, 2, 3)], [["a", "b", "c"], ["c", "b", "a"], ["a", "b", "c"]])

    def test_a_measurement_that_fails_is_told_with_the_servers_log_and_the_others_go_on(self):
        def fails(server, load, amount):
            if server.name == "a":
                raise RuntimeError("no answer")
            return {"rate": 1}

        with redirect_stderr(StringIO()) as told:
            first, second = Bench().records(cases.Case("x", ("a", "b"), fails), 1)
        self.assertEqual((first["fault"], second["rate"]), ("RuntimeError('no answer')", 1))
        self.assertEqual(told.getvalue(), "peers: a, x: RuntimeError('no answer')\nthe log of a\n")


class Told(unittest.TestCase):
    def test_a_command_is_recorded_without_folders(self):
        self.assertEqual(run.command(["tests/peers/run.py", "--load", "/somewhere/release/load", "--rounds", "2"]),
                         "tests/peers/run.py --load load --rounds 2")

    def test_the_machine_is_one_line(self):
        self.assertRegex(run.machine(Path("/")), r"^\d+ cores of .+, \d+ GiB, .+, Linux \S+, \w+$")
