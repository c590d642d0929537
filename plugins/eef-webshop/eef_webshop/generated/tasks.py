"""Tasks of a split, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload

from eef_framework.errors import ConfigError
from eef_framework.records import Task


class LazyTasks(Sequence[Task]):
    """A list of tasks of known length that is drawn from an iterator as far as it is read.

    Args:
        source: where tasks come from.
        length: how many there are to be.
        setting: the environment's setting for this, to name in errors.
    """

    def __init__(self, source: Iterator[Task], length: int, setting: str) -> None:
        self._source = source
        self._setting = setting
        self._length = length
        self._drawn: list[Task] = []

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        wanted = range(self._length)[index]
        if isinstance(wanted, int):
            self._draw(wanted + 1)
            return self._drawn[wanted]
        self._draw(max(wanted, default=-1) + 1)
        return [self._drawn[i] for i in wanted]

    def _draw(self, count: int) -> None:
        self._drawn.extend(islice(self._source, max(0, count - len(self._drawn))))
        if len(self._drawn) < count:
            raise ConfigError(
                f"the shop has only {len(self._drawn)} goals for the split {self._setting!r}, not {self._length}",
                f"Ask for fewer ({self._setting}), or for more products.",
                code="too-few-goals",
                split=self._setting,
                goals=len(self._drawn),
            )
