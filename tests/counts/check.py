#!/usr/bin/env python3
"""Counts the instructions of the hot paths under callgrind and compares them with those that are committed.

    tests/counts/check.py COUNTS PROBE [--accept] [--rounds N] [CASE…]

COUNTS is the release build of this folder, PROBE the component of tests/guests/probe; `make counts` has both. The
figures are tests/results/instructions.json: for each case its instructions and what it may take more, in percent, and
what they were counted with. A case that takes more fails; one that takes less is told. `--accept` writes what was
counted in their place. `--rounds` counts each case so often and tells by how much the rounds differ; the median counts.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FIGURES = Path(__file__).resolve().parent.parent / "results" / "instructions.json"
# What a new case may take more, in percent.
TOLERANCE = 5
# The function that is counted, as callgrind may show its name. A star stands for one character at least.
MEASURED = ("*measured", "*measured*")


class Fault(Exception):
    """One line for whoever runs it."""


def counted(binary, case, probe):
    """Instructions of one case, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="counts-") as folder:
        out = Path(folder) / "out"
        begin_and_end = [f"--{what}={name}" for name in MEASURED for what in ("zero-before", "dump-after")]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *begin_and_end, str(binary), case, str(probe)]
        # One thread for policies: who of several takes a call is chance.
        run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TOKIO_WORKER_THREADS": "1"})
        if run.returncode:
            raise Fault(f"{case} fails under callgrind: {run.stderr.strip()[-2000:]}")
        dump = out.with_name("out.1")
        if not dump.exists():
            raise Fault(f"{case} counts nothing: no function `measured` was seen; is the binary stripped of its symbols?")
        return total(dump.read_text())


def total(dump):
    """The sum of a callgrind dump."""
    for line in dump.splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise Fault("a dump of callgrind without its totals")


def cases(binary):
    return subprocess.run([binary], check=True, capture_output=True, text=True).stdout.split()


def tools():
    """What the figures depend on besides the sources."""
    said = {word: subprocess.run([word, "--version"], check=True, capture_output=True, text=True).stdout.strip()
            for word in ("rustc", "valgrind")}
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    # Valgrind shows one of few processors, by what the real one has; libraries choose their code by that.
    processor = platform.machine() + (" with AVX2" if " avx2 " in flags else "")
    return said | {"libc": " ".join(platform.libc_ver()), "processor": processor}


def compare(committed, found):
    """Lines for whoever reads them, and lines that fail."""
    lines, failures = [], []
    known = committed.get("cases", {})
    for case, count in found.items():
        if case not in known:
            lines.append(f"{case:16} {count:>14,}")
            failures.append(f"{case} has no figure yet; `make counts-accept` writes it")
            continue
        before, tolerance = known[case]["instructions"], known[case]["tolerance"]
        change = 100 * (count - before) / before
        lines.append(f"{case:16} {count:>14,} {before:>14,} {change:>+7.2f} %  (up to {tolerance:+g} %)")
        if change > tolerance:
            failures.append(
                f"{case} takes {count:,} instructions, {change:.1f} % more than the {before:,} before ({tolerance:g} % may be). "
                f"Find out why (tests/README.md), or accept it with `make counts-accept` and say in the commit what it buys")
        elif change < -tolerance:
            lines.append(f"  it takes less than before: `make counts-accept` keeps that")
    return lines, failures


def others(committed, here):
    """What the committed figures were counted with, where that is not what is here."""
    before = committed.get("with", {})
    return [f"counted with {here[word]}, the committed figures with {before[word]}"
            for word in here if word in before and before[word] != here[word]]


def accepted(committed, found, here, all_cases):
    """The figures to commit: those of cases that are gone are left out, and tolerances stay."""
    known = committed.get("cases", {})
    kept = {case: known[case] for case in all_cases if case in known}
    new = {case: {"instructions": count, "tolerance": known.get(case, {}).get("tolerance", TOLERANCE)}
           for case, count in found.items()}
    return {"with": here, "cases": dict(sorted((kept | new).items()))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=Path)
    parser.add_argument("probe", type=Path)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if not shutil.which("valgrind"):
        raise Fault("valgrind is missing: apt-get install valgrind")
    committed = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    all_cases, here = cases(options.binary), tools()
    found = {}
    for case in options.cases or all_cases:
        rounds = [counted(options.binary, case, options.probe) for _ in range(options.rounds)]
        found[case] = statistics.median_low(rounds)
        if options.rounds > 1:
            spread = 100 * (max(rounds) - min(rounds)) / min(rounds)
            print(f"{case:16} {min(rounds):>14,} to {max(rounds):,}: {spread:.3f} %", flush=True)
    if options.accept:
        figures = accepted(committed, found, here, all_cases)
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    lines, failures = compare(committed, found)
    gone = sorted(set(committed.get("cases", {})) - set(all_cases))
    failures += [f"{case} has a figure and is no case any more; `make counts-accept` takes it out" for case in gone]
    print(f"{'case':16} {'instructions':>14} {'before':>14}", *lines, sep="\n")
    if options.accept:
        print(f"written to {FIGURES.name}; commit it")
    elif failures:
        raise Fault("\n".join(failures + others(committed, here)))


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        for line in str(fault).splitlines():
            print(f"counts: {line}", file=sys.stderr)
        sys.exit(1)
