"""A bounded number of simulators for any number of worlds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from eef_framework.errors import EnvironmentFailure
from eef_sciworld.jvm import Jvm, JvmHung, JvmLost
from eef_sciworld.simulator import Simulator
from eef_sciworld.world import World

T = TypeVar("T")

LOSSES = 4
"""How often a call is tried again after others have taken the JVM down with them."""
FORGOTTEN_S = 60.0
"""A world in which nothing was done for so long gives its simulator away first."""

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Slot:
    """A place for a simulator, and the world that it is in."""

    jvm: Jvm | None = None
    simulator: Simulator | None = None
    world: World | None = None
    busy: bool = False
    used: float = 0.0


class Slots:
    """Lends simulators for one call at a time, if possible the one that is in the caller's world already.

    Nobody keeps a simulator between calls, so no number of callers can block one another. A world that lost its
    simulator to another one is restored by replay.

    Args:
        count: maximum number of simulators.
        start: makes a JVM.
    """

    def __init__(self, count: int, start: Callable[[], Jvm]) -> None:
        self._start = start
        self._slots = [Slot() for _ in range(count)]
        self._free = threading.Condition()
        self._starting = threading.Lock()
        self._jvm: Jvm | None = None
        self._closed = False
        self.restarts = 0
        """JVMs that died or hung."""
        self.rebuilt = 0
        """Worlds that were brought into a simulator, new ones included."""

    @property
    def count(self) -> int:
        """Maximum number of simulators."""
        return len(self._slots)

    @property
    def pid(self) -> int | None:
        """The JVM's process id, if there is one."""
        return self._jvm.pid if self._jvm else None

    def run(self, call: Callable[[Simulator], T], world: World | None = None) -> T:
        """Call with a simulator: one in the state of a world, or any.

        A JVM that dies or hangs meanwhile is replaced, and the call repeated.

        Raises:
            EnvironmentFailure: it hung twice, or died again and again.
        """
        hung = 0
        for _ in range(LOSSES):
            with self._lent(world) as slot:
                try:
                    return call(self._prepared(slot, world))
                except JvmLost as loss:
                    self._give_up(slot, loss)
                    hung += isinstance(loss, JvmHung)
                    if hung == 2:
                        break
                except BaseException:
                    slot.world = None  # what state the simulator is in, nobody knows
                    raise
        raise EnvironmentFailure(
            f"ScienceWorld's JVM {'hung twice' if hung == 2 else f'died {LOSSES} times'}"
            + (f" in {world.setup.task} {world.setup.variation} after {world.actions[-3:]}" if world else ""),
            "Raise `call_timeout_s` if the machine is slow; use fewer `slots` if it is short of memory.",
            code="jvm-hung" if hung == 2 else "jvm-died",
            losses=LOSSES if hung < 2 else hung,
            task=world.setup.task if world else None,
            variation=world.setup.variation if world else None,
        )

    def forget(self, world: World) -> None:
        """Free the simulator of a world that is over."""
        with self._free:
            for slot in self._slots:
                if slot.world is world:
                    slot.world = None

    def close(self) -> None:
        """End the JVM. Calls that are under way, and all later ones, fail."""
        with self._starting:
            self._closed = True
            if self._jvm is not None:
                self._jvm.kill()
            self._jvm = None

    @contextmanager
    def _lent(self, world: World | None) -> Iterator[Slot]:
        with self._free:
            while (slot := self._choose(world)) is None:
                self._free.wait()
            slot.busy = True
        try:
            yield slot
        finally:
            with self._free:
                slot.busy, slot.used = False, time.monotonic()
                self._free.notify()

    def _choose(self, world: World | None) -> Slot | None:
        """Return the world's own slot, else an empty one, else one that another world can best do without."""
        idle = [slot for slot in self._slots if not slot.busy]
        own = [slot for slot in idle if world is not None and slot.world is world]
        # Ones that have a simulator already come first.
        empty = sorted((slot for slot in idle if slot.world is None), key=lambda slot: slot.simulator is None)
        if own or empty or not idle:
            return next(iter(own or empty), None)
        oldest = min(idle, key=lambda slot: slot.used)
        if time.monotonic() - oldest.used > FORGOTTEN_S:
            return oldest
        # Episodes take turns: the one that has just had its turn has to wait longest for its next.
        return max(idle, key=lambda slot: slot.used)

    def _prepared(self, slot: Slot, world: World | None) -> Simulator:
        jvm = self._running()
        if slot.simulator is None or slot.jvm is not jvm:
            slot.world, slot.simulator, slot.jvm = None, None, jvm
            slot.simulator = Simulator(jvm)
        if world is None:
            slot.world = None
        elif slot.world is not world:
            slot.world = None
            world.restore(slot.simulator)
            slot.world = world
            self.rebuilt += 1
        return slot.simulator

    def _running(self) -> Jvm:
        with self._starting:
            if self._closed:
                raise EnvironmentFailure(
                    "the environment 'sciworld' is closed", "Close it when its sessions are over.", code="closed"
                )
            if self._jvm is None:
                self._jvm = self._start()
            return self._jvm

    def _give_up(self, slot: Slot, loss: JvmLost) -> None:
        """End the JVM of a slot, unless another caller did so already."""
        slot.simulator, slot.world = None, None
        with self._starting:
            if self._jvm is not None and slot.jvm is self._jvm:
                self._jvm.kill()
                self._jvm = None
                self.restarts += 1
                what = "hung" if isinstance(loss, JvmHung) else "died"
                log.warning("ScienceWorld's JVM %s (%s); its episodes are brought back in a new one", what, loss)
