"""Runs the whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.config.loading import load_with_registry
from eef_framework.config.schema import RunConfig
from eef_framework.evaluation.run_results import RunResults
from eef_framework.interfaces import Tracker
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.method_checks import check_methods
from eef_framework.pipeline.preflight import preflight, task_digests
from eef_framework.pipeline.progress import display_on
from eef_framework.pipeline.sequence import phases_of
from eef_framework.pipeline.tracking import Tracking
from eef_framework.pipeline.variants import variants
from eef_framework.plugins import Registry, load_plugins
from eef_framework.runs import RunDirectory

if TYPE_CHECKING:
    from rich.console import Console


def run(
    config: RunConfig | Mapping[str, Any] | str | Path,
    registry: Registry | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
) -> RunResults:
    """Start a run, or resume it where it was interrupted. Works in scripts and notebooks.

    Args:
        config: a configuration, or anything that `load_config` accepts. Components may be objects instead of names:
            `RunConfig(environment=Mine(), ...)`. These are used unchanged, and aren't closed at the end.
        registry: registry for looking up components by name; by default the plugins that the configuration
            lists, or all that are installed.
        out: the run directory; by default `runs/METHOD`.
        console: where to show progress; without one, nothing is shown.

    Returns:
        The results; the numbers are also in `metrics.json`.

    Raises:
        ConfigError: the configuration is invalid; nothing was started.
        RunConflict: the directory belongs to another run, or is in use.
        StorageError: the disk is full, a file is corrupt.
        ComponentFailure: a component failed.
    """
    if not isinstance(config, RunConfig):
        config, registry = load_with_registry(config, registry=registry)
    registry = registry or load_plugins(config.plugins)
    methods = variants(config, registry)
    with RunContext(config, registry, display_on(console)) as context:
        check_methods(context, methods)
        trackers = context.trackers()
        context.preflight(trackers)
        directory = RunDirectory(Path(out).expanduser() if out is not None else Path("runs") / config.method)
        phases, report = phases_of(context, methods, directory.layout)
        report.notes = preflight(context, methods, phases)
        tasks = task_digests(context, methods)
        versions = context.code_in_use(methods)
        baselines = context.baselines(methods)
        report.notes += directory.prepare(context.resolved(), versions, tasks, context.leeway(), baselines)
        context.answers_folder = directory.layout.answers
        with directory.locked(), _tracking(trackers, directory) as context.tracking:
            for phase in (*phases, report):
                phase.run(context)
            context.tracking.finish([directory.layout.report, directory.layout.metrics])
    return RunResults(directory.path)


def _tracking(trackers: Sequence[Tracker], directory: RunDirectory) -> Tracking:
    return Tracking(trackers, directory.tracked_run(), directory.layout.tracked)
