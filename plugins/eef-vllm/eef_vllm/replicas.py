"""Servers with the same weights: requests are spread over them, and failed ones are brought back."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eef_framework.errors import AnswerFailure, ConfigError, EefError, EefWarning, PolicyFailure
from eef_vllm.api import (
    BUSY_WAITS_S,
    Completion,
    Rejected,
    ServedModel,
    ServerBusy,
    ServerUnavailable,
    VllmApi,
    explained,
)
from eef_vllm.managed_server import ManagedServer
from eef_vllm.verification import KnownToken, compare, require_right

T = TypeVar("T")

ATTEMPTS = 10
"""Maximum number of times that a request is sent. One that ends the server each time would do so for ever."""
STARTS = 3
"""Maximum number of times that a managed server is started in a row without getting ready."""
POLL_S = 0.25
"""Interval at which a server that isn't ready is asked, in seconds."""


@dataclass
class ServedWeights:
    """Weights under a name on every replica.

    Attributes:
        name: their name in requests.
        adapter: folder of the adapters, as servers see it; None for the server's base model.
        known: tokens by which they are verified; empty if they aren't verified.
        users: number of loaded policies that use them.
    """

    name: str
    adapter: str | None
    known: Sequence[KnownToken] = ()
    users: int = 1


@dataclass
class Replica:
    """One server.

    Attributes:
        api: its interface; None while a managed server isn't started.
        server: its process, if this program started it.
        up: whether requests go to it.
        outages: how often it was down. An answer counts only if this is the same before and after the request.
        lock: held while its weights change.
    """

    api: VllmApi | None = None
    server: ManagedServer | None = None
    up: bool = False
    outages: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Waits:
    """Time limits, in seconds.

    Attributes:
        answer: for an answer.
        start: for a managed server to get ready.
        outage: for a server to come back when none answers.
    """

    answer: float
    start: float
    outage: float


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
        restarts: how often a managed server was started again.
        repeated: how many requests were sent again.
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
        self._launch, self._waits, self._key = launch, waits, key
        self.restarts = self.repeated = 0
        self.users = 0
        self._weights: dict[str, ServedWeights] = {}
        self._failure: EefError | None = None
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        if launch is None:
            self._replicas = [Replica(VllmApi(url, key, waits.answer)) for url in urls]
        else:
            self._replicas = [Replica() for _ in range(count)]
        self.base, self.context_window = base, None if launch else 0

    def open(self) -> None:
        """Wait until all servers are ready; managed ones are started at once.

        Raises:
            ConfigError: a server doesn't start, can't be reached, refuses the key or serves several models.
        """
        if self._launch is not None:
            for replica in self._replicas:
                self._start(replica)
        windows = []
        for replica in self._replicas:
            deadline = time.monotonic() + (self._waits.start if self._launch else min(30.0, self._waits.outage))
            base = self._wait_ready(replica, deadline)
            windows.append(base.max_model_len)
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
                        self._prepare(replica, weights)
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
            replica.up = False
            if replica.api is not None:
                replica.api.close()
            if replica.server is not None:
                replica.server.stop()
        if self.repeated or self.restarts:
            warnings.warn(
                EefWarning(
                    f"vLLM servers failed: {self.repeated} requests were sent again, servers were restarted "
                    f"{self.restarts} times. No episode was lost to it",
                    code="vllm-recovered",
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
                if replica.api is api and replica.outages == outages:  # otherwise it is being dealt with
                    self._down(replica)
            except Rejected as rejected:
                raise explained(rejected, api.url) from None
        raise AnswerFailure(
            f"a request failed {ATTEMPTS} times, and the server answered others in between; at last: {last}",
            "See the server's log.",
            code="answer-lost",
            attempts=ATTEMPTS,
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
                        self._revive(replica)
                        for weights in list(self._weights.values()):
                            self._prepare(replica, weights)
                    except ServerUnavailable:
                        self._closed.wait(POLL_S)
                        continue
                    replica.up = True
                    return
        except EefError as failure:
            self._failure = failure

    def _revive(self, replica: Replica) -> None:
        """Make sure that a replica answers.

        Raises:
            ServerUnavailable: it doesn't answer.
            EefError: it doesn't start again.
        """
        if self._launch is None:
            self._base(replica)
            return
        if replica.server is not None and replica.server.running:
            try:
                self._probe(replica)
                return
            except ServerUnavailable:  # it hangs
                replica.server.stop()
        for attempt in range(STARTS):
            self._start(replica)
            self.restarts += 1
            try:
                self._wait_ready(replica, time.monotonic() + self._waits.start)
                return
            except ConfigError:
                if attempt + 1 == STARTS or self._closed.is_set():
                    raise

    def _start(self, replica: Replica) -> None:
        assert self._launch is not None
        if replica.server is not None:
            replica.server.stop()
        if replica.api is not None:
            replica.api.close()
        replica.server = self._launch()
        replica.api = VllmApi(replica.server.url, replica.server.key, self._waits.answer)

    def _wait_ready(self, replica: Replica, deadline: float) -> ServedModel:
        """Wait until a server lists its base model.

        Raises:
            ConfigError: it ended, or isn't ready in time.
        """
        while True:
            try:
                return self._base(replica)
            except ServerUnavailable as cause:
                reason = str(cause)
            server = replica.server
            ended = server is not None and not server.running
            if ended or time.monotonic() > deadline or self._closed.is_set():
                assert replica.api is not None
                raise _not_ready(replica.api.url, reason, server, ended)
            self._closed.wait(POLL_S)

    def _base(self, replica: Replica) -> ServedModel:
        """Return the base model that a server lists, and learn its name."""
        assert replica.api is not None
        try:
            listed = [model for model in replica.api.models() if model.parent is None]
        except Rejected as rejected:
            raise explained(rejected, replica.api.url) from None
        named = [model for model in listed if model.id == self.base] or ([] if self.base else listed[:1])
        if not named:
            raise ConfigError(
                f"the server at {replica.api.url} serves {', '.join(repr(model.id) for model in listed) or 'nothing'}, "
                f"not {self.base!r}",
                "Start all servers with the same --served-model-name.",
                code="other-model",
                base_url=replica.api.url,
                served=[model.id for model in listed],
            )
        self.base = self.base or named[0].id
        return named[0]

    def _probe(self, replica: Replica) -> None:
        """Ask for one token: a server may say that it is healthy, and never answer."""
        assert replica.api is not None
        try:
            replica.api.score(self.base, [[0]], [0])
        except Rejected:
            return

    def _prepare(self, replica: Replica, weights: ServedWeights) -> None:
        """Load weights on a replica, and verify them.

        Raises:
            ServerUnavailable: it doesn't answer.
            EefError: it can't load them, or answers with other weights.
        """
        api = replica.api
        assert api is not None
        if weights.adapter is not None:
            try:
                api.load_adapter(weights.name, weights.adapter)
            except Rejected as rejected:
                raise _not_loaded(rejected, api.url, weights.adapter) from None
        if not weights.known:
            return
        try:
            prefixes, tokens = [each.prefix for each in weights.known], [each.token for each in weights.known]
            served = api.score(weights.name, prefixes, tokens)
        except Rejected as rejected:
            raise explained(rejected, api.url) from None
        require_right(compare(weights.known, served), api.url, weights.name)


def _rank(key: str, index: int) -> bytes:
    """Return what decides the order of replicas: if one goes, only its own keys move (rendezvous hashing)."""
    return hashlib.blake2b(f"{index} {key}".encode(), digest_size=8).digest()


def _not_ready(url: str, reason: str, server: ManagedServer | None, ended: bool) -> ConfigError:
    if server is None:
        return ConfigError(
            f"the server at {url} doesn't answer: {reason}",
            "Check base_urls, and that the server is running.",
            code="unreachable",
            base_url=url,
        )
    what = "ended while it was starting" if ended else f"isn't ready: {reason}"
    return ConfigError(
        f"the vLLM server {what}; its last output:\n{server.log_tail}",
        "Fix what is named there. Settings of the server go into arguments and environment.",
        code="vllm-start-failed",
        log=server.log_tail,
    )


def _not_loaded(rejected: Rejected, url: str, adapter: str) -> ConfigError:
    if "no adapter found" in rejected.reason.lower():
        return ConfigError(
            f"the server at {url} doesn't see the folder {adapter!r}",
            "Put run directory and adapter_folder on a disk that the servers mount at the same path.",
            code="adapter-not-visible",
            base_url=url,
            adapter=adapter,
        )
    if rejected.status in (404, 405) and "lora" not in rejected.reason.lower():
        return ConfigError(
            f"the server at {url} can't load adapters while it runs ({rejected})",
            "Start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1.",
            code="no-runtime-lora",
            base_url=url,
        )
    return ConfigError(
        f"the server at {url} refused the adapter {adapter!r} ({rejected})",
        "A higher --max-lora-rank may be needed: adapters of several trainings are combined, and their ranks add up.",
        code="adapter-refused",
        base_url=url,
        adapter=adapter,
        reason=rejected.reason,
    )
