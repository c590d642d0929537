"""Sends the figures of a run to its trackers. A tracker that fails or hangs never stops the run."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any, Self

from eef_framework.errors import EefWarning, StorageError, author_line
from eef_framework.interfaces import ProgressCallback, TrackedRun, Tracker
from eef_framework.records import Cost, fingerprint
from eef_framework.rollout.threads import WorkerThread
from eef_framework.runs import StageKey, write_json
from eef_framework.validation_messages import reason

EVERY_S = 2.0
"""How often the log of a training is read while it is written, in seconds."""

PATIENCE_S = 60.0
"""How long the end of a run waits for trackers, in seconds."""

PATIENCE_AFTER_FAILURE_S = 5.0
"""How long a run that failed or was interrupted waits for trackers, in seconds."""

FINISHED = "/"
"""In place of a stage's name: the tracker's `finish` was called."""

Figures = Mapping[str, Any]


class Tracking:
    """The trackers of a run. Each is called in its own thread.

    What was sent is recorded in the run directory. When a run is resumed, figures that a tracker doesn't have yet are
    sent, also those of phases that were complete before.

    Args:
        trackers: the trackers.
        run: the run.
        journal: file that records what was sent; None for a single phase, which sends its figures each time it is run.
    """

    def __init__(
        self, trackers: Sequence[Tracker] = (), run: TrackedRun | None = None, journal: Path | None = None
    ) -> None:
        self._logs: dict[str, TrainingLog] = {}
        self._journal = journal
        self._known = _read_journal(journal) if journal else {}
        self._connections = [_Connection(tracker, run, self._known) for tracker in trackers if run]

    def watching(self, progress: ProgressCallback, stage: str, log: Path | None) -> ProgressCallback:
        """Return a progress function that also sends the rows of a training's log while they are written.

        Args:
            progress: the phase's own.
            stage: name of the stage; for a single phase, that of the phase.
            log: the training's log; None for phases that don't train.
        """
        if log is None or not self._connections:
            return progress
        rows = self._logs[stage] = TrainingLog(log)
        read = time.monotonic()

        def report(done: int, total: int, detail: str) -> None:
            nonlocal read
            progress(done, total, detail)
            if time.monotonic() - read >= EVERY_S:
                read = time.monotonic()
                self._send_log(stage, rows)

        return report

    def completed(self, stage: str, cost: Cost, figures: Figures, log: Path | None) -> None:
        """Send the figures of a complete stage to the trackers that don't have them.

        Args:
            stage: name of the stage; for a single phase, that of the phase.
            cost: its cost.
            figures: its results.
            log: the log of its training; None if it doesn't train.
        """
        if not self._connections:
            return
        if log is not None:
            self._send_log(stage, self._logs.get(stage) or TrainingLog(log))
        prefix, step = _series(stage)
        found = {f"cost/{name}": value for name, value in cost.model_dump().items() if value} | dict(figures)
        self._log(stage, {f"{prefix}/{name}": value for name, value in found.items()}, step)
        for connection in self._connections:
            connection.mark(stage)
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """End the run in the trackers."""
        self.finish((), PATIENCE_AFTER_FAILURE_S if kind else None)

    def finish(self, files: Sequence[Path], patience_s: float | None = None) -> None:
        """Send files of the run, end it, and wait until everything was sent. Further calls have no effect.

        Args:
            files: the files to send.
            patience_s: how long to wait, in seconds; by default a minute.

        Warns:
            EefWarning: a tracker failed (`tracker-failed`), or didn't end in time (`tracker-unfinished`).
        """
        patience_s = PATIENCE_S if patience_s is None else patience_s
        for connection in self._connections:
            for path in files:
                connection.call(partial(connection.tracker.add_file, path))
            connection.finish()
        until = time.monotonic() + patience_s
        for connection in self._connections:
            connection.wait(max(0.0, until - time.monotonic()))
        self._check()
        for connection in self._connections:
            connection.end(patience_s)
        self._connections = []

    def _send_log(self, stage: str, rows: TrainingLog) -> None:
        prefix, iteration = _series(stage)
        prefix = f"{prefix}/{iteration}" if iteration else prefix
        for step, figures in rows.new():
            self._log(stage, {f"{prefix}/{name}": value for name, value in figures.items()}, step)
        self._check()

    def _log(self, stage: str, figures: Mapping[str, Any], step: int) -> None:
        finite = {name: float(value) for name, value in figures.items() if _is_finite(value)}
        for connection in self._connections:
            if finite and stage not in connection.sent:
                connection.call(partial(connection.tracker.log, finite, step))

    def _check(self) -> None:
        """Look for failures, and record what was sent."""
        before = [set(connection.sent) for connection in self._connections]
        for connection in self._connections:
            connection.check()
        if self._journal and before != [connection.sent for connection in self._connections]:
            self._known |= {connection.key: sorted(connection.sent) for connection in self._connections}
            try:
                write_json(self._journal, self._known)
            except StorageError as cause:
                message = f"it wasn't recorded which figures were sent; they may be sent again: {cause.message}"
                warnings.warn(EefWarning(message, code="tracking-not-recorded", path=str(self._journal)), stacklevel=3)


class TrainingLog:
    """The log of a training, which another process may be writing: JSON lines with the key `step`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> Iterator[tuple[int, Figures]]:
        """Yield step and numbers of each complete line that wasn't yielded before."""
        try:
            file = self._path.open("rb")
        except OSError:  # not written yet
            return
        with file:
            if file.seek(0, 2) < self._read:  # it was written again
                self._read = 0
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict) and isinstance(row.get("step"), int):
                    yield row["step"], {name: value for name, value in row.items() if name != "step"}


class _Connection:
    """One tracker, and the stages that it has.

    Attributes:
        tracker: the tracker.
        key: identifies it in the journal: its name, and a digest of its settings.
        sent: names of the stages whose figures it has.
    """

    def __init__(self, tracker: Tracker, run: TrackedRun, known: Mapping[str, Sequence[str]]) -> None:
        settings = json.dumps(tracker.settings(), sort_keys=True, default=str)
        self.tracker = tracker
        self.key = f"{tracker.component_name()}-{fingerprint(settings)[:8]}"
        self.sent = set(known.get(self.key, ()))
        self._thread = WorkerThread("eef-tracker")
        self._calls: deque[tuple[Future[None], str]] = deque()
        self._stored: set[str] = set()  # these it has, but for a kill before its finish()
        self._failed = False  # set by the thread
        self._complete = True  # whether all calls that were looked at succeeded
        self.call(partial(tracker.start, run))

    def call(self, function: Callable[[], None], stage: str = "") -> None:
        """Call a method in the thread; after it, the tracker has the figures of the stage, if one is named."""
        if not self._failed:
            self._calls.append((self._thread.begin(partial(self._guarded, function)), stage))

    def mark(self, stage: str) -> None:
        """Note that all figures of a stage were handed over."""
        if stage not in self.sent:
            self.call(lambda: None, stage)

    def finish(self) -> None:
        """End the run in the tracker."""
        self.call(self.tracker.finish, FINISHED)

    def check(self) -> None:
        """Note what was sent, and warn if a call failed."""
        while self._calls and self._calls[0][0].done():
            future, stage = self._calls.popleft()
            if error := future.exception():
                self._complete = False
                self._warn_of(error)
            elif self._complete:
                self._stored |= {stage} - {"", FINISHED}
                if stage == FINISHED or not self.tracker.stores_at_finish:
                    self.sent |= self._stored

    def wait(self, seconds: float) -> None:
        """Wait until all calls are done, but not longer than this."""
        wait([future for future, _ in self._calls], seconds)

    def end(self, patience_s: float) -> None:
        """End the thread, and warn if it isn't done."""
        self._thread.end()
        if self._calls:
            name = self.tracker.component_name()
            warnings.warn(
                EefWarning(
                    f"tracker {name!r} had {len(self._calls)} calls left after {patience_s:g} s: figures may be "
                    "missing. Running the command again sends them.",
                    code="tracker-unfinished",
                    tracker=name,
                    calls=len(self._calls),
                ),
                stacklevel=4,
            )

    def _guarded(self, function: Callable[[], None]) -> None:
        if self._failed:  # while this call waited for its turn
            return
        try:
            function()
        except BaseException:
            self._failed = True
            raise

    def _warn_of(self, error: BaseException) -> None:
        name, where = self.tracker.component_name(), author_line(error)
        warnings.warn(
            EefWarning(
                f"tracker {name!r} failed and gets no further figures: {reason(error)}"
                f"{f' ({where})' if where else ''}. The run continues. Running the command "
                "again sends what is missing.",
                code="tracker-failed",
                tracker=name,
                where=where,
            ),
            stacklevel=5,
        )


def _series(stage: str) -> tuple[str, int]:
    """Return the path of a stage's figures, and its place on their x axis."""
    key = StageKey.of_path(stage)
    return (f"{key.method}/{key.phase}", key.iteration) if key is not None and key.method else (stage, 0)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_journal(path: Path) -> dict[str, list[str]]:
    """Return the stages that each tracker has; none if the file can't be parsed, so that everything is sent again."""
    try:
        found = json.loads(path.read_bytes())
        return {str(key): [str(stage) for stage in stages] for key, stages in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
