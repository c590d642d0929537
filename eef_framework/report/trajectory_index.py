"""Index of a report's trajectories, and the details that are loaded when one is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Self

from eef_framework.records import (
    Attribution,
    Evidence,
    Example,
    Observation,
    Probe,
    Segment,
    Selected,
    StateId,
    Step,
    SuccessRule,
    Trajectory,
    fingerprint,
)
from eef_framework.report.chunks import TEXT_LIMIT, Chunks

VERDICT_BITS = {"beneficial": 1, "harmful": 2, "neutral": 4, "unknown": 8}
FAILED, SUCCEEDED, LOST, UNKNOWN = range(4)
LINKS = ("attributions", "learned", "weights", "selected", "advice", "alternatives", "reflections")
Alternatives = Mapping[StateId, Mapping[str, tuple[str, list[str]]]]
"""State -> other actions of the agent there, what it observed, and in which trainings."""
Advice = Mapping[StateId, tuple[str, str]]
"""State -> id of the expert's advice, and the action that it advised."""


@dataclass(frozen=True)
class Reflection:
    """What a language model wrote on an action of a demonstration (`explore.reflection`).

    Attributes:
        id: of its row; empty where none was written.
        state: the state before the action.
        writer: the actor that wrote it.
        training: the training that it was written for.
        text: the thought; what was written instead, if it can't be used; empty if the answer was lost.
        status: whether it can be learned from; `absent` where none was written.
        reason: why not.
    """

    id: str
    state: int
    writer: str
    training: str
    text: str
    status: Literal["usable", "unusable", "lost", "absent"]
    reason: str = ""

    @classmethod
    def of(cls, row: Trajectory, training: str) -> Self:
        """Return the reflection of a row."""
        state, response = row.prefix_length, row.steps[-1].response if row.steps else None
        if row.lost or response is None:
            return cls(row.id, state, row.actor, training, "", "lost", row.error)
        if response.parsed:
            return cls(row.id, state, row.actor, training, response.thought, "usable")
        reason = str(response.info.get("unusable", "it isn't a thought that ends before an action"))
        return cls(row.id, state, row.actor, training, response.text, "unusable", reason)


class TrajectoryIndex:
    """Builds the index from a stream of trajectories. Memory holds the index and one chunk, however long the run.

    Args:
        chunks: writes the trajectories.
        rule: which rewards are successes.
    """

    def __init__(self, chunks: Chunks, rule: SuccessRule) -> None:
        self._chunks = chunks
        self._rule = rule
        self._groups: list[dict[str, str]] = []
        self._tasks: dict[tuple[str, str], int] = {}
        self._task_columns: dict[str, list[str]] = {name: [] for name in ("title", "kind", "id", "split")}
        self._numbers: dict[str, int] = {}
        self._states: dict[int, list[str]] = {}
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("id", "group", "task", "outcome", "reward", "steps", "origin", "state", "learned")
        }
        self._verdicts: dict[int, dict[str, int]] = defaultdict(dict)
        self._links: dict[int, dict[str, list[Any]]] = defaultdict(lambda: {name: [] for name in LINKS})
        self._learned_in: dict[str, list[list[str]]] = defaultdict(list)
        """Id of advice or of a reflection -> lists on the page of the trainings that learned it."""

    def __len__(self) -> int:
        return len(self._columns["id"])

    def group(self, title: str, phase: str, label: str) -> int:
        """Add a group of trajectories.

        Args:
            title: shown where trajectories of the group are listed.
            phase: `demonstration`, `start`, `simulation`, `test`, or `file` if they aren't of a run.
            label: the actor, or the training that the exploration belongs to (`eef 1`).

        Returns:
            The group's number, for `add`.
        """
        self._groups.append({"title": title, "phase": phase, "label": label})
        return len(self._groups) - 1

    def add(self, trajectory: Trajectory, group: int) -> None:
        """Add a trajectory. A simulation that comes after its origin shares the origin's steps."""
        number, origin = len(self), trajectory.origin
        self._numbers.setdefault(trajectory.id, number)
        values = {
            "id": trajectory.id,
            "group": group,
            "task": self._task(trajectory),
            "outcome": self._outcome(trajectory),
            "reward": trajectory.reward,
            "steps": len(trajectory.steps),
            "origin": self._numbers.get(origin.trajectory, -1) if origin else -1,
            "state": origin.state if origin else -1,
            "learned": 0,
        }
        for name, value in values.items():
            self._columns[name].append(value)
        if self._groups[group]["phase"] == "demonstration":
            self._states[number] = list(_state_keys(trajectory.initial, trajectory.steps))
        self._chunks.add(trajectory, self._shared(trajectory))

    def attribute(self, attribution: Attribution, training: str) -> None:
        """Add one iteration's verdicts on a demonstration. Ignored if the demonstration isn't on the page."""
        number = self._numbers.get(attribution.trajectory)
        if number is None:
            return
        verdicts = {segment.verdict.value for segment in attribution.segments}
        if sum(s.end - s.start for s in attribution.segments) < attribution.length:
            verdicts.add("unknown")
        self._verdicts[number][training] = sum(VERDICT_BITS[verdict] for verdict in verdicts)
        self._links[number]["attributions"].append(
            {
                "training": training,
                "method": attribution.method,
                "error": attribution.error,
                "cost": [attribution.cost.computed_tokens, attribution.cost.usd],
                "segments": [_segment(segment) for segment in attribution.segments],
                "values": [[v.state, v.mean, v.low, v.high, v.n] for v in attribution.values],
                "probes": [self._probe(probe) for probe in attribution.own_probes],
                "others": [
                    [*self._probe(p), p.trajectory, list(p.inserted)] for p in attribution.probes if p.elsewhere
                ],
            }
        )

    def advise(self, trajectory: Trajectory, advice: Advice) -> None:
        """Add what the expert would have done in the states of a trajectory that was added before."""
        for state in range(len(trajectory.steps)):
            ident, action = advice.get(trajectory.state_id(state), ("", ""))
            if ident:
                trainings: list[str] = []
                self._links[self._numbers[trajectory.id]]["advice"].append([state, action, trainings])
                self._learned_in[ident].append(trainings)

    def add_alternatives(self, trajectory: Trajectory, alternatives: Alternatives) -> None:
        """Add what the agent did otherwise in the states of a demonstration that was added before."""
        for state, own in enumerate(trajectory.actions):
            tried = alternatives.get(trajectory.state_id(state), {})
            entries = [[state, action, *of] for action, of in tried.items() if action != own]
            if entries:
                self._links[self._numbers[trajectory.id]]["alternatives"].extend(entries)

    def add_reflection(self, trajectory: Trajectory, reflection: Reflection) -> None:
        """Add what was written on an action of a demonstration that was added before."""
        trainings: list[str] = []
        text = reflection.text[:TEXT_LIMIT]
        entry = [reflection.state, text, reflection.writer, reflection.training, reflection.status, reflection.reason]
        self._links[self._numbers[trajectory.id]]["reflections"].append([*entry, trainings])
        if reflection.id:
            self._learned_in[reflection.id].append(trainings)

    def learn(self, example: Example, training: str) -> None:
        """Add the steps, the advice or the reflection that a training used. Ignored if they aren't on the page."""
        for trainings in self._learned_in.get(example.trajectory, ()):
            trainings.extend({training}.difference(trainings))
        number = self._numbers.get(example.trajectory)
        if number is None:
            return
        self._columns["learned"][number] = 1
        trained = [message.weight for message in example.messages if message.weight]
        for state, weight in zip(example.states, trained, strict=False):
            if weight != 1:
                self._links[number]["weights"].append([training, state, round(weight, 3)])
        learned = self._links[number]["learned"]
        for entry in learned:
            if entry[:2] == [training, example.source]:
                entry[2] = sorted({*entry[2], *example.states})
                return
        learned.append([training, example.source, sorted(set(example.states))])

    def select(self, row: Selected, training: str) -> None:
        """Add why a training didn't use a trajectory, or which of its actions it left out."""
        number = self._numbers.get(row.trajectory)
        if number is not None and (row.outcome != "learned" or row.left_out):
            self._links[number]["selected"].append([training, row.outcome, row.reason, list(row.left_out)])

    def finish(self) -> dict[str, Any]:
        """Write the remaining chunks and return the index."""
        self._chunks.flush()
        for chunk, (start, end) in enumerate(pairwise([*self._chunks.starts, len(self)])):
            links = {number: self._links[number] for number in range(start, end) if number in self._links}
            self._chunks.write(f"links-{chunk}", links)
        return {
            "groups": self._groups,
            "tasks": self._task_columns,
            "rows": self._columns,
            "verdicts": self._verdicts,
            "chunks": self._chunks.starts,
        }

    def _probe(self, probe: Probe) -> list[Any]:
        numbers = [self._numbers.get(name, -1) for name in probe.simulations]
        return [probe.state, probe.successes, len(probe.simulations), numbers]

    def _outcome(self, trajectory: Trajectory) -> int:
        if trajectory.lost:
            return LOST
        imported = trajectory.info.get("imported")
        if isinstance(imported, dict) and imported.get("reward") is False:  # the file that it is from has none
            return UNKNOWN
        return int(self._rule.holds(trajectory))

    def _task(self, trajectory: Trajectory) -> int:
        task = trajectory.task
        if (task.split, task.id) not in self._tasks:
            self._tasks[task.split, task.id] = len(self._tasks)
            title = task.instruction or " ".join(trajectory.initial.text.split())[:200] or task.id
            for name, value in {"title": title[:400], "kind": task.kind, "id": task.id, "split": task.split}.items():
                self._task_columns[name].append(value)
        return self._tasks[task.split, task.id]

    def _shared(self, trajectory: Trajectory) -> int:
        """Return how many of the first steps are stored with the origin already."""
        if trajectory.origin is None:
            return 0
        state = trajectory.origin.state
        known = self._states.get(self._numbers.get(trajectory.origin.trajectory, -1), [])
        own = list(_state_keys(trajectory.initial, trajectory.steps[:state]))
        return state if len(own) == state + 1 <= len(known) and own[state] == known[state] else 0


def _segment(segment: Segment) -> list[Any]:
    """Return a segment for the page: range, verdict, reason, credit, its interval and number of episodes, tokens."""
    evidence = segment.evidence or Evidence()
    judged = [segment.start, segment.end, segment.verdict.value, segment.reason]
    return [*judged, segment.credit, evidence.low, evidence.high, evidence.simulations, evidence.tokens]


def _state_keys(initial: Observation, steps: Iterable[Step]) -> Iterator[str]:
    """Yield a fingerprint of each state and its history."""
    key = fingerprint(initial.text)
    yield key
    for step in steps:
        key = fingerprint(f"{key}\x1f{step.action}\x1f{step.observation.text}")
        yield key
