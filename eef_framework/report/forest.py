"""A chart of rates: for each row its mean, two intervals, and the rate of each seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from eef_framework.records import Estimate
from eef_framework.report.html import Element, tag

ROW = 34
"""Height of a row, in pixels."""
LABEL, WIDTH, RIGHT = 210, 640, 20
TOP, BOTTOM = 10, 40
MOST_LETTERS = 30
"""Longer labels are cut: their whole text is in the table."""


@dataclass(frozen=True)
class ForestRow:
    """A row of the chart.

    Attributes:
        label: its name.
        look: CSS class that sets its colour.
        over_seeds: mean, and interval over seeds: a thick bar. Without bounds for a single seed.
        over_tasks: the same mean, and interval over tasks: a thin bar.
        per_seed: the value of each seed: rings.
    """

    label: str
    look: str
    over_seeds: Estimate
    over_tasks: Estimate
    per_seed: Sequence[float]


def forest(title: str, rows: Sequence[ForestRow], axis: str, low: float = 0.0, high: float = 1.0) -> Element:
    """Draw rows, one below another.

    Args:
        title: of the chart.
        rows: what to draw.
        axis: label of the horizontal axis.
        low: its left end; if it is negative, 0 gets a line.
        high: its right end.
    """
    height = TOP + ROW * len(rows) + BOTTOM

    def across(value: float) -> float:
        return LABEL + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LABEL - RIGHT)

    svg = tag("svg", class_="plot", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=title)
    bottom = height - BOTTOM
    for tick in _ticks(low, high):
        x = across(tick)
        line = "zero" if low < 0 and abs(tick) < 1e-9 else "grid"
        svg.append(tag("line", class_=line, x1=x, x2=x, y1=TOP, y2=bottom))
        label = f"{100 * tick:.0f} %" if low >= 0 else "0" if line == "zero" else f"{100 * tick:+.0f}"
        svg.append(tag("text", label, class_="tick", x=x, y=bottom + 17, text_anchor="middle"))
    svg.append(tag("text", axis, class_="axis", x=(LABEL + WIDTH - RIGHT) / 2, y=height - 4, text_anchor="middle"))
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        short = row.label if len(row.label) <= MOST_LETTERS else f"{row.label[: MOST_LETTERS - 1]}…"
        svg.append(tag("text", short, x=LABEL - 12, y=y + 4, text_anchor="end"))
        marks = tag("g", tag("title", row.label), class_=f"series {row.look}")
        for estimate, look in ((row.over_tasks, "thin"), (row.over_seeds, "thick")):
            if math.isfinite(estimate.low) and math.isfinite(estimate.high):
                ends = {"x1": across(estimate.low), "x2": across(estimate.high), "y1": y, "y2": y}
                marks.append(tag("line", class_=look, **ends))
        for value in row.per_seed if len(row.per_seed) > 1 else ():
            marks.append(tag("circle", class_="ring", cx=across(value), cy=y + 9, r=2.5))
        marks.append(tag("circle", cx=across(row.over_tasks.mean), cy=y, r=5))
        svg.append(marks)
    return tag("figure", tag("figcaption", title), svg, class_="chart broad")


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (0.05, 0.1, 0.25, 0.5) if (high - low) / step <= 8 or step == 0.5)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
