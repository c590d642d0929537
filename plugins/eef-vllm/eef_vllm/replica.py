"""One vLLM server: it is started, asked for its base model, and given weights, which are verified."""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eef_framework.errors import ConfigError, EefWarning
from eef_vllm.api import Rejected, ServedModel, ServerUnavailable, VllmApi, explained
from eef_vllm.managed_server import ManagedServer
from eef_vllm.verification import KnownToken, compare, require_right

STARTS = 3
"""Maximum number of times that a managed server is started in a row without getting ready."""
TESTED = ("0.27", "0.32")
"""Oldest and newest version of vLLM with which a whole run was tested (`make test-vllm`); not all between them were."""
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


class Replica:
    """One server. Its methods block; `closing` ends their waits.

    Args:
        launch: starts a managed server; None for a running server.
        api: interface of a running server; None for a managed server, which isn't started yet.
        waits: time limits.
        closing: set when the servers are closed.

    Attributes:
        api: its interface; None while a managed server isn't started.
        server: its process, if this program started it.
        up: whether requests go to it.
        outages: how often it was down. An answer counts only if this is the same before and after the request.
        restarts: how often it was started again.
        lock: held while its weights change.
    """

    def __init__(
        self, launch: Callable[[], ManagedServer] | None, api: VllmApi | None, waits: Waits, closing: threading.Event
    ) -> None:
        self._launch, self._waits, self._closing = launch, waits, closing
        self.api = api
        self.server: ManagedServer | None = None
        self.up = False
        self.outages = self.restarts = 0
        self.lock = threading.Lock()

    def start(self) -> None:
        """Start a managed server, in place of the former one if there is one."""
        assert self._launch is not None
        if self.server is not None:
            self.server.stop()
        if self.api is not None:
            self.api.close()
        self.server = self._launch()
        self.api = VllmApi(self.server.url, self.server.key, self._waits.answer)

    def wait_ready(self, base: str, deadline: float) -> ServedModel:
        """Wait until the server lists its base model, and return that.

        Args:
            base: the base model's name; empty for the first model that the server lists.
            deadline: the last moment, as `time.monotonic()` gives it.

        Raises:
            ConfigError: the server ended, isn't ready in time, refuses the key or has another model.
        """
        while True:
            try:
                return self._base_model(base)
            except ServerUnavailable as cause:
                reason = str(cause)
            ended = self.server is not None and not self.server.running
            if ended or time.monotonic() > deadline or self._closing.is_set():
                assert self.api is not None
                raise _not_ready(self.api.url, reason, self.server, ended)
            self._closing.wait(POLL_S)

    def warn_if_untested(self) -> None:
        """Warn if the server runs a version of vLLM that wasn't tested."""
        assert self.api is not None
        version = self.api.version()
        if version and not _release(TESTED[0]) <= _release(version) <= _release(TESTED[1]):
            warning = EefWarning(
                f"the server at {self.api.url} is vLLM {version}; the oldest version tested is {TESTED[0]}, the newest "
                f"{TESTED[1]}",
                code="untested-vllm",
                version=version,
                tested=TESTED,
            )
            warnings.warn(warning, stacklevel=4)

    def revive(self, base: str) -> None:
        """Make sure that the server answers: a managed one that doesn't is started again.

        Args:
            base: the base model's name.

        Raises:
            ServerUnavailable: it doesn't answer.
            EefError: it doesn't start again.
        """
        if self._launch is None:
            self._base_model(base)
            return
        if self.server is not None and self.server.running:
            if self.answers(base):
                return
            self.server.stop()  # it hangs
        for attempt in range(STARTS):
            self.start()
            self.restarts += 1
            try:
                self.wait_ready(base, time.monotonic() + self._waits.start)
                return
            except ConfigError:
                if attempt + 1 == STARTS or self._closing.is_set():
                    raise

    def answers(self, base: str) -> bool:
        """Return whether the server answers when asked for one token; one that hangs may say that it is healthy."""
        assert self.api is not None
        try:
            self.api.score(base, [[0]], [0])
        except ServerUnavailable:
            return False
        except Rejected:
            pass
        return True

    def load(self, weights: ServedWeights) -> None:
        """Load weights, and verify them.

        Raises:
            ServerUnavailable: the server doesn't answer.
            EefError: it can't load them, or answers with other weights.
        """
        api = self.api
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

    def close(self) -> None:
        """End the connection, and a managed server."""
        self.up = False
        if self.api is not None:
            self.api.close()
        if self.server is not None:
            self.server.stop()

    def _base_model(self, name: str) -> ServedModel:
        """Return the base model that the server lists."""
        assert self.api is not None
        try:
            listed = [model for model in self.api.models() if model.parent is None]
        except Rejected as rejected:
            raise explained(rejected, self.api.url) from None
        found = [model for model in listed if model.id == name] or ([] if name else listed[:1])
        if not found:
            raise ConfigError(
                f"the server at {self.api.url} serves {', '.join(repr(model.id) for model in listed) or 'nothing'}, "
                f"not {name!r}",
                "Start all servers with the same --served-model-name.",
                code="other-model",
                base_url=self.api.url,
                served=[model.id for model in listed],
            )
        return found[0]


def _release(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


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
