"""Charts as SVG, drawn at about display size. Colours come from the page's style sheet (light and dark)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eef_framework.evaluation.formatting import percent, plural, plus_minus
from eef_framework.records import Estimate
from eef_framework.report.html import Element, tag

WIDTH, HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 40
EXPERT_MARK = 4
"""A cross."""


@dataclass(frozen=True)
class Line:
    """A series of estimates."""

    name: str
    look: str
    """CSS class that sets its colour: `s-0`, `s-expert`."""
    mark: int
    """Marker and dash style, so that series differ in more than colour."""
    points: Sequence[tuple[float, Estimate]]
    """(position along the horizontal axis, value between 0 and 1)."""


def line_chart(
    title: str, lines: Sequence[Line], ticks: Sequence[tuple[float, str]], axis: str, shares: bool = True
) -> Element:
    """Draw values between 0 and 1 with their 95 % intervals, and a table of the values below.

    Args:
        title: of the chart.
        lines: the series.
        ticks: (position, label) along the horizontal axis.
        axis: label of the horizontal axis.
        shares: write values as percentages.
    """
    written = (lambda estimate: f"{percent(estimate)} %") if shares else plus_minus
    low, high = min(x for x, _ in ticks), max(x for x, _ in ticks)
    span = max(high - low, 1)

    def across(x: float) -> float:
        return LEFT + 24 + (x - low) / span * (WIDTH - LEFT - RIGHT - 48)

    svg = _canvas(title)
    _vertical_axis(svg, [(k / 4, f"{25 * k} %" if shares else f"{k / 4:g}") for k in range(5)])
    for x, label in ticks:
        svg.append(tag("text", label, class_="tick", x=across(x), y=HEIGHT - BOTTOM + 16, text_anchor="middle"))
    svg.append(_axis_name(axis))
    for number, line in enumerate(lines):
        shift = (number - (len(lines) - 1) / 2) * 7
        svg.append(_series(line, [across(x) + shift for x, _ in line.points], written))
    table = _numbers(lines, ticks, axis, written)
    return tag("figure", tag("figcaption", title), _legend(lines), svg, table, class_="chart")


def loss_chart(title: str, points: Sequence[tuple[float, float]], note: str = "") -> Element:
    """Draw a loss over training steps.

    Args:
        title: label of the training.
        points: (step, loss), at least one.
        note: shown below the chart.
    """
    points = [(x, y) for x, y in points if math.isfinite(y)]
    shown = _thinned(points, 150)
    last = max((x for x, _ in points), default=1) or 1
    # Group means: single outliers in the first steps would flatten the rest of the curve.
    low, high = min((y for _, y in shown), default=0.0), max((y for _, y in shown), default=1.0)
    low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    svg = _canvas(f"{title}: training loss over {plural(round(last), 'step')}")
    _vertical_axis(svg, [(k / 4, f"{low + (high - low) * k / 4:.3g}") for k in range(5)])
    path = " ".join(
        f"{LEFT + x / last * (WIDTH - LEFT - RIGHT):.1f},{_down((y - low) / (high - low)):.1f}" for x, y in shown
    )
    svg.append(tag("polyline", points=path, class_="loss"))
    for x, anchor in ((0, "start"), (last, "end")):
        place = LEFT + x / last * (WIDTH - LEFT - RIGHT)
        svg.append(tag("text", f"{x:g}", class_="tick", x=place, y=HEIGHT - BOTTOM + 16, text_anchor=anchor))
    svg.append(_axis_name("training step"))
    ends = f"from {points[0][1]:.3g} to {points[-1][1]:.3g}" if points else "no finite loss"
    below = tag("small", note) if note else None
    return tag("figure", tag("figcaption", f"{title}: {ends}"), svg, below, class_="chart")


def interval_bar(estimate: Estimate, look: str, low: float = 0.0, high: float = 1.0) -> Element:
    """Draw one estimate on a scale from low to high: a band for its interval and a mark at its mean.

    If 0 is within the scale, it gets a line.
    """

    def across(value: float) -> float:
        return 2 + (min(max(value, low), high) - low) / (high - low) * 196

    left, right = across(estimate.low), across(estimate.high)
    return tag(
        "svg",
        tag("rect", class_="track", x=0, y=9, width=200, height=2),
        tag("line", class_="zero", x1=across(0), x2=across(0), y1=0, y2=20) if low < 0 < high else None,
        tag("rect", class_="band", x=left, y=5, width=max(right - left, 1.0), height=10, rx=2),
        tag("line", class_="mean", x1=across(estimate.mean), x2=across(estimate.mean), y1=2, y2=18),
        class_=f"bar {look}",
        viewBox="0 0 200 20",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def share_bar(share: float) -> Element:
    """Draw a bar whose length is a share between 0 and 1."""
    return tag(
        "svg",
        tag("rect", class_="share", x=0, y=3, width=200 * share, height=14, rx=2),
        class_="bar",
        viewBox="0 0 200 20",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _canvas(title: str) -> Element:
    return tag("svg", class_="plot", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)


def _down(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def _vertical_axis(svg: Element, ticks: Sequence[tuple[float, str]]) -> None:
    for share, label in ticks:
        y = _down(share)
        svg.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
        svg.append(tag("text", label, class_="tick", x=LEFT - 6, y=y + 4, text_anchor="end"))


def _axis_name(name: str) -> Element:
    return tag("text", name, class_="axis", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 5, text_anchor="middle")


def _series(line: Line, places: Sequence[float], written: Callable[[Estimate], str]) -> Element:
    path = " ".join(f"{x:.1f},{_down(estimate.mean):.1f}" for x, (_, estimate) in zip(places, line.points, strict=True))
    group = tag("g", tag("polyline", points=path), class_=f"series {line.look} m-{line.mark}")
    for x, (position, estimate) in zip(places, line.points, strict=True):
        top, bottom = _down(min(estimate.high, 1)), _down(max(estimate.low, 0))
        group.append(
            tag(
                "g",
                tag("title", f"{line.name}, {position:g}: {written(estimate)}, of {estimate.n}"),
                tag("line", class_="whisker", x1=x, x2=x, y1=top, y2=bottom),
                _marker(line.mark, x, _down(estimate.mean)),
            )
        )
    return group


def _marker(mark: int, x: float, y: float) -> Element:
    """Draw the marker of a series."""
    shapes = (
        tag("circle", cx=x, cy=y, r=5),
        tag("rect", x=x - 4.5, y=y - 4.5, width=9, height=9),
        tag("path", d=f"M{x:.1f} {y - 6:.1f}l5.5 10h-11z"),
        tag("path", d=f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"),
        tag("path", d=f"M{x - 5:.1f} {y - 5:.1f}l10 10m-10 0l10 -10", class_="cross"),
    )
    return shapes[min(mark, EXPERT_MARK)]


def _legend(lines: Sequence[Line]) -> Element:
    entries = []
    for line in lines:
        look = f"key series {line.look} m-{line.mark}"
        key = tag(
            "svg", tag("polyline", points="0,7 26,7"), _marker(line.mark, 13, 7), class_=look, viewBox="0 0 26 14"
        )
        entries.append(tag("li", key, line.name))
    return tag("ul", entries, class_="legend")


def _numbers(
    lines: Sequence[Line], ticks: Sequence[tuple[float, str]], axis: str, written: Callable[[Estimate], str]
) -> Element:
    head = tag("tr", tag("th", axis, scope="col"), [tag("th", line.name, scope="col") for line in lines])
    body = []
    for position, label in ticks:
        found = [next((estimate for x, estimate in line.points if x == position), None) for line in lines]
        cells = [tag("td", f"{written(estimate)}, n = {estimate.n}" if estimate else "") for estimate in found]
        body.append(tag("tr", tag("th", label, scope="row"), cells))
    table = tag("table", tag("thead", head), tag("tbody", body))
    return tag("details", tag("summary", "The numbers"), tag("div", table, class_="scroll"))


def _thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most `most` points, each the mean of a group of neighbours."""
    size = max(1, math.ceil(len(points) / most))
    groups = [points[k : k + size] for k in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
