"""Builds an HTML page of a file of trajectories or examples, also of other formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from eef_framework.errors import ConfigError
from eef_framework.formats import own_kind, read_records
from eef_framework.formats.episodes import trajectory_of
from eef_framework.formats.reading import nothing_read
from eef_framework.formats.training_examples import dialogue_of
from eef_framework.records import Attribution, Example, Observation, SuccessRule, Trajectory
from eef_framework.report.chunks import TEXT_LIMIT, Chunks
from eef_framework.report.html import Child, Element, tag
from eef_framework.report.page import check_replaceable, page_parts, write_page
from eef_framework.report.trajectory_index import FAILED, LOST, SUCCEEDED, UNKNOWN, TrajectoryIndex


def build_view(file: Path, page: Path, rule: SuccessRule) -> int:
    """Write a page that shows the rows of a file.

    Args:
        file: trajectories or examples in any format.
        page: the page to write.
        rule: which rewards are successes.

    Returns:
        The number of rows shown.

    Raises:
        ConfigError: the page exists, and isn't a page of ours (`output-exists`), the file has attributions
            (`wrong-kind`), or it is a run directory (`is-a-run`).
        CorruptFile: no row can be read (`no-rows`).
        StorageError: a file can't be read or written.
    """
    kind = own_kind(file)
    if kind is Attribution:
        raise ConfigError(
            f"{file} has attributions, which have nothing to show without their trajectories",
            "View the run's report (eef report), or the file of trajectories.",
            code="wrong-kind",
            path=str(file),
        )
    check_replaceable(page, "eef view")
    shown = list(_shown(file, kind))
    if not shown:
        raise nothing_read(file, [])
    page.parent.mkdir(parents=True, exist_ok=True)
    write_page(page, lambda chunk_file: _parts(file, shown, chunk_file, rule))
    return len(shown)


def _shown(file: Path, kind: type[Any] | None) -> Iterator[tuple[Trajectory, Example | None]]:
    """Yield what is shown: trajectories, and for examples also what is learned of them."""
    if kind is Example:
        for example in read_records(file, Example):
            trajectory = trajectory_of(dialogue_of(example, with_record=False))
            weights = [step.info.get("weight", 1.0) for step in trajectory.steps]
            states = tuple(state for state, weight in enumerate(weights) if weight)
            yield (
                _with_preamble(trajectory.changed(id=example.id)),
                example.changed(trajectory=example.id, states=states),
            )
        return
    for trajectory in read_records(file, Trajectory):
        yield _with_preamble(trajectory), None


def _with_preamble(trajectory: Trajectory) -> Trajectory:
    """Return a trajectory with the messages before its first observation shown as part of it."""
    preamble = trajectory.info.get("preamble")
    if not isinstance(preamble, list):
        return trajectory
    texts = [f"[{each[0]}]\n{each[1]}" for each in preamble if isinstance(each, list) and len(each) == 2]
    text = "\n\n".join([*texts, f"[user]\n{trajectory.initial.text}"])
    changed: Trajectory = trajectory.changed(initial=Observation(text=text, actions=trajectory.initial.actions))
    return changed


def _parts(
    file: Path, shown: Sequence[tuple[Trajectory, Example | None]], chunk_file: IO[str], rule: SuccessRule
) -> dict[str, str]:
    chunks = Chunks(chunk_file)
    index = TrajectoryIndex(chunks, rule)
    groups: dict[str, int] = {}
    for trajectory, _ in shown:
        label = trajectory.actor
        if label not in groups:
            groups[label] = index.group(file.name, "file", label)
        index.add(trajectory, groups[label])
    for _, example in shown:
        if example is not None:
            index.learn(example, "this file")
    data = index.finish()
    heading = tag("h1", tag("b", file.name))
    return page_parts(heading, [_summary(file, data["rows"], chunks, rule)], {**data, "heldOut": False})


def _summary(file: Path, rows: dict[str, list[Any]], chunks: Chunks, rule: SuccessRule) -> Element:
    outcomes = rows["outcome"]
    rewards = [reward for reward, outcome in zip(rows["reward"], outcomes, strict=True) if outcome != UNKNOWN]
    lines: list[Child] = [
        f"{len(outcomes):,} rows with {sum(rows['steps']):,} steps",
        _counted(outcomes, SUCCEEDED, "successes", f" (a reward of {rule.threshold:g} or more)"),
        _counted(outcomes, FAILED, "failures"),
        _counted(outcomes, LOST, "lost to an error"),
        _counted(outcomes, UNKNOWN, "of unknown outcome", ": their rows have no reward"),
    ]
    if rewards:
        lines.append(f"mean reward {sum(rewards) / len(rewards):.3f}")
    cut = f"{chunks.cut:,} texts are truncated to {TEXT_LIMIT:,} characters." if chunks.cut else ""
    link = tag("a", "Trajectories", href="#trajectories")
    return tag(
        "section",
        tag("h2", "Summary"),
        tag("p", "All rows of ", tag("code", str(file)), " can be read one by one under ", link, "."),
        tag("aside", cut, class_="remarks") if cut else None,
        tag("ul", [tag("li", line) for line in lines if line is not None]),
        id="found",
    )


def _counted(outcomes: list[int], outcome: int, name: str, more: str = "") -> Element | None:
    """Return the number of rows with an outcome, as a link to them; None if there are none."""
    n = outcomes.count(outcome)
    return tag("span", tag("a", f"{n:,} {name}", href=f"#trajectories?outcome={outcome}"), more) if n else None
