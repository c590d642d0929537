"""The table of results, and the style of its rows and of their series in charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from eef_framework.evaluation.formatting import count, duration, plural, plus_minus, tokens_of
from eef_framework.records import Estimate, ResultRow
from eef_framework.report.charts import interval_bar
from eef_framework.report.counts import RunCounts
from eef_framework.report.glossary import term
from eef_framework.report.html import Child, Element, tag
from eef_framework.report.source import Source

LOOKS = 4
"""Number of different styles of series."""


def looks(source: Source) -> dict[str, str]:
    """Return method, `expert` or `clone` -> CSS class of its rows and series."""
    known = {"expert": "s-expert", "clone": "s-clone"}
    methods = [source.method, *_baselines(source), *(t.method for t in source.trainings() if t.method)]
    for number, method in enumerate(dict.fromkeys(methods)):
        known.setdefault(method, f"s-{min(number, LOOKS - 1)}")
    return known


def rate_text(estimate: Estimate, digits: int = 1) -> Element:
    """Format a success rate with its interval."""
    if not estimate.n:
        return tag("span", "no episodes")
    low, high = (f"{bound * 100:.{digits}f}" for bound in (estimate.low, estimate.high))
    return tag(
        "span", tag("b", f"{estimate.mean * 100:.{digits}f} %"), " ", tag("small", f"{low} to {high}"), class_="rate"
    )


def results(source: Source, counts: RunCounts) -> Element:
    """Return the table of results; for an unfinished run, of the evaluations so far."""
    if source.metrics is None or not source.metrics.rows:
        return _table_so_far(source, counts)
    style = looks(source)
    rows = [_row(row, style.get(row.method or row.label, "s-clone"), source.clone_label) for row in source.metrics.rows]
    split = ", ".join(sorted({row.evaluation.split for row in source.metrics.rows}))
    heads: list[Child | tuple[Child, ...]] = [
        "",
        (term("success"), " with its ", term("interval")),
        term("reward"),
        term("step", "steps"),
        term("attempts"),
        term("tokens"),
        "time",
        "errors",
    ]
    sizes = sorted({row.evaluation.episodes for row in source.metrics.rows})
    tasks = plural(sizes[0], "task") if len(sizes) == 1 else f"{sizes[0]:,} to {plural(sizes[-1], 'task')}"
    caption = (
        f"{tasks} of the split “{split}”. An attempt is a success if its reward is at least "
        f"{source.metrics.threshold:g}. Attempts, tokens and time are the cost of training up to that row, without "
        "evaluations."
    )
    notes = [tag("p", note, class_="caption") for note in source.metrics.notes]
    return tag("div", _grid(heads, rows), tag("p", caption, class_="caption"), notes)


def _row(row: ResultRow, look: str, clone: str) -> Element:
    evaluation, cost = row.evaluation, row.cost
    bar = interval_bar(evaluation.success, look)
    called = tag("small", " ", term("clone", "the clone")) if row.label == clone != "clone" else None
    return tag(
        "tr",
        tag("th", tag("span", class_=f"dot {look}"), row.label, called, scope="row"),
        tag("td", bar, rate_text(evaluation.success), class_="wide", data_label="success"),
        tag("td", plus_minus(evaluation.reward), data_label="reward"),
        tag("td", plus_minus(evaluation.steps, 1), data_label="steps"),
        tag("td", _or_dash(cost.simulations, count), data_label="attempts"),
        tag("td", tokens_of(cost) if cost.computed_tokens + cost.trained_tokens else "–", data_label="tokens"),
        tag("td", _or_dash(cost.seconds, duration), data_label="time"),
        tag("td", _errors(row), data_label="errors"),
    )


def _or_dash(value: float, write: Callable[[float], str]) -> str:
    return write(value) if value else "–"


def _errors(row: ResultRow) -> list[Child]:
    evaluation = row.evaluation
    parts = [
        (evaluation.errors, "lost", f"{evaluation.errors} lost"),
        (evaluation.invalid_rate, "invalid", f"{evaluation.invalid_rate:.1%} invalid"),
        (evaluation.unparsed_rate, "unparsed", f"{evaluation.unparsed_rate:.1%} unparsed"),
    ]
    found = [term(key, text) for value, key, text in parts if value]
    return [piece for term_ in found for piece in (term_, " ")] or ["–"]


def _table_so_far(source: Source, counts: RunCounts) -> Element:
    """Return the results of the evaluations so far, as there are no final ones."""
    if not counts.tests:
        return tag("p", "None yet: nothing was evaluated so far.")
    style = looks(source)
    rows = []
    for label, episodes in counts.tests.items():
        look = style.get(counts.methods.get(label) or label, "s-clone")
        rate: Estimate = episodes.strict_rate
        bar = tag("td", interval_bar(rate, look), rate_text(rate), class_="wide", data_label="success")
        head = tag("th", tag("span", class_=f"dot {look}"), label, scope="row")
        rows.append(tag("tr", head, bar, tag("td", f"{rate.n}", data_label="tasks")))
    heads = ["", (term("success"), " with its ", term("interval")), "tasks"]
    return tag("div", tag("p", "Evaluations so far; not final."), _grid(heads, rows))


def _baselines(source: Source) -> list[str]:
    """Return the baselines that are recipes; a file's method has a name of its own, known once it is trained."""
    baselines = source.config.get("baselines")
    return [str(b) for b in baselines if not str(b).endswith((".yaml", ".yml"))] if isinstance(baselines, list) else []


def _grid(heads: Iterable[Any], rows: list[Element]) -> Element:
    head = tag("tr", [tag("th", *(h if isinstance(h, tuple) else (h,)), scope="col") for h in heads])
    return tag("table", tag("thead", head), tag("tbody", rows), class_="results")
