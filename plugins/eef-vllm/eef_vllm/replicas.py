"""Servers with the same weights: requests are spread over them, and servers that failed are recovered."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from eef_framework.errors import AnswerFailure, EefError, EefWarning, PolicyFailure
from eef_vllm.api import (
    BUSY_WAITS_S,
    Completion,
    Rejected,
    RequestFailed,
    ServerBusy,
    ServerUnavailable,
    VllmApi,
    explained,
)
from eef_vllm.managed_server import ManagedServer
from eef_vllm.replica import POLL_S, Replica, ServedWeights, Waits

T = TypeVar("T")

ATTEMPTS = 10
"""Maximum number of times that a request is sent. One that ends the server each time would do so for ever."""


class Replicas:
    """Servers with the same base model.

    Args:
        launch: starts a managed server; None for running servers.
        urls: addresses of running servers.
        count: number of managed servers.
        base: the base model's name on managed servers.
        key: API key of running servers.
        waits: time limits.

    Attributes:
        base: the base model's name; that of running servers is known once they are open.
        context_window: the smallest context window of the servers, in tokens; None if none of them tells it.
        users: number of loaded policies that use the servers.
        repeated: how many requests were sent again.
        lost: how many requests were given up.
    """

    def __init__(
        self,
        launch: Callable[[], ManagedServer] | None,
        urls: Sequence[str],
        count: int,
        base: str,
        key: str,
        waits: Waits,
    ) -> None:
        self._managed, self._waits = launch is not None, waits
        self.base = base
        self.context_window: int | None = None
        self.users = self.repeated = self.lost = 0
        self._weights: dict[str, ServedWeights] = {}
        self._failure: EefError | None = None
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        if launch is None:
            apis: list[VllmApi | None] = [VllmApi(url, key, waits.answer) for url in urls]
        else:
            apis = [None] * count
        self._replicas = [Replica(launch, api, waits, self._closed) for api in apis]

    @property
    def restarts(self) -> int:
        """How often a managed server was started again."""
        return sum(replica.restarts for replica in self._replicas)

    def open(self) -> None:
        """Wait until all servers are ready; managed ones are started at once.

        Raises:
            ConfigError: a server doesn't start, can't be reached, refuses the key or serves several models.
        """
        if self._managed:
            for replica in self._replicas:
                replica.start()
        windows = []
        for replica in self._replicas:
            deadline = time.monotonic() + (self._waits.start if self._managed else min(30.0, self._waits.outage))
            model = replica.wait_ready(self.base, deadline)
            self.base = self.base or model.id
            windows.append(model.max_model_len)
            replica.warn_if_untested()
            replica.up = True
        self.context_window = min((window for window in windows if window), default=None)

    def add(self, weights: ServedWeights) -> None:
        """Load weights on every replica, and verify them.

        Raises:
            EefError: a replica can't load them, or answers with other weights.
        """
        if weights.name in self._weights:
            self._weights[weights.name].users += 1
            weights = self._weights[weights.name]
        else:
            self._weights[weights.name] = weights
        try:
            for replica in self._replicas:
                if not replica.up:
                    continue
                try:
                    with replica.lock:
                        replica.load(weights)
                except ServerUnavailable:
                    self._down(replica)
            deadline = time.monotonic() + self._waits.outage
            while not any(replica.up for replica in self._replicas):
                self._raise_failure(deadline)
                time.sleep(POLL_S)
        except BaseException:
            self.remove(weights.name)
            raise

    def remove(self, name: str) -> None:
        """Unload weights, unless they have other users."""
        weights = self._weights[name]
        weights.users -= 1
        if weights.users:
            return
        del self._weights[name]
        if weights.adapter is None:
            return
        for replica in self._replicas:
            if replica.up and replica.api is not None:
                try:
                    replica.api.unload_adapter(name)
                except (ServerUnavailable, Rejected):  # it has lost the adapter, or will lose it when it restarts
                    continue

    async def complete(self, key: str, body: dict[str, Any]) -> Completion:
        """Return the answer to a request.

        Args:
            key: requests with equal keys go to the same replica, as long as it is up.
            body: the request.

        Raises:
            AnswerFailure: the request failed again and again (`answer-lost`).
            PolicyFailure: no server answers (`vllm-lost`), or one answers with other weights (`wrong-weights`).
        """
        return await self._send(key, lambda api: api.complete(body))

    async def score(self, key: str, model: str, prefix: Sequence[int], token: int) -> float:
        """Return the log-probability of a token after a prefix.

        Raises:
            AnswerFailure, PolicyFailure: as for `complete`.
        """
        return await self._send(key, lambda api: api.score_one(model, prefix, token))

    def close(self) -> None:
        """End managed servers and all connections, and warn of what was repeated. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        for thread in self._threads:
            thread.join()
        for replica in self._replicas:
            replica.close()
        if self.repeated or self.restarts:
            warnings.warn(
                EefWarning(
                    f"vLLM servers failed: {self.repeated} requests were sent again, servers were restarted "
                    f"{self.restarts} times. {self.lost or 'No'} answers were lost",
                    code="vllm-recovered",
                    lost=self.lost,
                    repeated=self.repeated,
                    restarts=self.restarts,
                ),
                stacklevel=3,
            )

    async def _send(self, key: str, request: Callable[[VllmApi], Awaitable[T]]) -> T:
        last: Exception | None = None
        for attempt in range(ATTEMPTS):
            self.repeated += attempt > 0
            replica, api = await self._pick(key)
            outages = replica.outages
            try:
                found = await request(api)
                if replica.up and replica.outages == outages:
                    return found
                # A server that was restarted may have answered before its weights were verified.
                last = ServerUnavailable("the server failed while it answered")
            except ServerBusy as cause:
                last = cause
                await asyncio.sleep(BUSY_WAITS_S[min(attempt, len(BUSY_WAITS_S) - 1)])
            except ServerUnavailable as cause:
                last = cause
                # A request at which the server fails again and again must not cost the answers to all others.
                alive = isinstance(cause, RequestFailed) and await asyncio.to_thread(replica.answers, self.base)
                if alive:
                    await asyncio.sleep(BUSY_WAITS_S[min(attempt, len(BUSY_WAITS_S) - 1)])
                elif replica.api is api and replica.outages == outages:  # otherwise it is being dealt with
                    self._down(replica)
            except Rejected as rejected:
                raise explained(rejected, api.url) from None
        self.lost += 1
        log = replica.server.log_tail if replica.server is not None else ""
        raise AnswerFailure(
            f"a request failed {ATTEMPTS} times, and the server answered others in between; last failure: {last}"
            + (f". Last output of the server:\n{log}" if log else ""),
            "See the server's log. If it names structured outputs or a grammar, try sampling with constrain: false, or "
            "another version of vLLM.",
            code="answer-lost",
            attempts=ATTEMPTS,
            reason=str(last),
            log=log,
        )

    async def _pick(self, key: str) -> tuple[Replica, VllmApi]:
        """Return the replica for a key: the first one that is up, in an order that depends on the key."""
        order = sorted(range(len(self._replicas)), key=lambda index: _rank(key, index))
        deadline = time.monotonic() + self._waits.outage
        while True:
            self._raise_failure(deadline)
            for index in order:
                replica = self._replicas[index]
                if replica.up and replica.api is not None:
                    return replica, replica.api
            await asyncio.sleep(POLL_S)

    def _raise_failure(self, deadline: float) -> None:
        if self._closed.is_set():
            raise PolicyFailure("the policy is closed", "Load the checkpoint again.", code="closed")
        if self._failure is not None:
            raise self._failure
        if time.monotonic() > deadline:
            raise PolicyFailure(
                f"no vLLM server has answered for {self._waits.outage:g} s",
                "Start the servers again, and run the command again to continue.",
                code="vllm-lost",
                waited_s=self._waits.outage,
            )

    def _down(self, replica: Replica) -> None:
        """Send no more requests to a replica until it is back."""
        if not replica.up:
            return
        replica.up = False
        replica.outages += 1
        thread = threading.Thread(target=self._recover, args=(replica,), name="eef-vllm-recovery", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _recover(self, replica: Replica) -> None:
        """Bring a replica back: restart it if it is managed and doesn't answer, then load its weights again."""
        try:
            with replica.lock:
                while not self._closed.is_set():
                    try:
                        replica.revive(self.base)
                        for weights in list(self._weights.values()):
                            replica.load(weights)
                    except ServerUnavailable:
                        self._closed.wait(POLL_S)
                        continue
                    replica.up = True
                    return
        except EefError as failure:
            self._failure = failure


def _rank(key: str, index: int) -> bytes:
    """Return what decides the order of replicas: if one goes, only its own keys move (rendezvous hashing)."""
    return hashlib.blake2b(f"{index} {key}".encode(), digest_size=8).digest()
