"""The sessions of a server: opened, stepped, forked, restored, and closed when their client is gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from eef_framework.errors import EefError, EnvironmentFailure, boundary
from eef_framework.interfaces import Environment, Session, replay
from eef_framework.records import Step, Task, fingerprint

T = TypeVar("T")


class Refusal(EefError):
    """A request that can't be fulfilled.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: HTTPStatus, code: str, message: str, fix: str = "") -> None:
        super().__init__(message, fix, code=code)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """Limits of a server.

    Attributes:
        sessions: maximum number of sessions at a time.
        per_client: maximum number of sessions of one client; None for no other limit.
        idle_s: a session that gets no request for so long is closed.
        step_s: maximum time for opening, a step, a fork.
        body: maximum size of a request, in bytes.
    """

    sessions: int = 1000
    per_client: int | None = None
    idle_s: float = 600.0
    step_s: float = 120.0
    body: int = 4_000_000


@dataclass
class Entry:
    """An open session.

    Attributes:
        session: the session.
        client: the client that opened it; no other can use it.
        used: when its last request ended, on the monotonic clock.
        busy: whether a request is under way.
    """

    session: Session
    client: str
    used: float = field(default_factory=time.monotonic)
    busy: bool = False


class Sessions:
    """All sessions of a server. To be used from one event loop.

    Args:
        environment: the world.
        limits: the limits.
    """

    def __init__(self, environment: Environment, limits: Limits) -> None:
        self.environment = environment
        self.limits = limits
        own = environment.max_sessions
        self.maximum = limits.sessions if own is None else min(own, limits.sessions)
        self._entries: dict[str, Entry] = {}
        self._opening: Counter[str] = Counter()  # client -> number of its sessions that are being opened
        self._tasks: dict[str, dict[str, Task]] = {}
        self._threads = ThreadPoolExecutor(min(32, self.maximum), "eef-serve") if environment.blocking else None

    def __len__(self) -> int:
        return len(self._entries) + self._opening.total()

    async def tasks(self, split: str) -> dict[str, Task]:
        """Return the tasks of a split by id, in their order.

        Raises:
            ConfigError: the split doesn't exist.
        """
        if split not in self._tasks:
            found = await self._call(lambda: self.environment.tasks(split))
            self._tasks[split] = {task.id: task for task in found}
        return self._tasks[split]

    async def open(self, client: str, split: str, task: str, actions: list[str]) -> tuple[str, Session]:
        """Open a session, and carry out actions. Returns its id and the session.

        Raises:
            Refusal: there is no such task, or no room for another session; the episode ends before the last action.
        """
        known = (await self.tasks(split)).get(task)
        if known is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "unknown-task", f"the split {split!r} has no task {task!r}")

        def restored() -> Session:
            session = replay(self.environment, known, None, ())
            try:
                for index, action in enumerate(actions):
                    if session.done:
                        message = f"the episode of task {task!r} ends after {index} of {len(actions)} actions"
                        raise Refusal(HTTPStatus.CONFLICT, "episode-over", message)
                    session.step(action)
            except BaseException:
                session.close()
                raise
            return session

        return await self._add(client, restored)

    def get(self, client: str, id: str) -> Session:
        """Return a session.

        Raises:
            Refusal: there is no such session, or it is busy.
        """
        return self._entry(client, id).session

    async def step(self, client: str, id: str, at: int, action: str) -> tuple[Step, Session]:
        """Carry out an action, or return its result if it was carried out by an earlier request.

        Raises:
            Refusal: there is no such session, it is busy or over, or it is in another state.
        """
        entry = self._entry(client, id)
        steps = entry.session.steps
        if at == len(steps) - 1 and steps[at].action == action:
            entry.used = time.monotonic()
            return steps[at], entry.session
        if at != len(steps):
            message = f"session {id} is after {len(steps)} actions, not {at}"
            raise Refusal(HTTPStatus.CONFLICT, "other-state", message)
        if entry.session.done:
            raise Refusal(HTTPStatus.CONFLICT, "episode-over", f"the episode of session {id} is over")
        return await self._use(entry, lambda: entry.session.step(action)), entry.session

    async def fork(self, client: str, id: str) -> tuple[str, Session]:
        """Open an independent session in the same state. Returns its id and the session.

        Raises:
            Refusal: there is no such session, it is busy, or there is no room for another one.
        """
        entry = self._entry(client, id)
        return await self._add(client, entry.session.fork, entry)

    async def close(self, client: str, id: str) -> None:
        """Close a session. It isn't an error if it doesn't exist any more.

        Raises:
            Refusal: it is busy.
        """
        if id in self._entries:
            entry = self._entry(client, id)
            del self._entries[id]
            await self._call(entry.session.close)

    async def close_idle(self) -> int:
        """Close the sessions whose clients are gone, and return their number."""
        limit = time.monotonic() - self.limits.idle_s
        idle = {id: entry for id, entry in self._entries.items() if not entry.busy and entry.used < limit}
        for id in idle:
            del self._entries[id]
        for entry in idle.values():
            with _failure_logged():
                await self._call(entry.session.close)
        return len(idle)

    def close_all(self) -> None:
        """Close everything, without waiting for steps that hang."""
        for entry in self._entries.values():
            if not entry.busy:
                with _failure_logged():
                    entry.session.close()
        self._entries.clear()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _entry(self, client: str, id: str) -> Entry:
        entry = self._entries.get(id)
        if entry is None or entry.client != client:
            message = f"there is no session {id!r}: it was closed, or nobody used it for {self.limits.idle_s:g} s"
            raise Refusal(
                HTTPStatus.NOT_FOUND, "unknown-session", message, "Restore it: open its task with its actions."
            )
        if entry.busy:
            message = f"session {id} is busy with another request"
            raise Refusal(HTTPStatus.CONFLICT, "session-busy", message, "Fork it to explore several actions at once.")
        return entry

    async def _add(self, client: str, make: Callable[[], Session], source: Entry | None = None) -> tuple[str, Session]:
        own = sum(entry.client == client for entry in self._entries.values()) + self._opening[client]
        if len(self) >= self.maximum or own >= (self.limits.per_client or self.maximum):
            message = f"{own} of the client's sessions and {len(self)} of {self.maximum} in all are open"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too-many-sessions", message, "Close some, or try again later.")
        self._opening[client] += 1
        try:
            if source is None:
                session = await self._call(make, _close_result)
            else:
                session = await self._use(source, make, _close_result)
        finally:
            self._opening[client] -= 1
        id = secrets.token_urlsafe(12)
        self._entries[id] = Entry(session, client)
        return id, session

    async def _use(self, entry: Entry, work: Callable[[], T], late: Callable[[Future[T]], object] | None = None) -> T:
        """Do something with a session that no other request is using. One that hangs is given up."""

        def abandoned(done: Future[T]) -> None:
            if late is not None:
                late(done)
            entry.session.close()

        entry.busy = True
        try:
            return await self._call(work, abandoned)
        except (TimeoutError, asyncio.CancelledError):
            self._entries = {id: each for id, each in self._entries.items() if each is not entry}
            raise
        finally:
            entry.busy = False
            entry.used = time.monotonic()

    async def _call(self, work: Callable[[], T], late: Callable[[Future[T]], object] | None = None) -> T:
        """Do something, in a thread if it can take long.

        Args:
            work: what to do.
            late: called with the future when work that exceeded the time limit ends, in whatever way.

        Raises:
            EnvironmentFailure: code of the environment failed.
            TimeoutError: it took longer than the limit.
        """

        def guarded() -> T:
            with boundary(EnvironmentFailure, f"environment {self.environment.component_name()!r}", "serving"):
                return work()

        if self._threads is None:
            return guarded()
        future = self._threads.submit(guarded)
        try:
            async with asyncio.timeout(self.limits.step_s):
                return await asyncio.shield(asyncio.wrap_future(future))
        except (TimeoutError, asyncio.CancelledError):
            if late is not None:
                future.add_done_callback(late)
            raise


def _close_result(opening: Future[Session]) -> None:
    """Close a session that was opened too late."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


@contextmanager
def _failure_logged() -> Iterator[None]:
    """Log an exception of the environment instead of raising it: no request is there to answer."""
    try:
        yield
    except Exception:
        logging.getLogger(__name__).warning("a session failed while it was closed", exc_info=True)


def fingerprints(session: Session) -> tuple[str, ...]:
    """Return the fingerprint of a session's first observation and of the one after each action."""
    return tuple(fingerprint(each.text) for each in (session.initial, *(step.observation for step in session.steps)))
