"""Progress of phases: one bar each on a terminal, plain lines in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eef_framework.evaluation.formatting import count, plural
from eef_framework.interfaces import ProgressCallback
from eef_framework.pipeline.costs import cost_of
from eef_framework.records import SuccessRule, Trajectory

if TYPE_CHECKING:
    from rich.console import Console


REFRESH_S = 0.2
"""How often a phase's line changes, in seconds."""


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
    """Counts episodes for a phase's line: how many succeeded, how many were lost, and how fast they are played.

    Args:
        progress: the phase's progress function.
        total: how many are expected; may be an upper bound.
        rule: when an episode is a success.
        before: the episodes that already exist.
        clock: returns the time, in seconds.
    """

    def __init__(
        self,
        progress: ProgressCallback,
        total: int,
        rule: SuccessRule,
        before: Iterable[Trajectory] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        known = [rule.holds(episode) for episode in before if not episode.lost]
        self._progress, self._total, self._rule, self._clock = progress, total, rule, clock
        self._began = self._shown = clock()
        self._done, self._successes = len(known), sum(known)
        self._played = self._lost = self._tokens = 0  # in this process
        progress(self._done, total, "")

    def add(self, episode: Trajectory) -> None:
        """Count one episode that was played."""
        lost = episode.lost
        self._done += not lost
        self._successes += not lost and self._rule.holds(episode)
        self._played += 1
        self._lost += lost
        self._tokens += cost_of([episode]).computed_tokens
        now = self._clock()
        if now - self._shown >= REFRESH_S or self._done >= self._total:
            self._shown = now
            self._progress(self._done, max(self._total, self._done), self._detail(now - self._began))

    def finish(self, episodes: Sequence[Trajectory]) -> None:
        """Show the phase's final numbers. The total may have been an upper bound, and not every episode was shown.

        Args:
            episodes: all of the phase; lost ones are not counted as done.
        """
        known = [self._rule.holds(episode) for episode in episodes if not episode.lost]
        self._done, self._successes = len(known), sum(known)
        self._progress(self._done, len(episodes), self._detail(self._clock() - self._began))

    def _detail(self, seconds: float) -> str:
        parts = [plural(self._successes, "success")]
        if self._lost:
            parts.append(f"{self._lost} lost")
        if seconds > 0 and self._played:
            parts.append(f"{self._played / seconds:.3g} episodes/s")
            if self._tokens:
                parts.append(f"{count(round(self._tokens / seconds))} tokens/s")
        return ", ".join(parts)
