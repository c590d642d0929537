"""Progress of phases: one bar each on a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eef_framework.evaluation.formatting import plural
from eef_framework.interfaces import ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console


class ProgressDisplay:
    """Shows nothing. Base class of progress displays."""

    @contextmanager
    def phase(self, title: str) -> Iterator[ProgressCallback]:
        """Show a phase while it runs.

        Yields:
            A function to call as `progress(done, total, "detail")`.
        """

        def update(done: int, total: int, detail: str) -> None:
            pass

        yield update

    def skipped(self, title: str) -> None:
        """Show that a phase was already complete."""


def display_on(console: Console | None) -> ProgressDisplay:
    """Return the progress display for a console: bars on a terminal or in a notebook, lines elsewhere."""
    if console is None:
        return ProgressDisplay()
    return BarDisplay(console) if console.is_terminal or console.is_jupyter else LineDisplay(console)


class BarDisplay(ProgressDisplay):
    """Live bars, one for each phase."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def phase(self, title: str) -> Iterator[ProgressCallback]:
        """Show a bar with count, time left and the latest detail."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars
        from rich.table import Column

        columns = [
            TextColumn("{task.description:<26}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[detail]}", style="dim", table_column=Column(no_wrap=True)),
        ]
        with Bars(*columns, console=self._console) as bars:
            bar = bars.add_task(title, total=None, detail="")

            def update(done: int, total: int, detail: str) -> None:
                bars.update(bar, completed=done, total=total, detail=detail)

            yield update
            if bars.tasks[bar].total is None:  # a phase without a count
                update(1, 1, "")

    def skipped(self, title: str) -> None:
        """Show it on a line."""
        self._console.print(f"{title:<26} [dim]done before[/dim]", highlight=False)


class LineDisplay(ProgressDisplay):
    """Lines for a log: one when a phase begins, one when it ends, and one every half minute in between.

    Args:
        console: where to write.
        every_s: time between two lines of a phase, in seconds.
        clock: returns the time.
    """

    def __init__(self, console: Console, every_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._every_s, self._clock = console, every_s, clock

    @contextmanager
    def phase(self, title: str) -> Iterator[ProgressCallback]:
        """Write lines while the phase runs."""
        began = last = self._clock()
        state = ""
        self._say(f"{title}: begins")

        def update(done: int, total: int, detail: str) -> None:
            nonlocal last, state
            state = ", ".join(filter(None, (f"{done}/{total}", detail)))
            if self._clock() - last >= self._every_s:
                last = self._clock()
                self._say(f"{title}: {state} after {self._clock() - began:.0f} s")

        yield update
        self._say(f"{title}: {f'{state}, ' if state else ''}done in {self._clock() - began:.1f} s")

    def skipped(self, title: str) -> None:
        """Show it on a line."""
        self._say(f"{title}: done before")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class Counter:
    """Counts episodes and successes for a phase's line.

    Args:
        progress: the phase's progress function.
        total: how many are expected.
        before: outcomes of the episodes that already exist.
    """

    def __init__(self, progress: ProgressCallback, total: int, before: Iterable[bool] = ()) -> None:
        known = list(before)
        self._progress, self.total, self.done, self.successes = progress, total, len(known), sum(known)
        progress(self.done, total, "")

    def add(self, success: bool) -> None:
        """Count one episode."""
        self.done += 1
        self.successes += success
        if self.done % 8 == 0 or self.done >= self.total:
            self._progress(self.done, max(self.total, self.done), plural(self.successes, "success"))
