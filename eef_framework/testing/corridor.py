"""A text environment of a few rooms, small enough to work out every state by hand.

The rooms form a row from west to east. The agent has to open the door; a locked door needs the key. The key may lie to
the west of the start. There are three kinds of mistakes:

* A wrong turn costs steps and can be undone.
* Opening a locked door without the key jams it: the episode continues but can't succeed any more.
* Going west from the first room leaves the corridor: the episode ends with part of the reward.
"""

from __future__ import annotations

import copy
import itertools
import random
import re
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from eef_framework.errors import ConfigError, EnvironmentFailure
from eef_framework.interfaces import Environment, Session
from eef_framework.records import Observation, Step, Task, fingerprint
from eef_framework.seeds import derive

SPLITS = ("train", "dev", "test")
KINDS = ("short", "long", "detour")

Fault = Literal["", "open", "raise", "diverge", "hang"]


class Corridor(Environment):
    """The corridor. It is deterministic unless a fault is set."""

    name: ClassVar[str] = "corridor"

    rooms: int = Field(default=6, ge=4)
    """Length of the corridor."""
    tasks_per_split: int = Field(default=30, gt=0)
    """Number of tasks in each of `train`, `dev` and `test`."""
    max_steps: int = Field(default=12, gt=0)
    """Maximum episode length, in actions."""
    copies: bool = True
    """Whether sessions can be copied; if not, they are forked by replay."""
    fault: Fault = ""
    """Deliberate fault: `open` raises when a task is opened, `raise` raises in a step, `diverge` gives every session
    another observation, `hang` makes a step wait."""
    fault_step: int = Field(default=1, gt=0)
    """Step of an episode at which the fault happens, counted from 1."""
    fault_kind: str = ""
    """Kind of task with the fault; empty for all."""
    hang_s: float = Field(default=30.0, ge=0)
    """Duration of a hanging step, in seconds."""

    _echo: Iterator[int] = PrivateAttr(default_factory=itertools.count)

    @property
    def instructions(self) -> str:
        """The rules in two sentences."""
        return "Open the door; a locked one needs the key. Actions: go[east], go[west], take[key], open[door]."

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split. Their kinds alternate."""
        if split not in SPLITS:
            choice = f"Choose one of {', '.join(SPLITS)}."
            raise ConfigError(f"corridor has no split {split!r}", choice, code="no-such-split", split=split)
        return [self._task(split, index) for index in range(self.tasks_per_split)]

    def open(self, task: Task) -> CorridorSession:
        """Start an episode."""
        if task.environment != self.name:
            raise EnvironmentFailure(f"corridor was given task {task.id!r} of environment {task.environment!r}")
        if self.fault_applies("open", task):
            raise RuntimeError(f"can't open {task.id}")
        return CorridorSession(self, task)

    def fault_applies(self, fault: Fault, task: Task, step: int | None = None) -> bool:
        """Return whether a fault applies.

        Args:
            fault: the fault.
            task: the current task.
            step: number of the current step, counted from 1; None for faults that don't belong to a step.
        """
        here = step is None or step == self.fault_step
        return self.fault == fault and here and self.fault_kind in ("", task.kind)

    def echo(self) -> int:
        """Return another number at every call, to make sessions diverge."""
        return next(self._echo)

    def _task(self, split: str, index: int) -> Task:
        kind = KINDS[index % len(KINDS)]
        layout = _layout(kind, self.rooms, random.Random(derive(0, "corridor", split, index)))
        return Task(
            id=f"corridor-{split}-{index:03d}",
            environment=self.name,
            split=split,
            kind=kind,
            instruction="Open the door.",
            fingerprint=fingerprint(f"{self.rooms} {layout} {split} {index}"),  # several tasks have one layout
            info=dict(layout),
        )


class BlockingCorridor(Corridor):
    """The corridor, stepped in threads. With `hang`, it tests time limits."""

    name: ClassVar[str] = "blocking-corridor"
    blocking: ClassVar[bool] = True


class CorridorSession(Session):
    """An episode in the corridor."""

    environment: Corridor

    def __init__(self, environment: Corridor, task: Task) -> None:
        layout = {name: int(str(task.info[name])) for name in ("start", "door", "key")}
        self._position, self._door = layout["start"], layout["door"]
        self._key: int | None = layout["key"] if layout["key"] >= 0 else None
        self._locked = self._key is not None
        self._held = self._jammed = False
        self._last_room = environment.rooms - 1
        super().__init__(environment, task, self._look())

    def perform(self, action: str) -> Step:
        """Carry out an action."""
        number = len(self.steps) + 1
        if self.environment.fault_applies("raise", self.task, number):
            raise RuntimeError(f"deliberate fault of {self.task.id} at step {number}")
        if self.environment.fault_applies("hang", self.task, number):
            time.sleep(self.environment.hang_s)
        valid = action in self._admissible()
        reward, terminated = self._carry_out(action) if valid else (0.0, False)
        return Step(
            action=action,
            observation=self._look(number, over=terminated),
            reward=reward,
            terminated=terminated,
            truncated=not terminated and number >= self.environment.max_steps,
            valid=valid,
        )

    def _carry_out(self, action: str) -> tuple[float, bool]:
        """Return reward and whether the episode ends."""
        if action == "take[key]":
            self._held = True
        elif action == "open[door]":
            if not self._locked or self._held:
                return 1.0, True
            self._jammed = True
        elif action == "go[west]" and self._position == 0:
            return (0.5 if self._held else 0.25), True
        else:
            self._position += 1 if action == "go[east]" else -1
        return 0.0, False

    def _admissible(self) -> tuple[str, ...]:
        actions = ["go[west]"]
        if self._position < self._last_room:
            actions.append("go[east]")
        if self._position == self._key and not self._held:
            actions.append("take[key]")
        if self._position == self._door and not self._jammed:
            actions.append("open[door]")
        return tuple(actions)

    def _look(self, number: int = 0, over: bool = False) -> Observation:
        if over:
            return Observation(text="It is over.", actions=())
        state = ", jammed" if self._jammed else ", locked" if self._locked else ""
        key = "not needed" if self._key is None else "held" if self._held else self._where(self._key)
        lines = [f"door: {self._where(self._door)}{state}", f"key: {key}"]
        if self._position == 0:
            lines.append("exit: 1 west")
        if number and self.environment.fault_applies("diverge", self.task, number):
            lines.append(f"echo: {self.environment.echo()}")
        return Observation(text="\n".join(lines), actions=self._admissible())

    def _where(self, room: int) -> str:
        distance = room - self._position
        return "here" if distance == 0 else f"{abs(distance)} {'east' if distance > 0 else 'west'}"

    def duplicate(self) -> Self | None:
        """Return an independent session in the same state."""
        return copy.copy(self) if self.environment.copies else None


def best_action(text: str) -> str:
    """Return the right action in a state, given its observation. If the door is jammed, this is the way to the exit."""
    places = dict(re.findall(r"^(door|key): (.*)$", text, re.MULTILINE))
    if "jammed" in places["door"]:
        return "go[west]"
    goal = "door" if places["key"] in ("held", "not needed") else "key"
    if places[goal].startswith("here"):
        return "open[door]" if goal == "door" else "take[key]"
    return "go[east]" if "east" in places[goal] else "go[west]"


def _layout(kind: str, rooms: int, draw: random.Random) -> dict[str, int]:
    """Place start, door and key (-1: the door isn't locked)."""
    if kind == "short":
        start = draw.randrange(rooms - 2)
        return {"start": start, "door": draw.randrange(start + 1, min(start + 3, rooms)), "key": -1}
    if kind == "long":
        return {"start": draw.randrange(2), "door": rooms - 1, "key": draw.randrange(2, rooms - 1)}
    start = draw.randrange(1, rooms - 2)
    return {"start": start, "door": draw.randrange(start + 1, rooms), "key": draw.randrange(start)}


def success_chance(session: Session, skill: float) -> float:
    """Return the exact chance that the scripted policy wins from a state of the corridor, worked out over all its ways.

    Args:
        session: the state. It isn't changed.
        skill: the policy's chance of the right action; otherwise it takes any admissible one.
    """
    known: dict[tuple[str, int], float] = {}

    def chance(state: Session) -> float:
        if state.done:
            return float(state.reward == 1.0)
        key = state.observation.text, len(state.steps)
        if key not in known:
            actions = state.observation.actions or ()
            shares = {action: (1 - skill) / len(actions) for action in actions}
            shares[best_action(key[0])] = shares.get(best_action(key[0]), 0.0) + skill
            known[key] = sum(share * chance(_after(state, action)) for action, share in shares.items() if share)
        return known[key]

    return chance(session)


def _after(session: Session, action: str) -> Session:
    following = session.fork()
    following.step(action)
    return following
