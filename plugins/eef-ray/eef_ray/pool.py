"""Workers on a cluster, and the phases that play on them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any
from uuid import uuid4

from eef_framework.errors import ExecutorFailure, WorkerLost
from eef_framework.interfaces import EpisodeSpec
from eef_framework.records import Response, State, Task, Trajectory
from eef_ray.cluster import Cluster
from eef_ray.worker import Reply, Worker, framework_version

DEATHS = 5
"""How often each worker may end, on average, without any result in between, before the run stops."""

CLOSING_S = 30.0
"""How long workers may take to release what they hold, in seconds, before they are killed."""


class WorkerPool:
    """Workers on a cluster, each of which is a Ray actor. One that ends is replaced.

    Args:
        cluster: the cluster.
        resources: name -> amount that each worker reserves, such as `CPU`.
        count: number of workers; None for as many as fit on the cluster.

    Attributes:
        actors: the current workers.
        answered: which of them have answered. The others may be waiting for a node with room.

    Raises:
        ExecutorFailure: no node of the cluster has these resources (`no-resources`).
    """

    def __init__(self, cluster: Cluster, resources: dict[str, float], count: int | None) -> None:
        self.ray = cluster.ray
        self.resources = resources
        if not (places := cluster.places(resources)):
            raise ExecutorFailure(
                f"executor 'ray' needs {resources} for a worker, and no node of the cluster has that",
                "Lower `cpus` and `gpus`, or add a node.",
                code="no-resources",
                **resources,
            )
        self.actors = [self._start() for _ in range(count or places)]
        self.answered = [False for _ in self.actors]

    def replace(self, index: int, actor: Any) -> None:
        """Start another worker in place of one that ended, unless that has been done."""
        if self.actors[index] is actor:
            self._kill(actor)  # it may still run where it can't be reached
            self.actors[index] = self._start()
            self.answered[index] = False

    def ask(self, calls: Iterable[Any]) -> None:
        """Wait for calls to workers, and ignore those that fail or take long."""
        if calls := list(calls):
            with suppress(self.ray.exceptions.RayError):
                self.ray.wait(calls, num_returns=len(calls), timeout=CLOSING_S)

    def close(self) -> None:
        """End the workers."""
        self.ask(actor.close.remote() for actor, ready in zip(self.actors, self.answered, strict=True) if ready)
        for actor in self.actors:
            self._kill(actor)
        self.actors = []

    def _start(self) -> Any:
        actor = self.ray.remote(Worker).options(
            num_cpus=self.resources["CPU"],
            num_gpus=self.resources["GPU"],
            scheduling_strategy="SPREAD",
            max_restarts=0,  # replaced here, so that lost episodes are counted
            max_task_retries=0,
            max_concurrency=10_000,  # bounded by the phase
        )
        return actor.remote(os.getcwd(), sys.path)

    def _kill(self, actor: Any) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(actor)


@dataclass
class Seat:
    """A worker in a phase.

    Attributes:
        index: its place in the pool.
        actor: the worker.
        opened: the call that builds environment and policy; its result is a finished future.
        ready: whether it can play.
        load: number of calls under way.
    """

    index: int
    actor: Any
    opened: Future[Any]
    ready: bool = False
    load: int = 0


class Phase:
    """Plays the episodes of a phase on workers; see `PlayEpisode` and `ScoreActions`.

    Calls go to the worker that has played for the same task, if it isn't much busier than others: it may have the
    beginning of the conversation in its cache.

    Args:
        pool: the workers.
        data: the result of `EpisodeSetup.portable()`.
        concurrency: maximum number of calls under way. Workers get equal shares.
        timeout_s: how long to wait for a first worker, in seconds.
    """

    def __init__(self, pool: WorkerPool, data: Mapping[str, Any], concurrency: int, timeout_s: float) -> None:
        self._pool = pool
        self._share = ceil(concurrency / len(pool.actors))
        self._data = {**data, "concurrency": self._share}
        self._id = uuid4().hex
        self._timeout_s = timeout_s
        self._deaths = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._last: dict[str, int] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._seats = [self._open(index) for index in range(len(pool.actors))]

    async def __call__(self, episode: EpisodeSpec) -> Trajectory:
        """Play an episode.

        Raises:
            WorkerLost: its worker ended, and is being replaced.
            EefError: what was raised in the worker.
        """
        found: Trajectory = await self._call("play", episode.task.id, episode)
        return found

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers that take actions in a state; see `ScoreActions`."""
        found: Sequence[Response] = await self._call("score", state.task.id, state, actions, thought)
        return found

    def wait_for_first(self) -> None:
        """Wait until a worker can play.

        Raises:
            EefError: what was raised in a worker.
        """
        while not self._ready():
            if not wait([seat.opened for seat in self._seats], self._timeout_s, FIRST_COMPLETED).done:
                raise self._none_ready()

    def close(self) -> None:
        """Release what workers hold for this phase."""
        current = [seat.actor for seat in self._seats if seat.ready and self._pool.actors[seat.index] is seat.actor]
        self._pool.ask(actor.release.remote(self._id) for actor in current)

    async def _call(self, method: str, task: str, *arguments: Any) -> Any:
        errors = self._pool.ray.exceptions
        async with self._slots:
            seat = await self._free(task)
            seat.load += 1
            try:
                call = getattr(seat.actor, method).remote(self._id, *arguments)
                reply: Reply = await call
            except asyncio.CancelledError:
                self._pool.ray.cancel(call)
                raise
            except errors.RayTaskError:
                raise
            except errors.RayError as cause:
                self._lost(seat)
                raise WorkerLost(f"a worker ended: {type(cause).__name__}") from cause
            finally:
                seat.load -= 1
                self._wake_up()
            self._deaths = 0
            return reply.unpack()

    async def _free(self, task: str) -> Seat:
        """Wait for a worker with a free slot."""
        while True:
            ready = self._ready()
            if free := [seat for seat in ready if seat.load < self._share]:
                seat = min(free, key=lambda seat: seat.load)
                before = next((each for each in free if each.index == self._last.get(task)), seat)
                seat = before if before.load <= 2 * seat.load + 1 else seat
                self._last[task] = seat.index
                return seat
            if not await self._change() and not ready:
                raise self._none_ready()

    def _ready(self) -> list[Seat]:
        """Return the workers that can play. Those that ended are replaced."""
        ready = []
        for index, seat in enumerate(self._seats):
            if seat.actor is not self._pool.actors[index]:  # replaced for another phase
                self._seats[index] = self._open(index)
            elif seat.opened.done() and not seat.ready:
                self._finish_opening(seat)
            if seat.ready:
                ready.append(seat)
        return ready

    def _finish_opening(self, seat: Seat) -> None:
        try:
            reply: Reply = seat.opened.result().result()
            self._pool.answered[seat.index] = True
            reply.unpack()
            seat.ready = True
        except self._pool.ray.exceptions.RayError:
            self._lost(seat)

    def _lost(self, seat: Seat) -> None:
        if self._seats[seat.index] is not seat:
            return  # another call has noticed before
        self._deaths += 1
        if self._deaths > DEATHS * len(self._seats):
            raise ExecutorFailure(
                f"executor 'ray': {self._deaths} workers ended one after another, without a result in between",
                "See the workers' logs, for example for lack of memory. Run the command again to continue.",
                code="workers-lost",
                workers=self._deaths,
            )
        self._pool.replace(seat.index, seat.actor)
        self._seats[seat.index] = self._open(seat.index)

    def _open(self, index: int) -> Seat:
        actor = self._pool.actors[index]
        opened: Future[Any] = Future()
        call = actor.open.remote(self._id, self._data, framework_version()).future()
        call.add_done_callback(opened.set_result)  # never fails, so that it can be waited for in several places
        return Seat(index, actor, opened)

    async def _change(self) -> bool:
        """Wait until a call ends, or a worker can play; False if that takes too long."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        opening = [asyncio.wrap_future(seat.opened) for seat in self._seats if not seat.opened.done()]
        done, _ = await asyncio.wait([change, *opening], timeout=self._timeout_s, return_when=FIRST_COMPLETED)
        return bool(done)

    def _wake_up(self) -> None:
        for change in self._waiting:
            if not change.done():
                change.set_result(None)
        self._waiting = []

    def _none_ready(self) -> ExecutorFailure:
        return ExecutorFailure(
            f"executor 'ray' has waited {self._timeout_s:g} s for a worker with {self._pool.resources}",
            "`ray status` shows the cluster's free resources. `start_timeout_s` is the time limit.",
            code="no-workers",
            timeout_s=self._timeout_s,
        )


async def demonstrations(
    pool: WorkerPool, expert: Mapping[str, Any], environment: Mapping[str, Any], tasks: Sequence[Task], seed: int
) -> AsyncIterator[Trajectory]:
    """Divide tasks among the workers, and yield demonstrations as they end.

    Raises:
        WorkerLost: workers ended, and are replaced. What the other workers were asked for has been yielded.
        EefError: what was raised in a worker.
    """
    replies: asyncio.Queue[Reply | BaseException | None] = asyncio.Queue()
    errors = pool.ray.exceptions

    async def listen(index: int, share: Sequence[Task]) -> None:
        actor = pool.actors[index]
        stream = actor.demonstrate.options(num_returns="streaming").remote(expert, environment, share, seed)
        try:
            async for reply in stream:
                pool.answered[index] = True
                replies.put_nowait(await reply)
            replies.put_nowait(None)
        except asyncio.CancelledError:
            pool.ray.cancel(stream)
            raise
        except errors.RayTaskError as cause:
            replies.put_nowait(cause)
        except errors.RayError as cause:
            pool.replace(index, actor)
            replies.put_nowait(WorkerLost(f"a worker ended: {type(cause).__name__}"))

    shares = [tasks[index :: len(pool.actors)] for index in range(len(pool.actors))]
    listening = [asyncio.ensure_future(listen(index, share)) for index, share in enumerate(shares) if share]
    lost: WorkerLost | None = None
    try:
        for _ in listening:
            while reply := await replies.get():
                if isinstance(reply, WorkerLost):
                    lost = reply
                    break
                if isinstance(reply, BaseException):
                    raise reply
                yield reply.unpack()
        if lost:
            raise lost
    finally:
        for each in listening:
            each.cancel()
