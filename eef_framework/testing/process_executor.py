"""An executor with worker processes on this machine: an example, and a test double for executors that lose workers."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from eef_framework.errors import WorkerLost
from eef_framework.interfaces import Environment, EpisodeSetup, EpisodeSpec, Executor, Expert, PlayEpisode
from eef_framework.plugins import Registry
from eef_framework.records import Task, Trajectory
from eef_framework.rollout import open_portable, portable

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


class ProcessExecutor(Executor):
    """Plays in worker processes."""

    name: ClassVar[str] = "processes"

    workers: int = 2
    """Number of processes."""

    @contextmanager
    def start(self, setup: EpisodeSetup) -> Iterator[PlayEpisode]:
        """Start the workers; each builds environment and policy."""
        pools = [self._pool(setup.portable())]
        slots = asyncio.Semaphore(setup.concurrency)

        async def play(episode: EpisodeSpec) -> Trajectory:
            async with slots:
                pool = pools[-1]
                try:
                    # Shielded: a pool that breaks while one of its calls is cancelled raises in its own thread.
                    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(pool, _play, episode))
                except BrokenProcessPool as cause:
                    if pool is pools[-1]:  # the first to notice replaces it
                        pools.append(self._pool(setup.portable()))
                    raise WorkerLost("a worker process ended") from cause

        try:
            yield play
        finally:
            for pool in pools:
                pool.shutdown(cancel_futures=True)

    async def demonstrate(
        self, expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Divide the tasks among the workers."""
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(self.workers, PROCESSES) as pool:
            calls = [
                loop.run_in_executor(pool, _demonstrate, portable(expert), portable(environment), [task], seed)
                for task in tasks
            ]
            for call in asyncio.as_completed(calls):
                try:
                    found = await call
                except BrokenProcessPool as cause:
                    raise WorkerLost("a worker process ended") from cause
                for each in found:
                    yield each

    def _pool(self, data: dict[str, Any]) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, PROCESSES, _start, (data,))


_worker: dict[str, Any] = {}


def _start(data: dict[str, Any]) -> None:
    _worker["stack"] = ExitStack()
    _worker["play"] = _worker["stack"].enter_context(open_portable(data))


def _play(episode: EpisodeSpec) -> Trajectory:
    play: PlayEpisode = _worker["play"]
    return asyncio.run(_played(play, episode))


async def _played(play: PlayEpisode, episode: EpisodeSpec) -> Trajectory:
    return await play(episode)


def _demonstrate(expert: Any, environment: Any, tasks: Sequence[Task], seed: int) -> list[Trajectory]:
    async def gather() -> list[Trajectory]:
        registry = Registry()
        with registry.build("expert", expert) as one, registry.build("environment", environment) as other:
            return [each async for each in one.demonstrate(other, tasks, seed)]

    return asyncio.run(gather())
