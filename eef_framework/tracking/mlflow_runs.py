"""Figures for MLflow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.models.libraries import require_installed

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID = "eef.run_id"
"""Tag that identifies a run: MLflow chooses the ids of its runs itself."""
LONGEST_VALUE = 6000
"""Maximum length of a parameter that MLflow stores, in characters."""
MOST_AT_ONCE = 100
"""Maximum number of parameters that MLflow takes in one call."""
WORDS = {"+": "_plus_", "=": "_eq_"}
"""Characters in names of methods that MLflow refuses, and what they become."""


class MlflowTracker(Tracker):
    """Figures go to MLflow: a database in the current folder, which `mlflow ui` shows, or a server."""

    name: ClassVar[str] = "mlflow"

    tracking_uri: str | None = None
    """Server, or database such as `sqlite:////data/mlflow.db`; null for MLflow's own: the environment variable
    MLFLOW_TRACKING_URI, or else `mlflow.db` in the current folder."""
    experiment: str = "eef-framework"
    """Experiment of the run. It is created if it doesn't exist."""

    _client: MlflowClient | None = PrivateAttr(default=None)
    _run_id: str = PrivateAttr(default="")

    def preflight(self) -> None:
        """Check that MLflow is installed, and for a database what it needs for one.

        Raises:
            ConfigError: a library is missing.
        """
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
        for module in ("mlflow", *(("sqlalchemy", "alembic") if uri.startswith("sqlite") else ())):
            require_installed(module, "eef-framework[mlflow]", "the tracker mlflow")

    def start(self, run: TrackedRun) -> None:
        """Create the run, or find the one with this id; store its settings as parameters, and as a file."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = client = MlflowClient(self.tracking_uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment)
        known = client.search_runs([experiment], f"tags.`{RUN_ID}` = '{run.id}'", max_results=1)
        tags = {RUN_ID: run.id, "group": run.group}
        row = known[0] if known else client.create_run(experiment, run_name=run.name, tags=tags)
        self._run_id = row.info.run_id
        client.update_run(self._run_id, status="RUNNING", name=run.name)
        # Parameters can't be changed: those of the first start stay.
        new = [(key, value) for key, value in _flat(run.config) if key not in row.data.params]
        for at in range(0, len(new), MOST_AT_ONCE):
            client.log_batch(self._run_id, params=[Param(*each) for each in new[at : at + MOST_AT_ONCE]])
        client.log_dict(self._run_id, run.config, "config.yaml")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Store figures."""
        from mlflow.entities import Metric

        assert self._client is not None
        now = time.time_ns() // 1_000_000
        metrics = [Metric(mlflow_name(name), value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def add_file(self, path: Path) -> None:
        """Store a file as an artifact."""
        assert self._client is not None
        self._client.log_artifact(self._run_id, str(path))

    def finish(self) -> None:
        """Mark the run as finished."""
        if self._client is not None:
            self._client.set_terminated(self._run_id)
            self._client = None


def mlflow_name(name: str) -> str:
    """Return the name of a figure or setting in MLflow, which takes letters, digits, spaces and `_ - . : /`."""
    return re.sub(r"[^\w\-. :/]", lambda found: WORDS.get(found[0], "_"), name)


def _flat(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and value of each setting, such as `filters.0.name`."""
    if isinstance(settings, Mapping):
        parts: Iterator[tuple[Any, Any]] = iter(settings.items())
    elif isinstance(settings, list | tuple) and settings:
        parts = iter(enumerate(settings))
    else:
        yield mlflow_name(path), str(settings)[:LONGEST_VALUE]
        return
    for key, value in parts:
        yield from _flat(value, f"{path}.{key}" if path else str(key))
