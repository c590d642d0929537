"""Writes the run's metrics and its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eef_framework.evaluation.formatting import count, plural
from eef_framework.evaluation.spending import total
from eef_framework.interfaces import ProgressCallback
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phase import Phase, PhaseResult
from eef_framework.pipeline.phases.explore import Explore
from eef_framework.pipeline.results import TableRow, metrics_of
from eef_framework.report.build import build_report
from eef_framework.runs import RunLayout, write_text


@dataclass(kw_only=True)
class Report(Phase):
    """Writes `metrics.json` and `report.html`, again on every run.

    Attributes:
        layout: the run.
        rows: the rows of the table.
        after: the phases before it, with their costs and notes.
        notes: further notes for readers.
    """

    title: str = "report"
    layout: RunLayout
    rows: Sequence[TableRow]
    after: Sequence[Phase]
    notes: Sequence[str] = ()

    charged: bool = False

    def work(self, context: RunContext, progress: ProgressCallback) -> PhaseResult:
        """Compute the metrics, and write both."""
        metrics = metrics_of(context.config.method, self.rows, self.after, context.config.success)
        metrics = metrics.changed(notes=(*self.notes, *_notes_of(context, self.after)))
        write_text(self.layout.metrics, metrics.model_dump_json(indent=2) + "\n")
        build_report(self.layout.path)
        return PhaseResult()


def _notes_of(context: RunContext, phases: Sequence[Phase]) -> Iterator[str]:
    """Yield the notes of phases, and the budgets of matched methods."""
    for phase in phases:
        manifest = phase.stage.manifest if phase.stage else None
        notes = manifest.info.get("notes") if manifest else None
        yield from map(str, notes if isinstance(notes, list) else ())
        if manifest:
            yield from _adaptive(phase.title, manifest.info)
    matched: dict[str, list[Explore]] = {}
    for phase in phases:
        if isinstance(phase, Explore) and phase.variant.explore.matched:
            matched.setdefault(phase.variant.method, []).append(phase)
    for method, explorations in matched.items():
        yield _what_was_matched(context, method, explorations)


def _adaptive(title: str, info: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a phase recorded about tasks that were explored adaptively, and about shortened solutions."""
    name = title.partition(":")[0]
    if exploration := info.get("exploration"):
        tasks, rounds = exploration["tasks"], exploration["rounds"]
        spent = ", ".join(f"{each['simulations']:,} for {each['for']} episodes" for each in rounds)
        yield (
            f"{name}: of {sum(tasks.values()):,} tasks the agent solved {tasks['solved']:,} always, "
            f"{tasks['sometimes']:,} sometimes, {tasks['from-expert']:,} only from states of the expert's trajectory, "
            f"and {tasks['hopeless']:,} never; {tasks['untried']:,} weren't tried. Simulations: {spent}."
        )
    if shortening := info.get("shortening"):
        yield (
            f"{name}: {shortening['actions']:,} actions that made no difference were left out of "
            f"{plural(shortening['shortened'], 'solution')}, with {plural(shortening['replays'], 'replay')}."
        )


def _what_was_matched(context: RunContext, method: str, explorations: Sequence[Explore]) -> str:
    spent = total(each for phase in explorations for each in phase.spent().values())
    others = [phase.matches for phase in explorations if phase.matches is not None]
    adapts = explorations[0].variant.explore.schedule is not None
    if adapts and not others:
        return f"{method} kept to the budget of its schedule: {spent.simulations:,} simulations."
    if not others:
        attributor = context.attributor(explorations[0].variant)
        name = attributor.component_name() if attributor else ""
        return f"{method} played as many simulations for each task as attributor {name!r} plans: {spent.simulations:,}."
    main, other = others[0].variant.method, total(each for phase in others for each in phase.spent().values())
    allowed = (
        f"The budget of {method} was what {main} spent"
        if adapts
        else f"{method} got as many simulations for each task as {main}"
    )
    return (
        f"{allowed}. {method} played {plural(spent.simulations, 'simulation')} ({count(spent.tokens)} tokens), "
        f"{main} {other.simulations:,} ({count(other.tokens)} tokens)."
    )
