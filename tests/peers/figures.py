"""From the records of a run to its tables: medians over rounds, and Postern beside each other server."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

OURS = "postern"
NAMES = {
    "postern": "Postern",
    "postern-policy": "Postern, tag-subject.wasm",
    "postfix": "Postfix + Dovecot, maildir",
    "postfix-mdbox": "Postfix + Dovecot, mdbox",
    "postfix-milter": "Postfix + Dovecot, maildir, milter in C",
    "haraka": "Haraka + Dovecot, maildir",
    "dovecot-maildir": "Dovecot, maildir",
    "dovecot-sdbox": "Dovecot, sdbox",
    "dovecot-mdbox": "Dovecot, mdbox",
}


@dataclass(frozen=True)
class Line:
    """One comparison: a case and the figure in its records that is compared."""

    what: str
    case: str
    figure: str
    more_is_better: bool = True


RATES = (
    Line("250 to SMTP, 16 connections", "delivered-16", "rate"),
    Line("250 to SMTP, 64 connections", "delivered-64", "rate"),
    Line("SMTP until visible by POP3, 16 connections", "delivered-16", "visible_rate"),
    Line("SMTP until visible by POP3, 64 connections", "delivered-64", "visible_rate"),
    Line("LMTP, 16 connections", "lmtp-16", "rate"),
    Line("RETR, one session, one at a time", "retr", "rate"),
    Line("RETR, one session, 32 at a time (ms: of 32)", "retr-pipelined", "rate"),
    Line("login, STAT, QUIT, hashed, 16 connections", "login", "rate"),
)
MEMORY = (
    Line("SMTP in clear", "idle-smtp", "kib", False),
    Line("SMTP over TLS", "idle-smtps", "kib", False),
    Line("POP3 in clear, logged in", "idle-pop3", "kib", False),
    Line("POP3 over TLS, logged in", "idle-pop3s", "kib", False),
)
POLICIES = (("postfix", "postfix-milter"), ("postern", "postern-policy"))


def by_server(records, case):
    """Records of a case by server, in the order they came, but those of measurements that failed."""
    found = defaultdict(list)
    for record in records:
        if record["case"] == case and "fault" not in record:
            found[record["server"]].append(record)
    return found


def values(records, figure):
    return [record[figure] for record in records if figure in record]


def middle(records, figure):
    found = values(records, figure)
    return median(found) if found else None


def number(value):
    """Three digits that count, and whole numbers from there on."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def ratio(ours, theirs, more_is_better):
    """How many times better ours is."""
    if not ours or not theirs:
        return "–"
    return f"{number(ours / theirs if more_is_better else theirs / ours)} ×"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def head(*cells):
    return [row(*cells), "|" + "---|" * len(cells)]


def rates(records):
    lines = head("what", "server", "/s", "lowest – highest", "Postern does", "CPU-ms each", "p50 ms", "p99 ms", "failed")
    for line in RATES:
        found = by_server(records, line.case)
        ours = middle(found.get(OURS, []), line.figure)
        for server, some in found.items():
            rounds = values(some, line.figure)
            lines.append(row(
                line.what, NAMES[server], number(median(rounds)), f"{number(min(rounds))} – {number(max(rounds))}",
                "" if server == OURS else ratio(ours, median(rounds), line.more_is_better),
                *(number(middle(some, figure)) for figure in ("cpu_ms", "p50_ms", "p99_ms")),
                str(sum(record["failed"] for record in some))))
    return lines


def memory(records):
    lines = head("idle sessions", "server", "KiB each", "lowest – highest", "Postern takes", "sessions")
    for line in MEMORY:
        found = by_server(records, line.case)
        ours = middle(found.get(OURS, []), line.figure)
        for server, some in found.items():
            rounds = values(some, line.figure)
            less = "" if server == OURS or not ours else f"1/{number(median(rounds) / ours)}"
            lines.append(row(line.what, NAMES[server], number(median(rounds)), f"{number(min(rounds))} – {number(max(rounds))}",
                             less, str(some[0]["count"])))
    return lines


def policies(records):
    """What a policy adds in each round, against the same server without it in that round."""
    lines = head("subject tagged by", "CPU-ms without", "with", "added", "lowest – highest", "delivered with it")
    found = by_server(records, "policy")
    for without, with_it in POLICIES:
        bare, theirs = found[without], found[with_it]
        costs = {record["round"]: record["cpu_ms"] for record in bare}
        added = [record["cpu_ms"] - costs[record["round"]] for record in theirs if record["round"] in costs]
        if not added:
            continue
        kept = middle(theirs, "visible_rate") / middle(bare, "visible_rate")
        lines.append(row(NAMES[with_it], number(middle(bare, "cpu_ms")), number(middle(theirs, "cpu_ms")), number(median(added)),
                         f"{number(min(added))} – {number(max(added))}", f"{kept:.0%}"))
    return lines


def page(run, records, settings):
    """The whole as Markdown: the machine, the command, the settings, the tables."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    counted = " or ".join(sorted({record["counted"] for record in records}))
    lines = [
        "# Peers in the same run", "",
        f"{run['machine']}. {run['at']}, load average {run['load_average']} at the start.", "",
        f"`{run['command']}`: {run['rounds']} rounds, in which the servers take turns; medians; {run['seconds']} s measured after "
        f"{run['warm']} s to warm up, {run['mailboxes']} mailboxes, messages of {run['size']} octets, the generator on the same "
        f"cores. {versions}. CPU time is that of a server and all its processes, by {counted}.", "",
        *(f"* {said}" for said in settings), "",
    ]
    for title, table in (("Rates", rates), ("Memory", memory), ("Cost of a policy", policies)):
        made = table(records)
        if len(made) > 2:
            lines += [f"## {title}", "", *made, ""]
    lines += _notes(records)
    return "\n".join(lines).rstrip() + "\n"


def _notes(records):
    """What failed, as the servers put it, and what is in their logs."""
    said, logged = defaultdict(int), {}
    for record in records:
        place = f"{NAMES[record['server']]}, {record['case']}"
        if "fault" in record:
            said[f"{place}, not measured: {record['fault']}"] += 1
        for failure, times in record.get("failures", {}).items():
            said[f"{place}: {failure}"] += times
        for complaint in record["complaints"][:1]:
            logged.setdefault(place, complaint)
    lines = [f"* {times} × {failure}" for failure, times in said.items()]
    lines += [f"* in the log of {place}: `{complaint}`" for place, complaint in logged.items()]
    return ["## Failures and complaints", "", *lines] if lines else []
