"""The first screen: what the run was, who won, and the table of results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from eef_framework.evaluation.wording import count, describe, duration, outcome, plus_minus
from eef_framework.records import Difference, Estimate, ResultRow
from eef_framework.report.charts import interval_bar
from eef_framework.report.markup import Child, Element, tag
from eef_framework.report.source import Source
from eef_framework.report.tally import Counts
from eef_framework.report.words import method_term, term

LOOKS = 4
"""How many series have a look of their own."""


def looks(source: Source) -> dict[str, str]:
    """Return method, `expert` or `clone` -> class of the style sheet that draws it."""
    known = {"expert": "s-expert", "clone": "s-clone"}
    methods = [source.method, *_baselines(source), *(t.method for t in source.trainings() if t.method)]
    for number, method in enumerate(dict.fromkeys(methods)):
        known.setdefault(method, f"s-{min(number, LOOKS - 1)}")
    return known


def summary(source: Source, counts: Counts, remarks: Iterable[str]) -> Element:
    """Return the first screen.

    Args:
        source: the run.
        counts: of all its rows.
        remarks: what a reader has to know first: what is missing, broken or left out.
    """
    notes = [tag("li", remark) for remark in remarks]
    return tag(
        "section",
        tag("h2", "What this run found"),
        tag("aside", tag("b", "Please note"), tag("ul", notes), class_="remarks") if notes else None,
        _story(source, counts),
        _answers(source),
        tag("h3", "Results on the ", term("held-out", "held-out tasks")),
        _table(source, counts),
        id="found",
    )


def name_of(config: dict[str, Any], part: str) -> str:
    """Return the name of a configured component, however it is written."""
    value = config.get(part)
    name = value.get("name") if isinstance(value, dict) else value
    return str(name) if name else "not recorded"


def _baselines(source: Source) -> list[str]:
    baselines = source.config.get("baselines")
    return [str(b) for b in baselines] if isinstance(baselines, list) else []


def _story(source: Source, counts: Counts) -> Element:
    config = source.config
    shown = counts.demonstrations
    methods = [m for m in looks(source) if m not in ("expert", "clone")]
    played = f" ({shown.wins:,} of its {shown.n + shown.lost:,} attempts)" if shown.n else ""
    return tag(
        "div",
        tag(
            "p",
            *("An ", term("agent"), f" (a language model, “{name_of(config, 'policy')}”) learnt to solve "),
            *(term("task", "tasks"), " in the ", term("world"), " ", tag("b", name_of(config, "environment"))),
            *(", from an ", term("expert"), ", ", tag("b", name_of(config, "expert")), ", and by trying for itself. "),
            *("First it imitated the expert's successful ", term("demonstration", "demonstrations")),
            *(f"{played}; that made the ", term("clone"), ". "),
            *("Then it went on ", _listed(methods), ". ") if methods else (),
        ),
        _methods_explained(methods),
        class_="story",
    )


def _methods_explained(methods: list[str]) -> Element | None:
    kinds = {name.partition("-")[0].lower() for name in methods}
    if "eef" not in kinds:
        return None
    return tag(
        "p",
        *("The idea of ", term("eef", "EEF"), ": an expert's failed attempts still contain good moves. The agent is "),
        *("let loose from states along each demonstration (", term("probe", "probes"), "); where it suddenly can "),
        *("succeed, the expert's moves up to there get learnt, and where it suddenly can't, it learns to recover. "),
        *(
            ("The usual way, ", term("rft", "RFT"), ", learns from the agent's own successes only.")
            if "rft" in kinds
            else ()
        ),
    )


def _listed(methods: list[str]) -> list[Child]:
    parts: list[Child] = ["with the method " if len(methods) == 1 else "separately with each of the methods "]
    for number, method in enumerate(methods):
        joint = " and " if number == len(methods) - 1 else ", "
        parts += [joint if number else "", method_term(method)]
    return parts


def _answers(source: Source) -> Element:
    metrics = source.metrics
    if metrics is None or not metrics.differences:
        text = "No comparison yet: the run writes it when all methods are evaluated."
        return tag(
            "p", text if metrics is None else "This run compares nothing: it has one method only.", class_="story"
        )
    own = [d for d in metrics.differences if d.label.startswith(f"{source.method} ")] or list(metrics.differences)
    rest = [d for d in metrics.differences if d not in own]
    span = max(max(abs(d.success.low), abs(d.success.high)) for d in metrics.differences) or 1.0
    others = [tag("li", describe(d)) for d in rest]
    return tag(
        "div",
        tag("div", [_answer(d, span) for d in own], class_="answers"),
        tag("details", tag("summary", "Other comparisons"), tag("ul", others)) if others else None,
    )


def _answer(difference: Difference, span: float) -> Element:
    first, _, second = difference.label.partition(" - ")
    result = outcome(difference)
    points = f"{abs(difference.success.mean) * 100:.1f}"
    headline = {
        "ahead": f"Yes, by {points} points",
        "behind": f"No, {points} points worse",
        "undecided": "Too close to tell",
    }[result]
    return tag(
        "article",
        tag("h3", f"Did {first} beat {_spoken(second)}?"),
        tag(
            "p", tag("span", {"ahead": "✓", "behind": "✗", "undecided": "≈"}[result], aria_hidden="true"), " ", headline
        ),
        interval_bar(difference.success, "s-0", -span, span),
        tag("small", describe(difference)),
        class_=f"answer {result}",
    )


def _spoken(name: str) -> str:
    return f"the {name}" if name in ("expert", "clone") else name or "the other"


def rate_text(estimate: Estimate, digits: int = 1) -> Element:
    """Write a share of successes with its interval."""
    if not estimate.n:
        return tag("span", "none played")
    low, high = (f"{bound * 100:.{digits}f}" for bound in (estimate.low, estimate.high))
    return tag(
        "span", tag("b", f"{estimate.mean * 100:.{digits}f} %"), " ", tag("small", f"{low} to {high}"), class_="rate"
    )


def _table(source: Source, counts: Counts) -> Element:
    if source.metrics is None or not source.metrics.rows:
        return _table_so_far(source, counts)
    style = looks(source)
    rows = [_row(row, style.get(row.method or row.label, "s-clone")) for row in source.metrics.rows]
    split = ", ".join(sorted({row.evaluation.split for row in source.metrics.rows}))
    heads: list[Child | tuple[Child, ...]] = [
        "",
        (term("success"), " with its ", term("interval")),
        term("reward"),
        term("step", "steps"),
        term("simulation", "simulations"),
        term("tokens"),
        "time",
        "mishaps",
    ]
    sizes = sorted({row.evaluation.episodes for row in source.metrics.rows})
    caption = (
        f"{' to '.join(f'{size:,}' for size in sizes[:: max(len(sizes) - 1, 1)])} tasks of the split “{split}”. An attempt is a success if its reward is at least {source.metrics.threshold:g}. Simulations, "
        "tokens and time are what it took to train up to there, tests not counted."
    )
    return tag("div", _grid(heads, rows), tag("p", caption, class_="caption"))


def _row(row: ResultRow, look: str) -> Element:
    evaluation, cost = row.evaluation, row.cost
    bar = interval_bar(evaluation.success, look)
    return tag(
        "tr",
        tag("th", tag("span", class_=f"dot {look}"), row.label, scope="row"),
        tag("td", bar, rate_text(evaluation.success), class_="wide", data_label="success"),
        tag("td", plus_minus(evaluation.reward), data_label="reward"),
        tag("td", plus_minus(evaluation.steps, 1), data_label="steps"),
        tag("td", _or_dash(cost.simulations, count), data_label="simulations"),
        tag("td", _or_dash(cost.computed_tokens + cost.trained_tokens, count), data_label="tokens"),
        tag("td", _or_dash(cost.seconds, duration), data_label="time"),
        tag("td", _mishaps(row), data_label="mishaps"),
    )


def _or_dash(value: float, write: Callable[[float], str]) -> str:
    return write(value) if value else "–"


def _mishaps(row: ResultRow) -> list[Child]:
    evaluation = row.evaluation
    parts = [
        (evaluation.errors, "lost", f"{evaluation.errors} lost"),
        (evaluation.invalid_rate, "invalid", f"{evaluation.invalid_rate:.1%} invalid"),
        (evaluation.unparsed_rate, "unparsed", f"{evaluation.unparsed_rate:.1%} unreadable"),
    ]
    found = [term(key, text) for value, key, text in parts if value]
    return [piece for term_ in found for piece in (term_, " ")] or ["–"]


def _table_so_far(source: Source, counts: Counts) -> Element:
    """Return what the tests played so far say, while there are no final numbers."""
    if not counts.tests:
        return tag("p", "None yet: no test was played so far.")
    style = looks(source)
    rows = []
    for label, tally in counts.tests.items():
        look = style.get(label.rpartition(" ")[0] or label, "s-clone")
        rate: Estimate = tally.strict_rate
        bar = tag("td", interval_bar(rate, look), rate_text(rate), class_="wide", data_label="success")
        head = tag("th", tag("span", class_=f"dot {look}"), label, scope="row")
        rows.append(tag("tr", head, bar, tag("td", f"{rate.n}", data_label="tasks played")))
    heads = ["", (term("success"), " with its ", term("interval")), "tasks played"]
    return tag("div", tag("p", "Tests played so far; not final."), _grid(heads, rows))


def _grid(heads: Iterable[Any], rows: list[Element]) -> Element:
    head = tag("tr", [tag("th", *(h if isinstance(h, tuple) else (h,)), scope="col") for h in heads])
    return tag("table", tag("thead", head), tag("tbody", rows), class_="results")
