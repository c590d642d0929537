"""Checks of trackers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

from eef_framework.errors import ConfigError, EefError
from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.plugins.import_path import import_class
from eef_framework.rollout.portable_components import portable
from eef_framework.rollout.threads import WorkerThread
from eef_framework.testing.conformance.processes import NOT_FOUND
from eef_framework.testing.conformance.violation import Check, Violation, require, rule_of, run_checks

TIME_LIMIT_S = 120.0
"""How long a check may take, in seconds: a run waits half as long for its trackers."""

NAMES = ("collect/success", "eef/explore/cost/usd", "rft+1 a.b=c-d/tune/2/loss", "naïve 猫/evaluate/reward")
"""Names that methods and phases may give to figures."""
MANY = 200
"""Number of figures after which any tracker that writes files has written some."""


@dataclass(frozen=True)
class TrackerContext:
    """What the checks of a tracker look at.

    Attributes:
        tracker: the tracker under test.
        folder: folder for run directories.
    """

    tracker: Tracker
    folder: Path

    def run(self, name: str = "check") -> TrackedRun:
        """Return a run with a folder and a report."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
        config = {"seed": 0, "environment": {"name": "corridor"}, "filters": [], "expert": None}
        return TrackedRun(id=f"id-of-{name}", name=name, group="checks", folder=folder, config=config)

    def written(self, name: str, steps: int) -> dict[str, bytes]:
        """Return the files that a run with a figure at each step leaves in its folder, by their path there."""
        run = self.run(name)
        self.tracker.start(run)
        for step in range(steps):
            self.tracker.log({NAMES[0]: 0.5 + step}, step)
        self.tracker.finish()
        files = (path for path in run.folder.rglob("*") if path.is_file() and path.name != "report.html")
        return {str(path.relative_to(run.folder)): path.read_bytes() for path in files}


def check_tracker(tracker: Tracker) -> None:
    """Check that a tracker keeps its contract: it takes whatever a run sends, and a run that is resumed.

    A tracker's own page or file shows whether the figures are right.

    Args:
        tracker: what to check. It is sent a few figures of runs named `check...`.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
        ConfigError: something that it needs isn't installed.
    """
    tracker.preflight()
    require(f"tracker {tracker.component_name()!r}", tracker_violations(tracker))


def tracker_violations(tracker: Tracker) -> list[Violation]:
    """Return in which ways a tracker doesn't keep its contract; see `check_tracker`."""
    with tempfile.TemporaryDirectory() as folder:
        return run_checks(_in_a_thread(CHECKS), TrackerContext(tracker, Path(folder)))


def _in_a_thread(checks: tuple[Check[TrackerContext], ...]) -> Iterator[Check[TrackerContext]]:
    """Yield checks that are made in one other thread, as in a run, until one takes too long."""
    thread = WorkerThread("eef-tracker")
    hangs = False

    def in_the_thread(check: Check[TrackerContext]) -> Check[TrackerContext]:
        @wraps(check)
        def checked(context: TrackerContext) -> Violation | None:
            nonlocal hangs
            try:
                return thread.begin(partial(check, context)).result(TIME_LIMIT_S)
            except TimeoutError:
                hangs = True
                return Violation(
                    rule_of(check),
                    "",
                    f"done within {TIME_LIMIT_S:g} s",
                    "a call that hasn't returned",
                    "Give connections a timeout, and raise when it has passed: the run continues either way.",
                )

        return checked

    for check in checks:
        if not hangs:
            yield in_the_thread(check)
    thread.end()


def any_figures_are_taken(context: TrackerContext) -> Violation | None:
    """Figures of any name and finite value are taken, at steps that ascend for each name only."""
    context.tracker.start(context.run())
    for step in (0, 1, 2, 1000):
        context.tracker.log(dict.fromkeys(NAMES[:2], step * 0.5), step)
    for step in (1, 2):
        context.tracker.log({NAMES[2]: -1e-30, NAMES[3]: 1e30}, step)
    context.tracker.log({}, 3)
    context.tracker.finish()
    return None


def files_are_taken(context: TrackerContext) -> Violation | None:
    """A file is taken more than once, and isn't changed."""
    run = context.run("check-files")
    report = run.folder / "report.html"
    before = report.read_bytes()
    context.tracker.start(run)
    context.tracker.add_file(report)
    context.tracker.add_file(report)
    context.tracker.finish()
    if report.is_file() and report.read_bytes() == before:
        return None
    return Violation(
        rule_of(files_are_taken),
        str(report),
        "the file as it was",
        "another file, or none",
        "Copy or send the file; it belongs to the run.",
    )


def a_run_is_continued(context: TrackerContext) -> Violation | None:
    """A run with the same id is continued, also one whose process was killed, and a step may come again."""
    run = context.run("check-resumed")
    context.tracker.start(run)
    context.tracker.log({NAMES[0]: 0.5}, 1)
    for _ in range(2):
        context.tracker.start(run)  # without finish(): the process was killed
        context.tracker.log({NAMES[0]: 0.5}, 1)
        context.tracker.log({NAMES[0]: 0.75}, 2)
        context.tracker.finish()
    return None


def the_last_figures_are_kept(context: TrackerContext) -> Violation | None:
    """finish() writes what was logged before it, down to the last figure.

    This can be seen only of trackers that write into the run's folder.
    """
    if not context.written("check-many", MANY):
        return None
    found = [context.written(f"check-{steps}", steps) for steps in (7, 8, 9)]  # any size of a buffer is seen
    for steps, one, other in ((8, found[0], found[1]), (9, found[1], found[2])):
        if one == other:
            return Violation(
                rule_of(the_last_figures_are_kept),
                f"step {steps} of {steps}",
                "its figures among the files in the run's folder",
                f"the same files as after {steps - 1} steps",
                "Write out buffers in finish().",
            )
    return None


def an_empty_run_is_taken(context: TrackerContext) -> Violation | None:
    """A run that ends before any figure is taken."""
    context.tracker.start(context.run("check-empty"))
    context.tracker.finish()
    return None


def a_process_can_end(context: TrackerContext) -> Violation | None:
    """A process ends although `finish` wasn't called, as after a tracker that failed."""
    try:
        settings = portable(context.tracker)
    except ConfigError:  # another process can't import it
        return None
    run = context.run("check-ended")
    path = os.pathsep.join(folder for folder in sys.path if folder)
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import _start; _start()"],
            input=json.dumps([settings, run.model_dump(mode="json")]),
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIME_LIMIT_S / 2,
            check=False,
        )
        actual = "" if done.returncode in (0, NOT_FOUND) else (done.stderr.strip().splitlines() or ["it failed"])[-1]
    except subprocess.TimeoutExpired:
        actual = f"it runs after {TIME_LIMIT_S / 2:g} s"
    if not actual:
        return None
    return Violation(
        rule_of(a_process_can_end),
        "another process",
        "it ends with exit code 0",
        actual,
        "Use daemon threads, and don't wait without a limit in functions that run at exit.",
    )


def _start() -> None:
    """Start the tracker that standard input names, and send it a figure."""
    settings, run = json.load(sys.stdin)
    try:
        kind = import_class(settings.pop("name"))
    except EefError:
        sys.exit(NOT_FOUND)
    tracker: Tracker = kind(**settings)
    tracker.start(TrackedRun.model_validate(run))
    tracker.log({NAMES[0]: 0.5}, 0)


CHECKS = (
    any_figures_are_taken,
    files_are_taken,
    a_run_is_continued,
    an_empty_run_is_taken,
    the_last_figures_are_kept,
    a_process_can_end,
)
