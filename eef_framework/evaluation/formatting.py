"""Formats numbers as text and tables, for the command line and the report."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from eef_framework.records import Cost, Difference, Estimate, ResultRow, RunMetrics

if TYPE_CHECKING:
    from rich.console import Group

ONE_TRAINING = (
    "Intervals cover the choice of tasks, not the randomness of training: repeat the run with other seeds before you "
    "claim that one method is better."
)
"""SmolLM2's lead over matched rejection sampling was 0.0 points in one training run and 12.5 in another that differed
in rounding only, each with an interval of 12 points either way (`benchmarks/LOG.md`)."""

Significance = Literal["better", "worse", "undecided"]


def significance(difference: Estimate) -> Significance:
    """Return whether the first of two sides is better; undecided if the 95 % interval of the difference includes 0."""
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "undecided"


def describe(difference: Difference) -> str:
    """Format a comparison as one sentence, which says so if the difference may be due to chance.

    Args:
        difference: its label is `A - B`.
    """
    first, second = difference.sides
    second = second or "the other"
    estimate = difference.success
    points = f"{abs(estimate.mean) * 100:.1f} points"
    evidence = f"95 % interval {_points(estimate.low)} to {_points(estimate.high)}, {plural(estimate.n, 'task')}"
    match significance(estimate):
        case "better":
            return f"{first} is better than {second} by {points} of success ({evidence})."
        case "worse":
            return f"{first} is worse than {second} by {points} of success ({evidence})."
    if estimate.mean == 0:
        return f"{first} and {second} solve equally many tasks; either may be better ({evidence})."
    sign = "above" if estimate.mean > 0 else "below"
    return f"{first} is {points} {sign} {second}, which may be due to chance: the interval includes 0 ({evidence})."


def percent(estimate: Estimate) -> str:
    """Format a share and its interval in percent: `61.6 [56.0, 66.9]`."""
    if estimate.n == 0:
        return "-"
    return f"{estimate.mean * 100:.1f} [{estimate.low * 100:.1f}, {estimate.high * 100:.1f}]"


def plus_minus(estimate: Estimate, digits: int = 2) -> str:
    """Format a mean with half the width of its interval: `0.78 ±0.04`; `±?` with a single episode."""
    if estimate.n == 0:
        return "-"
    half = estimate.high - estimate.mean
    return f"{estimate.mean:.{digits}f} ±{f'{half:.{digits}f}' if math.isfinite(half) else '?'}"


def count(value: float) -> str:
    """Format a large number: `12.3k`, `4.5M`."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}{suffix}"
    return f"{value:.0f}"


def plural(number: int, thing: str) -> str:
    """Format a number with its noun: `1 task`, `1,200 tasks`."""
    if number == 1:
        return f"1 {thing}"
    several = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}{'es' if thing.endswith('s') else 's'}"
    return f"{number:,} {several}"


def tokens_of(cost: Cost) -> str:
    """Format the tokens of a cost, with `>=` if it has answers with an unknown number of tokens."""
    found = count(cost.computed_tokens + cost.trained_tokens)
    return f">= {found}" if cost.answers_of_unknown_cost else found


def unknown_costs(answers: int) -> str:
    """Return a sentence on answers of unknown cost; empty if there are none."""
    if not answers:
        return ""
    return f"{plural(answers, 'answer')} of unknown cost: tokens and price are lower bounds."


def duration(seconds: float) -> str:
    """Format a time in at most ten characters: `0.4 s`, `3 min 20 s`, `14 min`, `5 h 12 min`, `31 h`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 10:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"{seconds / 3600:.0f} h"


def html_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return an HTML table, for notebooks."""
    body = "".join(_html_row(row, "td") for row in rows)
    return f"<table><thead>{_html_row(heads, 'th')}</thead><tbody>{body}</tbody></table>"


def _html_row(cells: Iterable[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def results(metrics: RunMetrics) -> Group:
    """Return the results of a run for a terminal of 80 columns: a title, a table and comparisons."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("success %", "reward", "steps", "sims", "tokens", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in metrics.rows:
        table.add_row(*_cells(row))
    unknown = unknown_costs(sum(cost.answers_of_unknown_cost for cost in metrics.stages.values()))
    sentences = [Text(note, style="yellow") for note in (*metrics.notes, *([unknown] if unknown else []))]
    sentences += [Text(describe(difference)) for difference in metrics.differences]
    if metrics.differences:
        sentences.append(Text(ONE_TRAINING, style="dim"))
    return Group(Text(_title(metrics)), "", table, "", *sentences)


def _title(metrics: RunMetrics) -> str:
    evaluations = [row.evaluation for row in metrics.rows]
    sizes = sorted({evaluation.episodes for evaluation in evaluations}) or [0]
    tasks = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0]}"
    noun = "task" if sizes[-1] == 1 else "tasks"
    splits = "/".join(sorted({evaluation.split for evaluation in evaluations}))
    lost = sum(evaluation.errors for evaluation in evaluations)
    which = " ".join(filter(None, (tasks, splits, noun)))
    title = f"{which}; success: reward >= {metrics.threshold:g}; 95 % intervals"
    return title + (f"; {lost} episodes lost to errors, counted as failures" if lost else "")


def _cells(row: ResultRow) -> tuple[str, ...]:
    evaluation, cost = row.evaluation, row.cost
    return (
        row.label,
        percent(evaluation.success),
        plus_minus(evaluation.reward),
        f"{evaluation.steps.mean:.1f}",
        count(cost.simulations),
        tokens_of(cost),
        duration(cost.seconds),
    )


def _points(value: float) -> str:
    return f"{value * 100:+.1f}"
