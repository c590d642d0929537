"""Where phases say how far they are: a line each on a terminal, plain lines in a log file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Update(Protocol):
    """Says how far a phase is."""

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        """Show that so much of so much is done."""


class Progress:
    """Shows nothing. Base of what shows something."""

    @contextmanager
    def phase(self, title: str) -> Iterator[Update]:
        """Show a phase while it runs.

        Yields:
            A function to call as `update(done, total, "detail")`.
        """

        def update(done: int, total: int, detail: str = "") -> None:
            pass

        yield update

    def skipped(self, title: str) -> None:
        """Say that a phase was complete already."""


class ConsoleProgress(Progress):
    """Live bars on a terminal; where there is none, one line when a phase begins and one when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def phase(self, title: str) -> Iterator[Update]:
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

            def update(done: int, total: int, detail: str = "") -> None:
                bars.update(bar, completed=done, total=total, detail=detail)

            yield update
            if bars.tasks[bar].total is None:  # a phase that doesn't count
                update(1, 1)

    def skipped(self, title: str) -> None:
        """Say so on a line."""
        self._console.print(f"{title:<26} [dim]done before[/dim]", highlight=False)


class Counter:
    """Counts episodes and successes for a phase's line.

    Args:
        update: the phase's update function.
        total: how many are expected.
        before: what came of those that were there already.
    """

    def __init__(self, update: Update, total: int, before: Iterable[bool] = ()) -> None:
        known = list(before)
        self._update, self.total, self.done, self.successes = update, total, len(known), sum(known)
        update(self.done, total, "")

    def add(self, success: bool) -> None:
        """Count one."""
        self.done += 1
        self.successes += success
        if self.done % 8 == 0 or self.done >= self.total:
            self._update(self.done, max(self.total, self.done), f"{self.successes} successes")
