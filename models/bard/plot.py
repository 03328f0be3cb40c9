#!/usr/bin/env python3
"""Draws loss.csv as an SVG."""
import argparse
import csv

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 56, 24, 16, 44
LINES = [("train", "#8a8a8a", "training"),
         ("plain", "#1f6fb2", "held out, plain form"),
         ("chat", "#c4521d", "held out, chat form")]


def draw(rows):
    steps = [int(r["step"]) for r in rows]
    values = [float(r[name]) for r in rows for name, _, _ in LINES]
    low, high = int(min(values)), min(int(max(values)) + 1, 7)
    x = lambda step: LEFT + (WIDTH - LEFT - RIGHT) * step / steps[-1]
    y = lambda loss: TOP + (HEIGHT - TOP - BOTTOM) * (high - min(loss, high)) / (high - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for i in range(2 * (high - low) + 1):
        loss = low + i / 2
        out.append(f'<path d="M{LEFT} {y(loss):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.1f}</text>')
    grid = max(100, round(steps[-1] / 7, -2))
    for step in range(0, steps[-1] + 1, grid):
        out.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 18}" '
                   f'text-anchor="middle">{step}</text>')
    out.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">step</text>'
               f'<text x="{LEFT}" y="14">loss, nats per token</text>')
    for i, (name, colour, label) in enumerate(LINES):
        points = " ".join(f"{x(s):.1f},{y(float(r[name])):.1f}" for s, r in zip(steps, rows))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
                   f'<text x="{WIDTH - 190}" y="{TOP + 22 + 18 * i}" fill="{colour}">{label}</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("csv")
    p.add_argument("svg")
    args = p.parse_args()
    with open(args.csv, newline="") as f:
        rows = list(csv.DictReader(f))
    with open(args.svg, "w", encoding="utf-8") as f:
        f.write(draw(rows))


if __name__ == "__main__":
    main()
