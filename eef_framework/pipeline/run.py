"""A whole run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eef_framework.config.schema import RunConfig
from eef_framework.pipeline.context import RunContext
from eef_framework.pipeline.phases import Report
from eef_framework.pipeline.progress import ConsoleProgress
from eef_framework.pipeline.sequence import phases_of
from eef_framework.pipeline.variants import variants
from eef_framework.plugins import Registry
from eef_framework.records import RunMetrics
from eef_framework.runs import RunDirectory

if TYPE_CHECKING:
    from rich.console import Console


def run(config: RunConfig, registry: Registry, out: Path, console: Console | None = None) -> RunMetrics:
    """Do a run, or take it up where it was interrupted.

    Args:
        config: what to do. Components may be given in place of their names: `RunConfig(environment=Mine(), ...)`.
        registry: where components are found by name.
        out: the run directory.
        console: where to show progress; nothing is shown without one.

    Returns:
        The results, which are also in `metrics.json`.

    Raises:
        ConfigError: the configuration is wrong; nothing was started.
        RunConflict: the directory is the record of another run, or in use.
        StorageError: the disk is full, a file is corrupt.
        ComponentFailure: a component failed.
    """
    methods = variants(config, registry)
    with RunContext(config, registry, ConsoleProgress(console) if console else None) as context:
        for method in methods:  # whatever is misspelt anywhere is found before anything starts
            context.check(method)
        directory = RunDirectory(out)
        directory.prepare(context.resolved(), _plugin_versions(registry))
        with directory.locked():
            phases = phases_of(context, methods, directory.layout)
            context.tasks(config.collect.tasks)
            context.tasks(config.evaluate.tasks)
            for phase in phases:
                phase.run(context)
        report = phases[-1]
        assert isinstance(report, Report)
        return report.metrics


def _plugin_versions(registry: Registry) -> dict[str, str]:
    return {p.distribution: p.version for p in registry.plugins if p.distribution and not p.error}
