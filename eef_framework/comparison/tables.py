"""Tables of a comparison: plain text, Markdown, LaTeX, CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from eef_framework.comparison.result import Comparison, interval
from eef_framework.records import Estimate

TableFormat = Literal["text", "markdown", "latex", "csv"]
FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)

Cells = Sequence[str]

ROW_HEADS = ("", "success %", "over seeds", "over tasks", "reward", "simulations", "tokens", "USD")
DIFFERENCE_HEADS = ("difference", "points", "over seeds", "over tasks", "per seed")


def render(comparison: Comparison, style: TableFormat) -> str:
    """Return the comparison in one of the formats."""
    return {"text": as_text, "markdown": as_markdown, "latex": as_latex, "csv": as_csv}[style](comparison)


def as_text(comparison: Comparison) -> str:
    """Return two tables for a terminal."""
    return _with_both(comparison, _aligned)


def as_markdown(comparison: Comparison) -> str:
    """Return two Markdown tables."""
    return _with_both(comparison, _piped)


def as_latex(comparison: Comparison) -> str:
    """Return two LaTeX tabular environments (with the package booktabs)."""
    return _with_both(comparison, _tabular, comment="% ")


def as_csv(comparison: Comparison) -> str:
    """Return all numbers, unrounded: a line for each row and each difference. Rates are shares between 0 and 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = ("mean", "low", "high", "n")
    both = [f"over_{what}_{end}" for what in ("seeds", "tasks") for end in ends]
    writer.writerow(["what", "first", "second", "seeds", *both, "reward", "simulations", "tokens", "usd"])
    for row in comparison.rows:
        numbers = [*_numbers(row.success_over_seeds), *_numbers(row.success_over_tasks)]
        costs = [row.reward.mean, row.simulations, row.tokens, row.usd]
        writer.writerow(["success", row.label, "", " ".join(map(str, row.seeds)), *numbers, *costs])
    for each in comparison.differences:
        numbers = [*_numbers(each.over_seeds), *_numbers(each.over_tasks)]
        seeds = " ".join(map(str, each.seeds))
        writer.writerow(["difference", each.first, each.second, seeds, *numbers, "", "", "", ""])
    return out.getvalue()


def title(comparison: Comparison) -> str:
    """Return one line that says how everything was measured."""
    protocol = comparison.protocol
    seeds = sorted({len(row.seeds) for row in comparison.rows})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    parts = [
        str(protocol.get("environment.name", "")),
        f"split {protocol.get('evaluate.tasks.split')}" if "evaluate.tasks.split" in protocol else "",
        f"at most {protocol['limits.steps']} steps" if protocol.get("limits.steps") is not None else "",
        f"success: reward >= {protocol['success.threshold']:g}" if "success.threshold" in protocol else "",
        f"{count} seed{'' if seeds == [1] else 's'}",
        "95 % intervals",
    ]
    return "; ".join(part for part in parts if part)


def _with_both(comparison: Comparison, table: Callable[[Cells, Sequence[Cells]], str], comment: str = "") -> str:
    rows = [
        (
            row.label,
            f"{100 * row.success_over_tasks.mean:.1f}",
            interval(row.success_over_seeds),
            interval(row.success_over_tasks),
            f"{row.reward.mean:.3f}",
            f"{row.simulations:,.0f}",
            f"{row.tokens:,.0f}",
            f"{row.usd:.2f}",
        )
        for row in comparison.rows
    ]
    differences = [
        (
            f"{each.first} - {each.second}",
            f"{100 * each.over_tasks.mean:+.1f}",
            interval(each.over_seeds, "+"),
            interval(each.over_tasks, "+"),
            ", ".join(f"{100 * value:+.1f}" for value in each.per_seed),
        )
        for each in comparison.differences
    ]
    parts = [comment + title(comparison), table(ROW_HEADS, rows)]
    parts += [table(DIFFERENCE_HEADS, differences)] if differences else []
    return "\n\n".join([*parts, *(comment + note for note in comparison.notes)]) + "\n"


def _aligned(heads: Cells, rows: Sequence[Cells]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: Cells) -> str:
        first, *others = (cell for cell in cells)
        numbers = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        return "  ".join([first.ljust(widths[0]), *numbers]).rstrip()

    return "\n".join([line(heads), "  ".join("-" * width for width in widths), *map(line, rows)])


def _piped(heads: Cells, rows: Sequence[Cells]) -> str:
    def line(cells: Cells) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join([line(heads), f"|---|{'---:|' * (len(heads) - 1)}", *map(line, rows)])


def _tabular(heads: Cells, rows: Sequence[Cells]) -> str:
    def line(cells: Cells) -> str:
        return f"{' & '.join(map(_escaped, cells))} " + r"\\"

    body = [r"\toprule", line(heads), r"\midrule", *map(line, rows), r"\bottomrule"]
    return "\n".join([rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", *body, r"\end{tabular}"])


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(char, f"\\{char}" if char in "&%$#_{}" else char) for char in text)


def _numbers(estimate: Estimate) -> list[float | str]:
    bounds = [value if math.isfinite(value) else "" for value in (estimate.low, estimate.high)]
    return [estimate.mean, *bounds, estimate.n]
