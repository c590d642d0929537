"""Builds an HTML page of several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eef_framework.comparison.result import ComparedDifference, ComparedRow, Comparison, interval
from eef_framework.comparison.tables import title
from eef_framework.errors import storage
from eef_framework.evaluation.formatting import Significance, count, significance
from eef_framework.report.forest import ForestRow, forest
from eef_framework.report.html import Element, render, tag
from eef_framework.report.page import asset, check_replaceable, fill, head, script_of
from eef_framework.report.table import LOOKS
from eef_framework.runs import write_text

GENERATOR = "eef-framework compare"
VERDICTS: dict[Significance, str] = {"better": "✓ better", "worse": "✗ worse", "undecided": "≈ undecided"}


def check_comparison_page(page: Path) -> None:
    """Refuse to replace a file that isn't a page of ours.

    Raises:
        ConfigError: `output-exists`.
        StorageError: it can't be read.
    """
    check_replaceable(page, "eef compare", GENERATOR)


def build_comparison_page(comparison: Comparison, page: Path) -> None:
    """Write a page with the tables and charts of a comparison: one file, without a server or a network.

    Args:
        comparison: what to show.
        page: the file to write.

    Raises:
        ConfigError: the file exists, and isn't a page of ours (`output-exists`).
        StorageError: it can't be written.
    """
    check_comparison_page(page)
    script = script_of(["save.js"])
    names = ", ".join(each.name for each in comparison.experiments)
    parts = {
        "head": head(f"Comparison: {names}", script, GENERATOR),
        "heading": render(tag("h1", tag("b", "Comparison"), " · ", tag("small", title(comparison)))),
        "results": "\n".join(map(render, _sections(comparison))),
        "script": script,
    }
    with storage(page, "writing"):
        page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, "".join(fill(asset("comparison.html"), parts)))


def _sections(comparison: Comparison) -> Iterator[Element]:
    looks = _looks(comparison)
    rates = [
        ForestRow(row.label, looks[row.label], row.success_over_seeds, row.success_over_tasks, row.per_seed)
        for row in comparison.rows
    ]
    yield tag(
        "section",
        tag("h2", "Success"),
        _legend(),
        forest("Success rate", rates, "success rate on the evaluation tasks"),
        tag("div", _rows(comparison.rows, looks), class_="scroll"),
        id="found",
    )
    if comparison.differences:
        yield _differences(comparison.differences, looks)
    if comparison.experiments:
        yield _experiments(comparison)
    protocol = [(key, _written(value)) for key, value in sorted(comparison.protocol.items())]
    yield tag(
        "section",
        tag("h2", "How all of them were measured"),
        tag("dl", [tag("div", tag("dt", key), tag("dd", value)) for key, value in protocol], class_="facts"),
        tag("ul", [tag("li", note) for note in comparison.notes]) if comparison.notes else None,
        id="about",
    )


def _legend() -> Element:
    return tag(
        "p",
        "Disc: the mean. Thick bar: 95 % interval over seeds, that is, other trainings. Thin bar: 95 % interval over "
        "tasks, with the same trainings. Rings: single seeds. A claim about a method needs the interval over seeds.",
        class_="lead",
    )


def _rows(rows: tuple[ComparedRow, ...], looks: dict[str, str]) -> Element:
    heads = ("", "success", "over seeds", "over tasks", "reward", "simulations", "tokens", "USD", "seeds")
    body = [
        tag(
            "tr",
            tag("th", tag("span", class_=f"dot {looks[row.label]}"), row.label, scope="row"),
            _cells(
                heads[1:],
                f"{100 * row.success_over_tasks.mean:.1f} %",
                interval(row.success_over_seeds),
                interval(row.success_over_tasks),
                f"{row.reward.mean:.3f}",
                f"{row.simulations:,.0f}",
                count(round(row.tokens)),
                f"{row.usd:.2f}" if row.usd else "–",
                ", ".join(map(str, row.seeds)),
            ),
        )
        for row in rows
    ]
    return _table(heads, body)


def _differences(differences: tuple[ComparedDifference, ...], looks: dict[str, str]) -> Element:
    bounds = [bound for each in differences for bound in _bounds(each)]
    most = min(1.0, max(0.1, math.ceil(10 * max(map(abs, bounds))) / 10))
    rows = [
        ForestRow(f"against {each.second}", looks[each.second], each.over_seeds, each.over_tasks, each.per_seed)
        for each in differences
    ]
    heads = ("", "points", "over seeds", "over tasks", "verdict", "per seed")
    body = [
        tag(
            "tr",
            tag("th", f"{each.first} - {each.second}", scope="row"),
            _cells(
                heads[1:],
                f"{100 * each.over_tasks.mean:+.1f}",
                interval(each.over_seeds, "+"),
                interval(each.over_tasks, "+"),
                VERDICTS[significance(each.over_seeds)],
                ", ".join(f"{100 * value:+.1f}" for value in each.per_seed),
            ),
        )
        for each in differences
    ]
    first = differences[0].first
    return tag(
        "section",
        tag("h2", f"{first} against the others"),
        tag(
            "p",
            "Paired by seed and task. To the right of 0, ",
            tag("b", first),
            " solves more tasks. The verdict is that of the interval over seeds.",
            class_="lead",
        ),
        forest(f"Success of {first} minus that of the others", rows, "difference, in percentage points", -most, most),
        tag("div", _table(heads, body), class_="scroll"),
        id="differences",
    )


def _experiments(comparison: Comparison) -> Element:
    experiments = comparison.experiments
    keys = sorted({key for each in experiments for key in each.settings})
    heads = ("", *(each.name for each in experiments))
    body = [
        tag(
            "tr",
            tag("th", key, scope="row"),
            _cells(heads[1:], *(_written(each.settings[key]) if key in each.settings else "–" for each in experiments)),
        )
        for key in keys
    ]
    runs = [tag("div", tag("dt", each.name), tag("dd", ", ".join(each.runs))) for each in experiments]
    return tag(
        "section",
        tag("h2", "What differs"),
        tag("div", _table(heads, body), class_="scroll") if body else tag("p", "Nothing but the seed."),
        tag("h3", "Runs"),
        tag("dl", runs, class_="facts"),
        id="experiments",
    )


def _table(heads: tuple[str, ...], body: list[Element]) -> Element:
    head = tag("thead", tag("tr", [tag("th", each, scope="col") for each in heads]))
    return tag("table", head, tag("tbody", body), class_="results")


def _cells(heads: tuple[str, ...], *texts: str) -> list[Element]:
    return [tag("td", text, data_label=head) for head, text in zip(heads, texts, strict=True)]


def _looks(comparison: Comparison) -> dict[str, str]:
    """Return the CSS class of each row: a colour for each experiment, or where there is one, for each row."""
    names = [each.experiment for each in comparison.rows]
    keys = names if len(set(names)) > 1 else [each.label for each in comparison.rows]
    order = list(dict.fromkeys(key for key in keys if key != "expert"))
    looks = {key: f"s-{number % LOOKS}" for number, key in enumerate(order)} | {"expert": "s-expert"}
    return {row.label: looks[key] for row, key in zip(comparison.rows, keys, strict=True)}


def _bounds(difference: ComparedDifference) -> Iterator[float]:
    for estimate in (difference.over_seeds, difference.over_tasks):
        yield from (value for value in (estimate.low, estimate.high, estimate.mean) if math.isfinite(value))
    yield from difference.per_seed


def _written(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) else "–" if value is None else repr(value)
