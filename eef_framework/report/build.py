"""Builds the report of a run directory: one self-contained HTML file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from eef_framework.errors import EefWarning
from eef_framework.records import Attribution, Example, Selected, StateId, SuccessRule, Trajectory, fingerprint
from eef_framework.report.chunks import TEXT_LIMIT, Chunks
from eef_framework.report.costs import cost_sections
from eef_framework.report.counts import ExplorationCounts, RunCounts, sources_of
from eef_framework.report.html import Element, tag
from eef_framework.report.page import page_parts, write_page
from eef_framework.report.reflections import Reflections
from eef_framework.report.sections import sections
from eef_framework.report.source import Group, Source
from eef_framework.report.summary import name_of, summary
from eef_framework.report.trajectory_index import Advice, Alternatives, TrajectoryIndex
from eef_framework.runs import FILES

MOST_TRAJECTORIES = 40_000
"""Browsers are slow with more trajectories than this. Reports of longer runs show a sample of the tasks."""


def build_report(run: Path, most: int = MOST_TRAJECTORIES) -> Path:
    """Write a run's `report.html`: results, charts and all trajectories. The run may be unfinished.

    Rows are streamed; memory holds only their index. No plugin is needed.

    Args:
        run: the run directory.
        most: approximate maximum number of trajectories on the page. For longer runs, the page shows all trajectories
            of a sample of the tasks, and says so. Counts and charts cover everything.

    Returns:
        The path of the page, in the run directory.

    Warns:
        EefWarning: for each file that is missing, lost rows or can't be read (`run-damaged`); the page has the same
            notes.

    Raises:
        StorageError: the directory doesn't exist, or can't be written to.
    """
    source = Source(run)
    write_page(source.layout.report, lambda file: _parts(source, file, most))
    for problem in source.problems:
        warnings.warn(EefWarning(problem, code="run-damaged", path=str(run)), stacklevel=2)
    return source.layout.report


def _parts(source: Source, file: IO[str], most: int) -> dict[str, str]:
    """Read the run, write its trajectories to the file, and return the values of the template's placeholders."""
    chunks = Chunks(file)
    index = TrajectoryIndex(chunks, _rule(source))
    counts = RunCounts()
    total = sum(_lines(group.path) for group in source.groups())
    share = min(1.0, most / max(total, 1))
    for group in source.groups():
        _read_group(source, group, index, counts, share)
    _read_links(source, index, counts)
    listed = index.finish()
    body = [summary(source, counts, _remarks(source, chunks, share)), *sections(source, counts), *cost_sections(source)]
    return page_parts(_heading(source), body, {**listed, "heldOut": source.held_out})


def _heading(source: Source) -> Element:
    names = (tag("b", source.method), " on ", tag("b", name_of(source.config, "environment")), " · ")
    return tag("h1", *(names if source.config else ()), tag("small", f"run {source.run.resolve().name}"))


def _rule(source: Source) -> SuccessRule:
    if source.metrics is not None:
        return SuccessRule(threshold=source.metrics.threshold)
    success = source.config.get("success")
    threshold = success.get("threshold") if isinstance(success, Mapping) else None
    return SuccessRule(threshold=threshold) if isinstance(threshold, int | float) else SuccessRule()


def _read_group(source: Source, group: Group, index: TrajectoryIndex, counts: RunCounts, share: float) -> None:
    rule = _rule(source)
    numbers: dict[str, int] = {}
    titles = {
        "demonstration": "expert's demonstrations (training tasks)",
        "test": f"{group.label}: evaluation on {source.evaluated_on}",
        "start": f"{group.label}: exploration from the start",
        "simulation": f"{group.label}: exploration from probes",
    }
    advice = _advice(source, group)
    alternatives = _alternatives(source, counts) if group.phase == "demonstration" else {}
    reflections = Reflections(source, counts) if group.phase == "demonstration" else None
    for trajectory in source.rows(group.path, Trajectory):
        phase: str = group.phase
        if phase == "exploration":
            phase = "simulation" if trajectory.origin else "start"
            counts.explorations.setdefault(group.label, ExplorationCounts()).add(trajectory, rule)
        elif phase == "test":
            counts.test(group.label, group.method).add(trajectory, rule)
        else:
            counts.demonstrations.add(trajectory, rule)
            counts.demonstrated[trajectory.id] = trajectory.task.id
        written = reflections.of(trajectory, rule.holds(trajectory)) if reflections else ()
        if _sampled(trajectory, share):
            if phase not in numbers:
                numbers[phase] = index.group(titles[phase], phase, group.label)
            index.add(trajectory, numbers[phase])
            if phase == "start" and advice:
                index.advise(trajectory, advice)
            if alternatives:
                index.add_alternatives(trajectory, alternatives)
            for reflection in written:
                index.add_reflection(trajectory, reflection)


def _alternatives(source: Source, counts: RunCounts) -> Alternatives:
    """Return what the agent tried in states of the demonstrations, in any exploration, and count it."""
    found: dict[StateId, dict[str, tuple[str, list[str]]]] = {}
    for training in source.trainings():
        for row in source.rows(training.attributions.with_name(FILES.alternatives), Trajectory):
            for step in row.own_steps:
                counts.explorations.setdefault(training.label, ExplorationCounts()).alternatives += 1
                tried = found.setdefault(row.state_id(row.prefix_length), {})
                _, trainings = tried.setdefault(step.action, (step.observation.text[:TEXT_LIMIT], []))
                trainings.extend({training.label}.difference(trainings))
    return found


def _advice(source: Source, group: Group) -> Advice:
    """Return what the expert said in the states of an exploration's episodes, if it was asked."""
    path = group.path.with_name(FILES.advice)
    rows = source.rows(path, Trajectory) if group.phase == "exploration" and path.exists() else ()
    return {row.state_id(row.prefix_length): (row.id, row.own_steps[0].action) for row in rows if row.own_steps}


def _read_links(source: Source, index: TrajectoryIndex, counts: RunCounts) -> None:
    for training in source.trainings():
        for attribution in source.rows(training.attributions, Attribution):
            task = counts.demonstrated.get(attribution.trajectory)
            counts.explorations.setdefault(training.label, ExplorationCounts()).attribute(attribution, task)
            index.attribute(attribution, training.label)
        predictions = training.examples.with_name(FILES.predictions)
        for example in source.rows(predictions, Example):
            by_expert = example.trajectory in counts.demonstrated
            counts.explorations.setdefault(training.label, ExplorationCounts()).predictions[by_expert] += 1
        selected = training.examples.with_name(FILES.selected)
        for row in source.rows(selected, Selected) if selected.exists() else ():
            index.select(row, training.label)
            if row.outcome == "filtered":
                counts.filtered[training.label][row.reason] += 1
        if training.examples.exists():
            sources: dict[str, set[str]] = {}
            for example in source.rows(training.examples, Example):
                sources_of(example, sources)
                index.learn(example, training.label)
            counts.learn(training.label, sources)


def _sampled(trajectory: Trajectory, share: float) -> bool:
    """Return whether a trajectory's task is in the sample. A task is in it with all its trajectories, or not at all."""
    return share >= 1 or int(fingerprint(f"{trajectory.task.split}/{trajectory.task.id}"), 16) < share * 2**64


def _remarks(source: Source, chunks: Chunks, share: float) -> Iterator[str]:
    if not source.layout.metrics.exists():
        yield "This run isn't finished: it has no metrics.json with final results yet. Below are the results so far."
    if share < 1:
        yield (
            f"The list shows about {share:.1%} of the trajectories: all those of a random sample of the tasks. "
            "Results, counts and charts cover all trajectories."
        )
    if chunks.cut:
        yield f"{chunks.cut:,} texts in trajectories are truncated to {TEXT_LIMIT:,} characters."
    yield from source.problems


def _lines(path: Path) -> int:
    """Count a file's lines without reading it whole."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
