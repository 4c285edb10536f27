#!/usr/bin/env python3
"""Makes tables and pictures of the runs that `load cassandra` wrote.

    tests/load/tables.py RUNS.jsonl --into tests/results

writes cassandra.md and the pictures beside it, and keeps a copy of the runs. Medians of rounds; a run that was not
made has no row, and a part without runs says so. Nothing in the tables comes from elsewhere than the runs.
"""

import argparse
import json
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path

WORDS = ("part", "nodes", "setting", "replication", "consistency", "variant", "size", "subject", "gateways", "speed")
COLOURS = ("#1b6ca8", "#d1495b", "#3a7d44", "#8a5a9e", "#c98a1b")


class Runs:
    """The lines of the file, and trials: all rounds of one thing that was measured."""

    def __init__(self, lines):
        self.lines = lines
        self.trials = defaultdict(list)
        for line in lines:
            if "round" in line:
                self.trials[tuple(str(line.get(word, "")) for word in WORDS)].append(line)

    def those(self, **wanted):
        """Trials that have these words, each as the list of its rounds."""
        wanted = {name: str(value) for name, value in wanted.items()}
        for key, rounds in self.trials.items():
            words = dict(zip(WORDS, key))
            if all(words[name] == value for name, value in wanted.items()):
                yield rounds

    def one(self, **wanted):
        return next(self.those(**wanted), None)

    def single(self, subject, **wanted):
        """Lines that are not rounds."""
        for line in self.lines:
            if line.get("subject") == subject and all(line.get(name) == value for name, value in wanted.items()):
                yield line


def median(rounds, *path):
    """None: nothing was run, or it has no such figure."""
    figures = []
    for line in rounds:
        for name in path:
            line = line.get(name) if isinstance(line, dict) else None
        if line is not None:
            figures.append(line)
    return statistics.median(figures) if figures else None


def nodes_of(line, what):
    """The nodes' figures of one line, in order."""
    figures = line.get(what, {})
    return [figures[name] for name in sorted(figures) if name.startswith("node")]


def sum_of_nodes(rounds, what):
    return statistics.median(sum(nodes_of(line, what)) for line in rounds)


def each_node(rounds, what):
    """The median of each node, the rounds' nodes taken in order."""
    return [statistics.median(figures) for figures in zip(*(nodes_of(line, what) for line in rounds))]


def show(figure, digits=0):
    if figure is None:
        return "–"
    return f"{figure:,.{digits}f}"


def table(headings, rows):
    if not rows:
        return "Not run.\n"
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


FIGURES = ("/s", "p50 ms", "p99 ms", "gateway", "each node", "generator", "written per octet", "warm s", "load")


def figures(rounds):
    """The columns that all trials have: rate, latency, CPU-milliseconds per message, octets written."""
    nodes = each_node(rounds, "cpu_ms")
    return (
        show(median(rounds, "rate")),
        show(median(rounds, "p50_ms"), 1),
        show(median(rounds, "p99_ms"), 1),
        show(median(rounds, "cpu_ms", "gateway"), 2) if rounds[0]["subject"] == "gateway" else "",
        " + ".join(show(node, 2) for node in nodes),
        show(median(rounds, "cpu_ms", "generator"), 2),
        show(sum_of_nodes(rounds, "written"), 1),
        warm(rounds),
        load(rounds),
    )


def warm(rounds):
    seconds = sorted({line["warm"] for line in rounds})
    return f"{seconds[0]}–{seconds[-1]}" if len(seconds) > 1 else str(seconds[0])


def load(rounds):
    averages = sorted(float(line["load_average"]) for line in rounds)
    return f"{averages[0]:.0f}–{averages[-1]:.0f}"


def size_of(text):
    return {"4096": "4 KiB", "10240": "10 KiB", "lognormal": "log-normal", "1048576": "1 MiB"}.get(text, text)


def failed(rounds):
    return sum(sum(line["failures"].values()) for line in rounds)


def scaling(runs):
    """Part a."""
    rows = []
    for rounds in runs.those(part="a"):
        first = rounds[0]
        what = "driver" if first["subject"] == "driver" else f"{first['gateways']} gateway" + "s" * (first["gateways"] > 1)
        speed = "" if first["speed"] == "highest" else ", at half the rate"
        rows.append((first["nodes"], first["replication"], size_of(first["size"]), what + speed, len(rounds), *figures(rounds), failed(rounds)))
    rows.sort(key=lambda row: (row[0], row[1], row[2], row[3]))
    return table(("nodes", "RF", "size", "what", "rounds", *FIGURES, "failed"), rows)


def read_back(runs):
    rows = [
        (line["nodes"], line["replication"], show(line["acknowledged"]), line["lost"], line["doubled"], line["altered"], line["unacknowledged"])
        for line in runs.single("read back")
    ]
    return table(("nodes", "RF", "acknowledged", "lost", "doubled", "altered", "there without a 250"), rows)


def reach(runs):
    """What is wanted beside what was measured."""
    rows = []

    def row(what, wanted, figure, digits, holds):
        rows.append((what, wanted, show(figure, digits) if figure is not None else "not run", "" if figure is None else ("yes" if holds(figure) else "**no**")))

    def four(nodes, copies, subject, gateways):
        return runs.one(part="a", nodes=nodes, replication=copies, size=4096, subject=subject, gateways=gateways, speed="highest")

    three, bare, one = four(3, 3, "gateway", 1), four(3, 3, "driver", 0), four(1, 1, "gateway", 1)
    gateway = median(three, "cpu_ms", "gateway") if three else None
    row("gateway's CPU, ms a delivery of 4 KiB, three nodes, RF 3, LOCAL_QUORUM", "≤ 0.25", gateway, 3, lambda it: it <= 0.25)
    ratio = 100 * median(three, "rate") / median(bare, "rate") if three and bare else None
    row("its rate against the bare driver's in the same run, %", "≥ 65", ratio, 0, lambda it: it >= 65)
    for rounds, name, most in ((one, "one node, RF 1, periodic", 0.4), (three, "three nodes, RF 3", 1.0)):
        both = median(rounds, "cpu_ms", "gateway") + sum_of_nodes(rounds, "cpu_ms") if rounds else None
        row(f"gateway and nodes together, CPU ms a delivery, {name}", f"≤ {most}", both, 2, lambda it, most=most: it <= most)
    silent = next(runs.single("silent node"), None)
    row("longest 250 with one node stopped for 20 s, ms", "≤ 1,000", silent and silent["longest_ms"], 0, lambda it: it <= 1000)
    row("failures meanwhile", "0", silent and sum(silent["failures"].values()), 0, lambda it: it == 0)
    quorum = next(runs.single("quorum"), None)
    row("mail flows after the quorum's return, s", "≤ 2", quorum and quorum["flows_after_s"], 1, lambda it: it <= 2)
    listing = listing_ratio(runs)
    row("a listing of 1,000 messages against the bare query", "≤ 3 ×", listing, 1, lambda it: it <= 3)
    large = next(runs.single("large"), None)
    taken = large and (large["most_taking_kib"] - large["before_taking_kib"]) / 1024
    given = large and (large["most_giving_kib"] - large["before_giving_kib"]) / 1024
    row("memory that a message of 50 MB takes on its way in, MiB", "< 48, its size", taken, 0, lambda it: it < 48)
    row("and on its way out, MiB", "< 48, its size", given, 0, lambda it: it < 48)
    return table(("what", "wanted", "measured", "reached"), rows)


def listing_ratio(runs):
    """Login, which lists, and UIDL of 1,000 messages less a login of an empty maildrop, against the query."""
    visits = {line["messages"]: line for line in runs.single("maildrop")}
    if not {0, 1000} <= visits.keys():
        return None
    full, empty = visits[1000], visits[0]
    return (full["login_ms"] - empty["login_ms"] + full["uidl_ms"]) / full["query_ms"]


def prediction(runs):
    """What the cost of a message says about n machines."""
    three = runs.one(part="a", nodes=3, replication=3, size=4096, subject="gateway", gateways=1, speed="highest")
    if not three:
        return "Not run.\n"
    gateway, nodes = median(three, "cpu_ms", "gateway"), sum_of_nodes(three, "cpu_ms")
    rows = []
    for machines in (3, 6, 12, 24):
        rows.append((machines, show(machines * 1000 / nodes), show(1000 / gateway), show(1000 * machines / nodes * gateway / 1000, 1)))
    text = table(("nodes of one core each", "deliveries/s they carry", "deliveries/s of a gateway's core", "gateway cores for them"), rows)
    return text + (
        f"\nAt RF 3 a delivery of 4 KiB costs the nodes {nodes:.2f} CPU-ms together, however many there are, because each message is "
        f"written by three of them, and the gateway {gateway:.2f}. No step of a delivery asks all nodes, nothing is shared between gateways, "
        "and a mailbox's partition lies on three nodes by hash; so the rate of n nodes is n cores divided by that cost until a "
        "network or a disk is full first. That is arithmetic from the cost on this machine, not a measurement of n machines.\n"
    )


def promises(runs):
    order = {"periodic": 0, "group": 1, "batch": 2}
    levels = {"one": 0, "local_quorum": 1, "all": 2}
    rows = []
    for rounds in sorted(runs.those(part="b"), key=lambda rounds: (order.get(rounds[0]["setting"], 9), levels.get(rounds[0]["consistency"], 9), rounds[0]["subject"])):
        first = rounds[0]
        rows.append((first["setting"], first["consistency"].upper(), first["subject"], len(rounds), *figures(rounds), failed(rounds)))
    return table(("commit log", "consistency", "what", "rounds", *FIGURES, "failed"), rows)


def tuning(runs):
    shipped = runs.one(part="c", variant="as shipped")
    rate = median(shipped, "rate") if shipped else None
    rows = []
    for rounds in runs.those(part="c"):
        first = rounds[0]
        name = first["setting"] or first["variant"]
        against = 100 * median(rounds, "rate") / rate if rate and first["size"] == "4096" else None
        nodes = show(sum_of_nodes(rounds, "cpu_ms"), 3)
        written = show(sum_of_nodes(rounds, "written"), 2)
        rows.append((name, size_of(first["size"]), len(rounds), show(median(rounds, "rate")), show(against), show(median(rounds, "p99_ms"), 1), nodes, written, warm(rounds), load(rounds)))
    return table(("setting", "size", "rounds", "/s", "% of as shipped", "p99 ms", "node's CPU ms", "written per octet", "warm s", "load"), rows)


def layouts(runs):
    rows = []
    for rounds in runs.those(part="d"):
        first = rounds[0]
        rows.append((size_of(first["size"]), first["variant"], len(rounds), *figures(rounds)))
    rows.sort()
    written = table(("size", "schema", "rounds", *FIGURES), rows)
    rows = [
        (show(line["messages"]), line["variant"], show(line["listing_ms"], 1), show(sum(nodes_of(line, "cpu_ms")), 1), show(line["body_ms"], 1), line["load_average"])
        for line in runs.single("listing")
    ]
    rows.sort(key=lambda row: (int(row[0].replace(",", "")), row[1]))
    return written + "\n" + table(("messages", "schema", "listing ms", "nodes' CPU ms a listing", "one body ms", "load"), rows)


def postal(runs):
    rows = []
    for line in runs.single("postal"):
        nodes = " + ".join(show(node, 2) for node in nodes_of(line, "cpu_ms"))
        mib = line["octets"] / line["seconds"] / 2**20
        rows.append((f"`{line['variant']}`", show(line["messages"]), show(mib, 1), show(line["errors"]), show(line["read_messages"]), show(line["read_octets"] / 60 / 2**20, 1), line["read_broken"], show(line["cpu_ms"]["gateway"], 2), nodes, show(sum(nodes_of(line, "written")), 1), line["load_average"]))
    return table(("postal", "messages a minute", "MiB/s", "errors", "read by rabid", "MiB/s", "its broken sessions", "gateway ms", "each node ms", "written per octet", "load"), rows)


def churn(runs):
    at = defaultdict(dict)
    for line in runs.single("churn"):
        at[line["cycles"]][line["variant"]] = line
    rows = []
    for cycles in sorted(at):
        cells = [show(at[cycles][variant]["listing_ms"], 2) if variant in at[cycles] else "–" for variant in ("with the cursor", "without")]
        rows.append((show(cycles), *cells))
    return table(("cycles", "listing ms with the cursor", "without"), rows)


def maildrops(runs):
    rows = []
    for line in sorted(runs.single("maildrop"), key=lambda line: line["messages"]):
        rows.append((show(line["messages"]), *(show(line[name], 1) for name in ("login_ms", "stat_ms", "uidl_ms", "query_ms")), show(line["cpu_ms"]["gateway"], 1), show(sum(nodes_of(line, "cpu_ms")), 1), line["load_average"]))
    return table(("messages", "login ms", "STAT ms", "UIDL ms", "bare query ms", "gateway's CPU ms a visit", "nodes'", "load"), rows)


def faults(runs):
    rows = []
    for subject, name in (("silent node", "one of three nodes stopped for 20 s"), ("quorum", "two of three killed, one back")):
        for line in runs.single(subject):
            told = "; ".join(f"{count} × {text}" for text, count in sorted(line["failures"].items(), key=lambda it: -it[1])[:3])
            rows.append((name, f"{line['open_rate']:.0f}", show(line["messages"]), show(line["p50_ms"], 1), show(line["p99_ms"], 1), show(line["longest_ms"]), told or "none", line["load_average"]))
    return table(("what happens", "offered /s", "250", "p50 ms", "p99 ms", "longest ms", "failures", "load"), rows)


# Pictures.

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 400, 70, 40, 20, 60


def picture(title, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<text x="{WIDTH / 2}" y="22" text-anchor="middle" font-size="15">{escaped(title)}</text>{body}</svg>\n'
    )


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def scale(most):
    """A round figure above the highest, and the steps of the axis to it."""
    step = 1e-6
    while step * 6 < most:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    return [step * nth for nth in range(7) if step * (nth - 1) < most]


def axes(ticks, unit):
    parts = []
    for tick in ticks:
        y = height_of(tick, ticks[-1])
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        figure = f"{tick:,.0f}" if ticks[-1] >= 100 else f"{tick:.3g}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{figure}</text>')
    parts.append(f'<text x="14" y="{HEIGHT / 2}" transform="rotate(-90 14 {HEIGHT / 2})" text-anchor="middle">{escaped(unit)}</text>')
    return "".join(parts)


def height_of(value, most):
    return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)


def bars(title, unit, groups):
    """Stacked bars: groups are (name, [(part, value), …])."""
    groups = [group for group in groups if group[1]]
    if not groups:
        return None
    ticks = scale(max(sum(value for _, value in parts) for _, parts in groups))
    body, names = [axes(ticks, unit)], []
    room = (WIDTH - LEFT - RIGHT) / len(groups)
    for place, (name, parts) in enumerate(groups):
        x, base = LEFT + room * (place + 0.2), 0
        for part, value in parts:
            if part not in names:
                names.append(part)
            top = height_of(base + value, ticks[-1])
            high = height_of(base, ticks[-1]) - top
            colour = COLOURS[names.index(part) % len(COLOURS)]
            body.append(f'<rect x="{x:.1f}" y="{top:.1f}" width="{room * 0.6:.1f}" height="{high:.1f}" fill="{colour}"/>')
            base += value
        for line, text in enumerate(name.split("\n")):
            body.append(f'<text x="{x + room * 0.3:.1f}" y="{HEIGHT - BOTTOM + 16 + 14 * line}" text-anchor="middle">{escaped(text)}</text>')
    body.append(legend(names))
    return picture(title, "".join(body))


def lying(title, unit, groups):
    """Bars that lie, for names that are long."""
    if not groups:
        return None
    room = (HEIGHT - TOP - 30) / len(groups)
    most, left = max(value for _, value in groups), 240
    body = []
    for place, (name, value) in enumerate(groups):
        y, wide = TOP + room * place, value / most * (WIDTH - left - 70)
        body.append(f'<text x="{left - 6}" y="{y + room * 0.6:.1f}" text-anchor="end">{escaped(name)}</text>')
        body.append(f'<rect x="{left}" y="{y + room * 0.15:.1f}" width="{wide:.1f}" height="{room * 0.6:.1f}" fill="{COLOURS[0]}"/>')
        body.append(f'<text x="{left + wide + 6:.1f}" y="{y + room * 0.6:.1f}">{value:.2f}</text>')
    body.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 9}" text-anchor="middle">{escaped(unit)}</text>')
    return picture(title, "".join(body))


def curves(title, unit, axis, lines):
    """Lines: {name: [(x, y), …]}."""
    lines = {name: sorted(points) for name, points in lines.items() if points}
    if not lines:
        return None
    ticks = scale(max(y for points in lines.values() for _, y in points))
    most = max(x for points in lines.values() for x, _ in points)
    body = [axes(ticks, unit)]
    across = lambda x: LEFT + x / most * (WIDTH - LEFT - RIGHT)
    for nth in range(6):
        x = most * nth / 5
        body.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x:,.0f}</text>')
    body.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - BOTTOM + 32}" text-anchor="middle">{escaped(axis)}</text>')
    for nth, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{across(x):.1f},{height_of(y, ticks[-1]):.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[nth % len(COLOURS)]}" stroke-width="2"/>')
    body.append(legend(list(lines)))
    return picture(title, "".join(body))


def legend(names):
    parts, x = [], LEFT
    for nth, name in enumerate(names):
        parts.append(f'<rect x="{x}" y="{HEIGHT - 18}" width="10" height="10" fill="{COLOURS[nth % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 14}" y="{HEIGHT - 9}">{escaped(name)}</text>')
        x += 30 + 7 * len(name)
    return "".join(parts)


def pictures(runs):
    """File name and drawing of each for which there are runs."""
    cost, rates = [], []
    for rounds in sorted(runs.those(part="a", size=4096, speed="highest", gateways=1), key=lambda rounds: (rounds[0]["nodes"], rounds[0]["replication"])):
        name = f"{rounds[0]['nodes']} node{'s' * (rounds[0]['nodes'] > 1)}\nRF {rounds[0]['replication']}"
        nodes = each_node(rounds, "cpu_ms")
        parts = [("gateway", median(rounds, "cpu_ms", "gateway"))] + [(f"node {nth + 1}", node) for nth, node in enumerate(nodes)]
        cost.append((name, parts))
    yield "cassandra-cpu.svg", bars("CPU of a delivery of 4 KiB, LOCAL_QUORUM", "CPU-ms per message", cost)
    for setting in ("periodic", "group", "batch"):
        for level in ("one", "local_quorum", "all"):
            rounds = runs.one(part="b", setting=setting, consistency=level, subject="gateway")
            if rounds:
                rates.append((f"{setting}\n{level}", [("deliveries a second", median(rounds, "rate"))]))
    yield "cassandra-promises.svg", bars("Deliveries of 4 KiB a second, three nodes, RF 3", "/s", rates)
    written = []
    for rounds in runs.those(part="c", size=4096):
        if rounds[0]["variant"].startswith(("compaction", "compression", "bodies", "as")):
            written.append((rounds[0]["variant"], sum_of_nodes(rounds, "written")))
    yield "cassandra-written.svg", lying("Octets written for each octet of mail, one node", "octets", written)
    lines = defaultdict(list)
    for line in runs.single("churn"):
        lines[line["variant"]].append((line["cycles"], line["listing_ms"]))
    yield "cassandra-churn.svg", curves("Listing of a maildrop that is filled and emptied", "ms", "cycles", lines)


def machines(runs):
    seen = sorted({line["machine"] for line in runs.lines})
    commands = sorted({line["command"] for line in runs.lines})
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(pick(line["at"] for line in runs.lines))) for pick in (min, max))
    text = "**Machine**: " + "; ".join(seen) + f". {first}" + ("" if first == last else f" to {last}") + ".\n\n"
    return text + "**Commands**: " + ", ".join(f"`{command}`" for command in commands) + " (`make bench-cassandra`; `--warm` is 90 where nothing is said).\n"


HEAD = """# Results over Cassandra

Made by `tests/load/tables.py` from [the runs](cassandra.jsonl), one line of JSON each; see `tests/README.md`. Release builds; nodes of
Cassandra 5.0.9 with both of Java's compilers, a heap of 640 MiB and the serial collector, gateways and generator on one machine over
loopback; 128 connections, or requests of the bare driver, in a closed loop, 64 mailboxes. Nodes have what `cassandra_latest.yaml` sets (memtables
and sstables of tries, `storage_compatibility_mode: NONE`) and `concurrent_writes: 256`; their timers may be late by 1 ms (`timerslack_ns`, see
`RESULTS.md`). JVMs are warmed by load before any figure; rounds alternate; figures are medians. "CPU" is user and system time of all threads in milliseconds per message, each process apart; "written" is what the nodes
together caused to be written to disk for each octet of mail, commit log, tables and compaction. "Warm" is for how many seconds there was load
before, in the clusters that the rounds were made on. "Load" is the machine's load average, the nodes' own threads counted. Rates and latencies are
to be compared within one table only, for all share two cores; costs in CPU say more.
"""


def document(runs, drawn):
    def drawing(name):
        return f"\n![{name}]({name})\n" if name in drawn else ""

    parts = [HEAD, machines(runs)]
    sections = (
        ("What was wanted", reach(runs)),
        ("a: nodes and copies", scaling(runs) + drawing("cassandra-cpu.svg")),
        ("Read back", "Every message of one in eight mailboxes, by POP3, by number and checksum.\n\n" + read_back(runs)),
        ("What it predicts for n machines", prediction(runs)),
        ("Faults", faults(runs)),
        ("b: the price of each promise", "Three nodes, RF 3, 4 KiB.\n\n" + promises(runs) + drawing("cassandra-promises.svg")),
        ("c: tuning", "One node, RF 1, the bare driver.\n\n" + tuning(runs) + drawing("cassandra-written.svg")),
        ("d: the schema of 2011", "Three nodes, RF 3, the bare driver; listings after a flush.\n\n" + layouts(runs)),
        ("e: postal and rabid", "Three nodes, RF 3; the second minute of each.\n\n" + postal(runs)),
        ("f: churn", "Three nodes, RF 3, the bare driver, ids of two hours ago; medians of 500 cycles of deliver, list, delete.\n\n" + churn(runs) + drawing("cassandra-churn.svg")),
        ("g: large maildrops", "Three nodes, RF 3; medians of 15 visits by POP3; the listing is read at login.\n\n" + maildrops(runs)),
    )
    for heading, text in sections:
        parts.append(f"## {heading}\n\n{text}")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--into", type=Path, required=True)
    options = parser.parse_args()
    lines = []
    for text in options.runs.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue  # Cut off by a kill; its run was made again.
    if not lines:
        raise SystemExit(f"{options.runs} holds no runs")
    runs = Runs(lines)
    options.into.mkdir(parents=True, exist_ok=True)
    drawn = set()
    for name, drawing in pictures(runs):
        if drawing:
            (options.into / name).write_text(drawing)
            drawn.add(name)
    (options.into / "cassandra.md").write_text(document(runs, drawn))
    kept = options.into / "cassandra.jsonl"
    if options.runs.resolve() != kept.resolve():
        shutil.copyfile(options.runs, kept)


if __name__ == "__main__":
    main()
