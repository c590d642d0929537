"""A bounded number of simulators for any number of episodes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from eef_framework.errors import EnvironmentFailure
from eef_sciworld._compat.py4j import JvmHung, JvmLost
from eef_sciworld.jvm import Jvm
from eef_sciworld.simulator import Simulator
from eef_sciworld.state import EpisodeState

T = TypeVar("T")

MAX_ATTEMPTS = 4
"""How often a call is attempted: the JVM may also die because of calls of other episodes."""
INACTIVE_S = 60.0
"""The simulator of an episode that was inactive for this many seconds is the first to be reassigned."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Slot:
    """A place for a simulator, and the episode state that it is in."""

    jvm: Jvm | None = None
    simulator: Simulator | None = None
    state: EpisodeState | None = None
    busy: bool = False
    used: float = 0.0


class SimulatorPool:
    """Lends simulators for one call at a time, preferably the one that is in the caller's state already.

    A simulator that is in another state is restored by replay. Thread-safe.

    Args:
        count: maximum number of simulators.
        start: starts a JVM.
    """

    def __init__(self, count: int, start: Callable[[], Jvm]) -> None:
        self._start = start
        self._slots = [Slot() for _ in range(count)]
        self._free = threading.Condition()
        self._starting = threading.Lock()
        self._jvm: Jvm | None = None
        self._closed = False
        self.restarts = 0
        """Number of JVMs that died or hung."""
        self.restored = 0
        """How often a state was restored in a simulator, initial states included."""

    @property
    def count(self) -> int:
        """Maximum number of simulators."""
        return len(self._slots)

    @property
    def pid(self) -> int | None:
        """The JVM's process id, if it runs."""
        return self._jvm.pid if self._jvm else None

    def run(self, call: Callable[[Simulator], T], state: EpisodeState | None = None) -> T:
        """Make a call with a simulator and return its result.

        If the JVM dies or hangs during the call, it is replaced and the call repeated.

        Args:
            call: the call; it must not change anything before it succeeds.
            state: the state that the simulator has to be in; any if None.

        Raises:
            EnvironmentFailure: the JVM hung twice or died repeatedly, or the pool is closed.
            ReplayDivergence: the state couldn't be restored.
        """
        hung = 0
        for _ in range(MAX_ATTEMPTS):
            with self._lent(state) as slot:
                try:
                    return call(self._prepared(slot, state))
                except JvmLost as loss:
                    self._discard(slot, loss)
                    hung += isinstance(loss, JvmHung)
                    if hung == 2:
                        break
                except BaseException:
                    slot.state = None  # the simulator's state is unknown
                    raise
        raise EnvironmentFailure(
            f"ScienceWorld's JVM {'hung twice' if hung == 2 else f'died {MAX_ATTEMPTS} times'}"
            + (f" in {state.setup.task} {state.setup.variation} after {state.actions[-3:]}" if state else ""),
            "Raise `call_timeout_s` if the machine is slow; use fewer `slots` if it is short of memory.",
            code="jvm-hung" if hung == 2 else "jvm-died",
            losses=MAX_ATTEMPTS if hung < 2 else hung,
            task=state.setup.task if state else None,
            variation=state.setup.variation if state else None,
        )

    def release(self, state: EpisodeState) -> None:
        """Make the simulator of a finished episode available to others."""
        with self._free:
            for slot in self._slots:
                if slot.state is state:
                    slot.state = None

    def close(self) -> None:
        """End the JVM. Calls in progress and all later ones fail."""
        with self._starting:
            self._closed = True
            if self._jvm is not None:
                self._jvm.kill()
            self._jvm = None

    @contextmanager
    def _lent(self, state: EpisodeState | None) -> Iterator[Slot]:
        with self._free:
            while (slot := self._choose(state)) is None:
                self._free.wait()
            slot.busy = True
        try:
            yield slot
        finally:
            with self._free:
                slot.busy, slot.used = False, time.monotonic()
                self._free.notify()

    def _choose(self, state: EpisodeState | None) -> Slot | None:
        """Return the slot that is in the state, else an unassigned one, else the one that is least missed."""
        idle = [slot for slot in self._slots if not slot.busy]
        own = [slot for slot in idle if state is not None and slot.state is state]
        # Slots that already have a simulator come first.
        unassigned = sorted((slot for slot in idle if slot.state is None), key=lambda slot: slot.simulator is None)
        if own or unassigned or not idle:
            return next(iter(own or unassigned), None)
        oldest = min(idle, key=lambda slot: slot.used)
        if time.monotonic() - oldest.used > INACTIVE_S:
            return oldest
        # Episodes take turns: the one that acted last is the last to act again.
        return max(idle, key=lambda slot: slot.used)

    def _prepared(self, slot: Slot, state: EpisodeState | None) -> Simulator:
        jvm = self._running()
        if slot.simulator is None or slot.jvm is not jvm:
            slot.state, slot.simulator, slot.jvm = None, None, jvm
            slot.simulator = Simulator(jvm)
        if state is None:
            slot.state = None
        elif slot.state is not state:
            slot.state = None
            state.restore(slot.simulator)
            slot.state = state
            self.restored += 1
        return slot.simulator

    def _running(self) -> Jvm:
        with self._starting:
            if self._closed:
                raise EnvironmentFailure(
                    "the environment 'sciworld' is closed", "Close it after its sessions.", code="closed"
                )
            if self._jvm is None:
                self._jvm = self._start()
            return self._jvm

    def _discard(self, slot: Slot, loss: JvmLost) -> None:
        """End the JVM of a slot, unless another caller has done so already."""
        slot.simulator, slot.state = None, None
        with self._starting:
            if self._jvm is not None and slot.jvm is self._jvm:
                self._jvm.kill()
                self._jvm = None
                self.restarts += 1
                event = "hung" if isinstance(loss, JvmHung) else "died"
                log.warning("ScienceWorld's JVM %s (%s); its episodes are restored in a new one", event, loss)
