#!/usr/bin/env python3
"""Draws what senders met while nodes were lost: timeline.py FROM.json TO.svg

Above: deliveries a second that got their 250, were deferred, or had no reply. Below: the 99th percentile of whole
transactions that ended in that second, on a logarithmic scale. The file is written by a test (timeline.rs); one that
is not whole ends with a traceback.
"""
import json
import math
import sys
from html import escape

WIDTH, LEFT, RIGHT = 960, 56, 16
TOP, BARS, GAP, LINE = 76, 190, 44, 130
HEIGHT = TOP + BARS + GAP + LINE + 44
KINDS = [("acked", "#2f7d4f", "250"), ("deferred", "#d9822b", "451"), ("without_reply", "#b3261e", "no reply")]
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def text(x, y, words, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def rule(x1, y1, x2, y2, colour="#ddd", dash=""):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


class Picture:
    def __init__(self, timeline):
        self.seconds, self.marks = timeline["seconds"], timeline["marks"]
        self.step = (WIDTH - LEFT - RIGHT) / len(self.seconds)
        self.most = max(sum(second[kind] for kind, _, _ in KINDS) for second in self.seconds)
        waits = [second["p99_ms"] for second in self.seconds if second["p99_ms"]]
        self.low, self.high = math.floor(math.log10(min(waits))), math.ceil(math.log10(max(waits)))
        self.floor = TOP + BARS + GAP + LINE

    def x(self, second):
        return LEFT + second * self.step

    def bars(self):
        unit = next(step for step in STEPS if self.most / step <= 6)
        for count in range(0, self.most + 1, unit):
            y = TOP + BARS * (1 - count / self.most)
            yield rule(LEFT, y, WIDTH - RIGHT, y)
            yield text(LEFT - 6, y + 4, str(count), "end", 11)
        for second in self.seconds:
            y = TOP + BARS
            for kind, colour, _ in KINDS:
                height = BARS * second[kind] / self.most
                y -= height
                if height:
                    at, wide = self.x(second["second"]), max(self.step - 1, 0.5)
                    yield f'<rect x="{at:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{height:.1f}" fill="{colour}"/>'

    def waits(self):
        def y(millis):
            return self.floor - LINE * (math.log10(millis) - self.low) / (self.high - self.low)

        for power in range(self.low, self.high + 1):
            yield rule(LEFT, y(10**power), WIDTH - RIGHT, y(10**power))
            yield text(LEFT - 6, y(10**power) + 4, f"{10**power} ms" if power < 3 else f"{10**power // 1000} s", "end", 11)
        points = [(self.x(s["second"] + 0.5), y(s["p99_ms"])) for s in self.seconds if s["p99_ms"]]
        for at, wait in points:
            yield f'<circle cx="{at:.1f}" cy="{wait:.1f}" r="2.5" fill="#1f4e9c"/>'

    def axis(self):
        for second in range(0, len(self.seconds) + 1, next(s for s in STEPS if len(self.seconds) / s <= 14)):
            yield text(self.x(second), self.floor + 18, str(second), size=11)
        yield text(WIDTH / 2, self.floor + 36, "seconds")

    def events(self):
        for nth, mark in enumerate(self.marks):
            at, y = self.x(mark["at"]), TOP - 8 - 14 * (nth % 3)
            yield rule(at, y + 2, at, self.floor, "#555", "4 3")
            yield text(at + 3, y, f'{mark["what"]} ({mark["at"]:.0f} s)', "start" if at < WIDTH * 0.8 else "end", 11)

    def legend(self):
        for nth, (_, colour, name) in enumerate(KINDS):
            at = LEFT + nth * 90
            yield f'<rect x="{at}" y="14" width="12" height="12" fill="{colour}"/>'
            yield text(at + 18, 24, name, "start")
        yield text(LEFT + 290, 24, "deliveries that ended in this second", "start")
        yield text(LEFT, TOP + BARS + GAP - 8, "99th percentile of whole transactions with a 250", "start")

    def svg(self):
        parts = [self.bars(), self.waits(), self.axis(), self.events(), self.legend()]
        body = "\n".join(line for part in parts for line in part)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
        )


def main():
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        picture = Picture(json.load(file)).svg()
    with open(target, "w", encoding="utf-8") as file:
        file.write(picture)


if __name__ == "__main__":
    main()
