"""The tasks of a split, created on access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload

from eef_framework.errors import ConfigError
from eef_framework.records import Task


class LazyTasks(Sequence[Task]):
    """A sequence of tasks of known length, taken from an iterator on access.

    Args:
        source: the iterator.
        length: number of tasks.
        setting: the environment's setting for this number, for error messages.
    """

    def __init__(self, source: Iterator[Task], length: int, setting: str) -> None:
        self._source = source
        self._setting = setting
        self._length = length
        self._created: list[Task] = []

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | Sequence[Task]:
        wanted = range(self._length)[index]
        if isinstance(wanted, int):
            self._create(wanted + 1)
            return self._created[wanted]
        self._create(max(wanted, default=-1) + 1)
        return [self._created[i] for i in wanted]

    def _create(self, count: int) -> None:
        self._created.extend(islice(self._source, max(0, count - len(self._created))))
        if len(self._created) < count:
            raise ConfigError(
                f"the shop has only {len(self._created)} goals for the split {self._setting!r}, not {self._length}",
                f"Ask for fewer ({self._setting}), or for more products.",
                code="too-few-goals",
                split=self._setting,
                goals=len(self._created),
            )
