"""The executor `ray`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import Field, PrivateAttr

from eef_framework import portable
from eef_framework.interfaces import Environment, EpisodeSetup, Executor, Expert, PlayEpisode
from eef_framework.records import Task, Trajectory
from eef_ray.cluster import Cluster, import_ray
from eef_ray.pool import Phase, WorkerPool, demonstrations


class RayExecutor(Executor):
    """Plays on the workers of a Ray cluster. Each holds an environment and a policy; lost ones are replaced."""

    name: ClassVar[str] = "ray"

    address: str | None = None
    """`HOST:PORT` of the cluster's head; `auto` for the cluster on this machine; `local` to start one on this machine
    that ends with the run. null for the variable RAY_ADDRESS, or else `local`."""
    workers: int | None = Field(default=None, gt=0)
    """Number of workers; null for as many as fit on the cluster."""
    cpus: float = Field(default=1.0, ge=0)
    """Cores that each worker reserves. Models use so many threads."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs that each worker reserves, for policies in the worker. A part of one is possible."""
    start_timeout_s: float = Field(default=600.0, gt=0)
    """Time limit for starting a first worker, in seconds: placing it, building the environment, loading the policy."""

    _cluster: Cluster | None = PrivateAttr(default=None)
    _pool: WorkerPool | None = PrivateAttr(default=None)

    def preflight(self) -> None:
        """Check that Ray is installed.

        Raises:
            ConfigError: it isn't.
        """
        import_ray()

    @contextmanager
    def start(self, setup: EpisodeSetup) -> Iterator[PlayEpisode]:
        """Let the workers build environment and policy.

        Raises:
            ConfigError: a component can't be built there.
            ExecutorFailure: the cluster can't be reached, or has no place for a worker.
        """
        data = setup.portable()
        if data["checkpoint"]:
            data["checkpoint"]["path"] = str(Path(data["checkpoint"]["path"]).absolute())
        phase = Phase(self._workers(), data, setup.concurrency, self.start_timeout_s)
        try:
            phase.wait_for_first()
            yield phase
        finally:
            phase.close()

    def demonstrate(
        self, expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Divide the tasks among the workers."""
        return demonstrations(self._workers(), portable(expert), portable(environment), tasks, seed)

    def close(self) -> None:
        """End the workers and the connection, and a cluster that was started for them."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _workers(self) -> WorkerPool:
        if self._cluster is None:
            self._cluster = Cluster(self.address)
        if self._pool is None:
            self._pool = WorkerPool(self._cluster, {"CPU": self.cpus, "GPU": self.gpus}, self.workers)
        return self._pool
