"""Converts a file from one format to another."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from eef_framework.errors import EefWarning, UnknownName, storage
from eef_framework.formats import episodes, training_examples
from eef_framework.formats.dialogue import Dialogue, MalformedRow, Turn
from eef_framework.formats.found_rows import BadRow
from eef_framework.formats.reading import (
    OWN,
    Ids,
    ReadRow,
    as_example,
    as_trajectory,
    nothing_read,
    read_any,
    reasons_told,
    warn_of_failures,
    warn_of_ids,
    warn_of_rows,
)
from eef_framework.formats.table import FORMATS
from eef_framework.formats.writing import check_new, write_container
from eef_framework.records import Example, Trajectory

LOSSES = {
    "weights": "loss weights that {format} can't express: other programs see 0 or 1, or none",
    "spans": "answers with loss on a part of their text, which {format} can't express",
    "pairs": "rejected conversations, which {format} can't express",
    "tools": "declared tools, which {format} has no place for",
    "joined": "messages joined with the one before, of the same role",
    "preamble": "messages before the first observation, which {format} has no place for",
}
"""What may be lost -> in words."""


class Converted(NamedTuple):
    """What a conversion did."""

    sources: Counter[str]
    """Number of rows read, by format."""
    written: int
    """Number of rows written."""
    bad: list[BadRow]
    """Rows that were left out."""
    lost: Counter[str]
    """What couldn't be kept, by the names in `LOSSES`, and in how many conversations."""
    failures: int
    """Examples made of episodes with a reward below 1."""


def convert(
    source: Path,
    out: Path,
    to: str,
    format: str | None = None,
    plain: bool = False,
    verify: Callable[[Trajectory], Trajectory] | None = None,
) -> Converted:
    """Convert a file or folder.

    Args:
        source: what to read.
        out: the new file or folder; its ending selects the container (`.jsonl`, `.json`, `.parquet`, `.eval`, none).
        to: the format to write: one of `FORMATS`, `trajectories` or `examples`.
        format: that of the source, instead of recognising it.
        plain: write only what the format itself has, without our record.
        verify: applied to every trajectory, if trajectories are written.

    Warns:
        EefWarning: rows were left out (`rows-left-out`), ids repeated (`duplicate-ids`), something can't be expressed
            (`not-kept`, with the number of conversations by kind), or failures become examples (`failures-included`).

    Raises:
        ConfigError: the output exists, or can't hold this format; a format has no such name.
        CorruptFile: no row can be converted (`no-rows`).
        StorageError: reading or writing failed.
    """
    if to not in OWN and to not in FORMATS:
        raise UnknownName.of("format", to, (*OWN, *FORMATS))
    with storage(source, "reading"):
        source.stat()  # a missing file is told before anything about the new one
    check_new(out, to)
    conversion = _Conversion(source, to, format, plain, verify)
    rows = conversion.rows()
    first = next(rows, None)
    if first is None:
        raise nothing_read(source, conversion.bad, format)
    written = write_container(out, _chained(first, rows), to)
    conversion.warn()
    return Converted(conversion.sources, written, conversion.bad, conversion.lost, conversion.failures)


class _Conversion:
    def __init__(
        self,
        source: Path,
        to: str,
        format: str | None,
        plain: bool,
        verify: Callable[[Trajectory], Trajectory] | None,
    ) -> None:
        self.source, self.to, self.format, self.plain = source, to, format, plain
        self.verify = verify or (lambda trajectory: trajectory)
        self.ids = Ids(source)
        self.bad: list[BadRow] = []
        self.sources: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.failures = self.kept = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows to write."""
        for row in read_any(self.source, self.bad.append, self.format):
            try:
                with reasons_told():
                    made = list(self._converted(row))
            except MalformedRow as cause:
                self.bad.append(BadRow(row.found.path, row.found.row, str(cause)))
                continue
            self.sources[row.format] += 1
            self.kept += 1
            yield from made

    def _converted(self, row: ReadRow) -> Iterator[dict[str, Any]]:
        dialogue = self._dialogue(row)
        self.lost["joined"] += dialogue.joined > 0
        if self.to == "trajectories":
            trajectory = self.verify(as_trajectory(row, self.ids))
            self._count_losses(dialogue, "any", pairs=False)
            yield trajectory.model_dump(mode="json")
        elif self.to == "examples":
            example = as_example(row, self.ids)
            self.failures += dialogue.reward is not None and dialogue.reward < 1
            yield example.model_dump(mode="json")
        else:
            format = FORMATS[self.to]
            self._count_losses(dialogue, format.weights, format.pairs)
            dialogue = self._identified(dialogue)
            yield from format.write(dialogue)

    def _dialogue(self, row: ReadRow) -> Dialogue:
        record = not self.plain
        if isinstance(row.content, Trajectory):
            if not row.content.steps:
                raise MalformedRow("the trajectory has no steps")
            return episodes.dialogue_of(row.content, record)
        if isinstance(row.content, Example):
            return training_examples.dialogue_of(row.content, record)
        assert isinstance(row.content, Dialogue)
        return row.content

    def _identified(self, dialogue: Dialogue) -> Dialogue:
        id_ = self.ids.unique(dialogue.id)
        return replace(dialogue, id=id_, task=dialogue.task or id_, record={} if self.plain else dialogue.record)

    def _count_losses(self, dialogue: Dialogue, weights: str, pairs: bool) -> None:
        answers = [turn for turn in (*dialogue.turns, *dialogue.rejected) if turn.role == "assistant"]
        self.lost["spans"] += any(turn.unweighted_prefix_chars or turn.unweighted_suffix_chars for turn in answers)
        self.lost["weights"] += _loses_weights(answers, weights)
        self.lost["pairs"] += bool(dialogue.rejected) and not pairs
        self.lost["tools"] += bool(dialogue.fields.get("tools")) and self.to in ("react", "inspect", "verifiers")
        self.lost["preamble"] += self.to == "react" and any(t.preamble or t.role == "system" for t in dialogue.turns)

    def warn(self) -> None:
        """Warn about what was left out and lost."""
        warn_of_rows(self.source, self.kept, self.bad)
        if self.ids.repeated:
            warn_of_ids(self.source, self.ids.repeated)
        if self.failures:
            warn_of_failures(self.source, self.failures, self.kept)
        self.lost = +self.lost
        if self.lost:
            parts = "; ".join(
                f"{count} with {LOSSES[what].format(format=self.to)}" for what, count in self.lost.items()
            )
            message = f"{self.source}: not everything could be kept: of {self.kept} conversations {parts}"
            warnings.warn(
                EefWarning(message, code="not-kept", path=str(self.source), format=self.to, lost=dict(self.lost)),
                stacklevel=3,
            )


def _loses_weights(answers: list[Turn], held: str) -> bool:
    """Return whether a format that holds `any` weights, `on-off` ones or none can't express those of answers."""
    weights = {1.0 if turn.weight is None else turn.weight for turn in answers}
    if held == "any":
        return False
    return not weights <= {0.0, 1.0} if held == "on-off" else weights != {1.0}


def _chained(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest
