#!/usr/bin/env python3
"""Makes tables and pictures of the runs that `load bench` wrote, or compares them with those of another time.

    tests/load/report.py RUNS.jsonl --into tests/results
    tests/load/report.py RUNS.jsonl --against tests/results/bench.jsonl

The first writes bench.md and the pictures beside it, and keeps the runs as bench.jsonl; parts that were not run now
stay there as they were run before. The second prints the main ratios of both. Medians of rounds; what was never run
has no figure. Nothing comes from elsewhere than the runs.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

from tables import curves, median, show, table


class Runs:
    """Lines of the file by what they measured: part, subject and what was varied."""

    def __init__(self, path, before=None):
        """`before` has the parts that are not in `path`."""
        self.lines = runs_in(path)
        if not self.lines:
            raise SystemExit(f"{path} holds no runs")
        if before:
            parts = {line["part"] for line in self.lines}
            self.lines += [line for line in runs_in(before) if line["part"] not in parts]
        self.trials = defaultdict(list)
        for line in self.lines:
            self.trials[line["id"].rsplit("#", 1)[0]].append(line)

    def those(self, part, subject="gateway"):
        """Rounds of each trial of a part."""
        for rounds in self.trials.values():
            if rounds[0]["part"] == part and rounds[0]["subject"] == subject:
                yield rounds

    def one(self, part, subject="gateway", **varied):
        for rounds in self.those(part, subject):
            if all(rounds[0].get(name) == value for name, value in varied.items()):
                return rounds
        return []


def runs_in(path):
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue  # Cut off by a kill; its run was made again.
    return lines


def rate(rounds):
    """Messages a second, or visits where those are more."""
    figures = [max(line["rate"], line.get("messages_rate", 0)) for line in rounds]
    return statistics.median(figures) if figures else None


def over(one, other, times=1):
    return None if one is None or not other else times * one / other


def failed(rounds):
    return sum(line.get("failed", 0) for line in rounds)


# The table that is wanted, and its main ratios.

HIGHER, LOWER = "≥", "≤"


def sessions(runs):
    return {rounds[0]["sessions"] for rounds in runs.those("idle")}


def each(runs, kind, count):
    return median(runs.one("idle", kind=kind, sessions=count), "memory", "rss_each_kib")


def ratios(runs, count=None):
    """Name, figure, unit, which direction is better, what is wanted at least and what is aimed at. `count` is of idle
    sessions, the most that there were where it is left out."""
    count = count or max(sessions(runs), default=None)
    many, one = (runs.one("deliveries", connections=connections) for connections in (64, 1))
    appended = lambda writers: runs.one("deliveries", "append", connections=writers)
    login = runs.one("login")
    yield "deliveries over 64 connections, of append + fdatasync", over(rate(many), rate(appended(64)), 100), "%", HIGHER, 12, 25
    sixteen = runs.one("deliveries", connections=16)
    yield "deliveries over 16 connections, of append + fdatasync", over(rate(sixteen), rate(appended(16)), 100), "%", HIGHER, None, None
    yield "deliveries over 64 connections, of an echo with the same turns", over(rate(many), rate(runs.one("deliveries", "echo", connections=64)), 100), "%", HIGHER, None, None
    yield "server's CPU for a delivery", median(many, "cpu_ms", "gateway"), "ms", LOWER, 0.25, 0.12
    yield "one connection: the 250 against append + fdatasync, medians", over(median(one, "p50_ms"), median(appended(1), "p50_ms")), "×", LOWER, 2.0, 1.4
    yield "p99 of the 250 at half of the highest rate", median(runs.one("half"), "p99_ms"), "ms", LOWER, 10, 5
    for at_once, name in ((1, "one at a time"), (32, "32 in one go")):
        read = runs.one("retr", at_once=at_once)
        echoed = runs.one("retr", "echo", at_once=at_once)
        yield f"RETR over one connection, {name}, of an echo", over(rate(read), rate(echoed), 100), "%", HIGHER, None, None
    yield "login and STAT of polling clients, of argon2id on all cores", over(rate(login), rate(runs.one("login", "argon2id"))), "×", HIGHER, None, None
    yield "idle SMTP session in clear", each(runs, "SMTP in clear", count), "KiB", LOWER, 12, 6
    yield "idle SMTP session over TLS", each(runs, "SMTP over TLS", count), "KiB", LOWER, 40, 20
    yield "idle POP3 session in clear", each(runs, "POP3 in clear", count), "KiB", LOWER, 12, 6
    yield "idle POP3 session over TLS", each(runs, "POP3 over TLS", count), "KiB", LOWER, 40, 20
    for rounds in runs.those("maildrop"):
        there = rounds[0]["messages_there"]
        wanted = (60, 20) if there == 100_000 else (None, None)
        yield f"login and STAT of a maildrop of {there:,} messages", median(rounds, "login_stat_ms"), "ms", LOWER, *wanted
    yield "generator's CPU, of the server's", over(median(many, "cpu_ms", "generator"), median(many, "cpu_ms", "gateway"), 100), "%", LOWER, 25, None
    alone = median(runs.one("policies", policies=0), "cpu_ms", "gateway")
    for copies in (1, 10):
        with_them = median(runs.one("policies", policies=copies), "cpu_ms", "gateway")
        added = None if None in (alone, with_them) else 1000 * (with_them - alone) / copies
        yield f"CPU that each of {copies} policies adds to a delivery", added, "µs", LOWER, 40, 20
    alone = median(runs.one("mixed", policies=0), "cpu_ms", "gateway")
    for rounds in runs.those("mixed"):
        with_them = median(rounds, "cpu_ms", "gateway")
        if rounds[0]["policies"] and alone is not None:
            yield f"CPU that {rounds[0]['policies']} policies of several languages add to a delivery", with_them - alone, "ms", LOWER, None, None
    for stored, slices in those_that_grew(runs) or [(1_000_000, [])]:
        # The first thousand messages are a fresh gateway's.
        cpu = [slice["cpu_ms"]["gateway"] for slice in slices[1:]]
        wanted = (1.25, 1.1) if stored >= 1_000_000 else (None, None)
        yield f"server's CPU for a delivery while the store grows from 1,000 to {stored:,} messages, last slice against the first", over(cpu[-1], cpu[0]) if cpu else None, "×", LOWER, *wanted


def figure(value, unit):
    if value is None:
        return "not run"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3 if unit == "ms" else 2
    return f"{show(value, digits)} {unit}"


def wanted(runs):
    rows = []
    for name, value, unit, better, least, aim in ratios(runs):
        reached = ""
        if value is not None and least is not None:
            holds = lambda bound: value >= bound if better == HIGHER else value <= bound
            reached = "aim" if aim is not None and holds(aim) else "yes" if holds(least) else "**no**"
        bound = lambda it: "" if it is None else f"{better} {it} {unit}"
        rows.append((name, bound(least), bound(aim), figure(value, unit), reached))
    return table(("what", "wanted", "aim", "measured", "reached"), rows)


def compared(now, then):
    count = max(sessions(now) & sessions(then), default=None)
    known = {name: value for name, value, *_ in ratios(then, count)}
    rows = []
    for name, value, unit, better, *_ in ratios(now, count):
        before = known.get(name)
        if value is None:
            continue
        change = over(value, before, 100)
        worse = change is not None and (change < 75 if better == HIGHER else change > 133)
        told = "" if change is None else f"{change - 100:+.0f} %" + (", **worse**" if worse else "")
        rows.append((name, figure(value, unit), figure(before, unit), told))
    return table(("what", "now", "committed", "change"), rows)


# All figures.

FIGURES = ("/s", "server's CPU ms", "generator's", "p50 ms", "p99 ms", "p99.9 ms", "longest", "written per octet", "rounds", "failed")


def figures(rounds):
    written = median(rounds, "written", "gateway") if median(rounds, "octets") else None
    return (
        show(rate(rounds)),
        show(median(rounds, "cpu_ms", "gateway"), 3),
        show(median(rounds, "cpu_ms", "generator"), 3),
        *(show(median(rounds, name), 2) for name in ("p50_ms", "p99_ms", "p99.9_ms", "longest_ms")),
        show(written, 2),
        len(rounds),
        failed(rounds),
    )


def beside(runs, part, key, subjects):
    """A part's rows, with the rate of each of its ceilings and the ratio to it."""
    rows = []
    for rounds in runs.those(part):
        varied = rounds[0][key]
        cells = []
        for subject in subjects:
            ceiling = rate(runs.one(part, subject, **{key: varied}))
            cells += [show(ceiling), show(over(rate(rounds), ceiling, 100), 1)]
        offered = median(rounds, "offered")
        rows.append((varied if offered is None else f"{varied}: {show(offered)}/s", *cells, *figures(rounds)))
    headings = [heading for subject in subjects for heading in (f"{subject} /s", "% of it")]
    return table((key.replace("_", " "), *headings, *FIGURES), rows)


def explained(runs):
    """Ratios to the gateway that records nothing come first."""
    off = runs.one("explain", explain="off")
    rows = []
    for rounds in runs.those("explain"):
        cpu = over(median(rounds, "cpu_ms", "gateway"), median(off, "cpu_ms", "gateway"))
        rows.append((rounds[0]["explain"], show(over(rate(rounds), rate(off), 100), 1), show(cpu, 3), *figures(rounds)))
    return table(("explain", "% of the rate without it", "× its CPU", *FIGURES), rows)


def read_back(runs):
    rows = [
        (show(line["acknowledged"]), line["lost"], line["doubled"], line["altered"], line["unacknowledged"])
        for rounds in runs.those("deliveries", "read back")
        for line in rounds
    ]
    return table(("acknowledged", "lost", "doubled", "altered", "there without a 250"), rows)


def idle(runs):
    rows = []
    for rounds in runs.those("idle"):
        line = rounds[0]
        rows.append((line["kind"], show(line["sessions"]), show(line["alive"]), show(median(rounds, "memory", "rss_each_kib"), 1), show(line["opened_rate"])))
    return table(("what", "sessions", "alive at the end", "KiB each", "opened /s"), rows)


def maildrops(runs):
    rows = []
    for rounds in runs.those("maildrop"):
        for line in sorted(rounds, key=lambda line: line["round"]):
            rows.append((show(line["messages_there"]), line["round"], *(show(line[name], 2) for name in ("login_ms", "stat_ms", "uidl_ms")), show(line["cpu_ms"]["gateway"], 0)))
    return table(("messages", "visit", "login ms", "STAT ms", "UIDL ms", "server's CPU ms"), rows)


def agreement(runs):
    rows = []
    for subject, who in (("real", "itself"), ("gateway", "load")):
        for rounds in runs.those("agreement", subject):
            line = rounds[0]
            size = over(line["octets"], line["messages"], 1 / 1024)
            rows.append((f"`{line['line']}`", who, show(60 * line["rate"]), show(line["messages"]), show(size, 1), show(line["failed"]), show(line["cpu_ms"]["gateway"], 3)))
    rows.sort(key=lambda row: row[0])
    return table(("line", "by", "turns a minute", "messages", "KiB each", "failed", "server's CPU ms"), rows)


def soak(runs):
    """The medians of the first and the last tenth, that one may see what grew."""
    rows = []
    for rounds in runs.those("soak"):
        line = rounds[0]
        lines = line["lines"]
        tenth = max(1, len(lines) // 10)
        ends = [[statistics.median(at[name] for at in part) for name in SOAKED] for part in (lines[:tenth], lines[-tenth:])]
        for name, *both in zip(SOAKED.values(), *ends):
            rows.append((name, *(show(it, 2 if it < 100 else 0) for it in both)))
        for name in ("acknowledged", "deleted", "lost", "doubled", "altered", "failed"):
            rows.append((name, "", show(line[name])))
        rows.append(("minutes", "", show(line["seconds"] / 60, 1)))
    return table(("what", "first tenth", "last tenth, or in all"), rows)


SOAKED = {"rate": "deliveries a second", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "rss_kib": "resident KiB", "disk_kib": "on the disk KiB", "live": "messages there"}


def those_that_grew(runs):
    """Messages and slices of each store that grew."""
    return [(rounds[0]["stored"], rounds[0]["slices"]) for rounds in runs.those("growth")]


def growth(runs):
    rows = []
    for _, slices in those_that_grew(runs):
        first = slices[1]["cpu_ms"]["gateway"]
        for nth, slice in enumerate(slices):
            cpu = slice["cpu_ms"]["gateway"]
            rows.append((
                f"{slice['from']:,} to {slice['to']:,}", show(slice["rate"]), show(cpu, 3), show(over(cpu, first), 2) if nth else "",
                *(show(slice[name], 2) for name in ("p50_ms", "p99_ms", "longest_ms")), show(slice["written"]["gateway"], 2),
                show(slice["rss_kib"] / 1024), show(slice["disk_kib"] / 1024), show(over(slice["disk_kib"], slice["to"]), 2), show(slice["failed"]),
            ))
    return table(("messages there", "/s", "server's CPU ms", "× from 1,000 on", "p50 ms", "p99 ms", "longest", "written per octet", "resident MiB", "on the disk MiB", "KiB a message", "failed"), rows)


def pictures(runs):
    """File name and drawing of each for which there are runs."""
    for _, slices in those_that_grew(runs):
        points = [(slice["to"] / 1000, slice["cpu_ms"]["gateway"]) for slice in slices[1:]]
        yield "bench-growth.svg", curves("CPU of a delivery while the store grows", "ms", "thousands of messages there", {"server's CPU-ms": points})
    points = [(rounds[0]["connections"], rate(rounds)) for rounds in runs.those("connections")]
    yield "bench-connections.svg", curves("Durable deliveries of 4 KiB", "/s", "connections", {"deliveries a second": points})
    lines = defaultdict(list)
    for rounds in runs.those("offered"):
        for name in ("p50_ms", "p99_ms"):
            lines[name.removesuffix("_ms")].append((median(rounds, "offered"), median(rounds, name)))
    yield "bench-latency.svg", curves("From when a delivery is due to its 250", "ms", "offered, deliveries a second", below_the_knee(lines))
    lines = defaultdict(list)
    for rounds in runs.those("idle"):
        line = rounds[0]
        if line.get("memory"):
            grown = (line["memory"]["rss_with_kib"] - line["memory"]["rss_before_kib"]) / 1024
            lines[line["kind"]].append((line["sessions"], grown))
    yield "bench-idle.svg", curves("Memory of idle sessions", "MiB", "sessions", lines)
    for rounds in runs.those("soak"):
        over_time = lambda name, unit: [(at["at_s"] / 60, at[name] / unit) for at in rounds[0]["lines"]]
        yield "bench-soak-memory.svg", curves("Memory of a soak", "MiB", "minutes", {"resident": over_time("rss_kib", 1024)})
        live = [(minute, count * 4 / 1024) for minute, count in over_time("live", 1)]
        yield "bench-soak-disk.svg", curves("Disk of a soak", "MiB", "minutes", {"on the disk": over_time("disk_kib", 1024), "messages of 4 KiB that are there": live})
        yield "bench-soak-latency.svg", curves("Latency of a soak", "ms", "minutes", {name: over_time(f"{name}_ms", 1) for name in ("p50", "p99")})
    points = [(rounds[0]["policies"], median(rounds, "cpu_ms", "gateway")) for rounds in runs.those("policies")]
    yield "bench-policies.svg", curves("CPU of a delivery through policies", "ms", "policies", {"server's CPU-ms": points})


def below_the_knee(lines):
    """Up to the first rate whose p99 is fifty times that of the lowest: beyond, the queue grows as long as it is asked."""
    points = sorted(lines.get("p99", ()))
    if not points:
        return lines
    beyond = next((offered for offered, p99 in points if p99 > 50 * points[0][1]), points[-1][0])
    return {name: [point for point in points if point[0] <= beyond] for name, points in lines.items()}


HEAD = """# Results over the embedded store

Made by `tests/load/report.py` from [the runs](bench.jsonl), one line of JSON each (`make bench`; see `tests/README.md`). Messages of 4 KiB unless something
else is said; the gateway, its store and the generator share one machine over loopback, and everything is on the disk before the 250. Rounds alternate
between what is compared; figures are medians. "append" is so many writers who append the same octets through one committer and fdatasync,
"echo" the same turns with the same octets over loopback; neither does anything else. CPU is user and system time of all threads for a message (or a visit, where nothing is read);
"written" is what the server caused to be written to disk for each octet of mail. Latency in an open loop counts from when a message was due.
"""


def document(runs, drawn):
    def drawing(name):
        return f"\n![{name}]({name})\n" if name in drawn else ""

    machines = sorted({line["machine"] for line in runs.lines})
    commands = sorted({line["command"] for line in runs.lines})
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(pick(line["at"] for line in runs.lines))) for pick in (min, max))
    loads = [float(line["load_average"]) for line in runs.lines]
    parts = [
        HEAD,
        f"**Machine**: {'; '.join(machines)}. {first}" + ("" if first == last else f" to {last}") + f". Load average {min(loads):.0f} to {max(loads):.0f}.\n",
        "**Commands**: " + ", ".join(f"`{command}`" for command in commands) + ".\n",
    ]
    sections = (
        ("What was wanted", wanted(runs)),
        ("Deliveries", beside(runs, "deliveries", "connections", ("append", "echo")) + "\nRead back, by number and checksum:\n\n" + read_back(runs)),
        ("Rate by connections", beside(runs, "connections", "connections", ()) + drawing("bench-connections.svg")),
        ("Latency by offered rate", "Shares of the highest rate, in an open loop.\n\n" + beside(runs, "half", "share", ()) + "\n" + beside(runs, "offered", "share", ()) + drawing("bench-latency.svg")),
        ("Reading", "RETR over one connection, by how many are asked for in one go.\n\n" + beside(runs, "retr", "at_once", ("echo",)) + "\nLogin and STAT, of clients that come again.\n\n" + beside(runs, "login", "connections", ("argon2id", "echo"))),
        ("Large maildrops", maildrops(runs)),
        ("Idle sessions", idle(runs) + drawing("bench-idle.svg")),
        ("postal and rabid", "Their command lines by themselves and by `load`, a minute each.\n\n" + agreement(runs)),
        ("Soak", "At 70 % of the highest rate.\n\n" + soak(runs) + "".join(drawing(f"bench-soak-{name}.svg") for name in ("memory", "disk", "latency"))),
        ("A store that grows", "64 connections, 64 mailboxes, no readers; each slice with all that the engine did meanwhile.\n\n" + growth(runs) + drawing("bench-growth.svg")),
        ("Policies", "Copies of `tag-subject`, one behind another, each with a tag of its own, all of which are on a message; 64 connections.\n\n" + beside(runs, "policies", "policies", ()) + drawing("bench-policies.svg")),
        ("Policies of several languages", "All of a folder's, one behind another, beside none; 2 connections.\n\n" + beside(runs, "mixed", "policies", ())),
        ("What `postern explain` costs", "Through two policies, 16 connections: nothing is recorded, in the stored message's facts, and a second record that outlives the message.\n\n" + explained(runs)),
    )
    return "\n".join(parts + [f"## {heading}\n\n{text}" for heading, text in sections])


def write(source, into):
    into.mkdir(parents=True, exist_ok=True)
    kept = into / "bench.jsonl"
    runs = Runs(source, before=kept if kept.is_file() else None)
    drawn = set()
    for name, drawing in pictures(runs):
        if drawing:
            (into / name).write_text(drawing)
            drawn.add(name)
    (into / "bench.md").write_text(document(runs, drawn))
    kept.write_text("".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in runs.lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--into", type=Path)
    what.add_argument("--against", type=Path)
    options = parser.parse_args()
    if options.into:
        write(options.runs, options.into)
    elif options.against.is_file():
        print(compared(Runs(options.runs), Runs(options.against)), end="")
    else:
        print(wanted(Runs(options.runs)) + f"\nNothing to compare with: `make bench` writes {options.against}.")


if __name__ == "__main__":
    main()
