"""Counts over all rows of a run, including those that the page leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from eef_framework.evaluation.intervals import success_rate
from eef_framework.records import Attribution, Estimate, Example, SuccessRule, Trajectory


@dataclass
class EpisodeCounts:
    """Number of episodes by outcome."""

    wins: int = 0
    n: int = 0
    lost: int = 0
    """Episodes lost to infrastructure errors; not included in n."""

    def add(self, trajectory: Trajectory, rule: SuccessRule) -> None:
        """Count an episode."""
        if trajectory.lost:
            self.lost += 1
        else:
            self.wins += rule.holds(trajectory)
            self.n += 1

    @property
    def rate(self) -> Estimate:
        """Success rate without lost episodes."""
        return success_rate(self.wins, self.n)

    @property
    def strict_rate(self) -> Estimate:
        """Success rate with lost episodes counted as failures, as in evaluations."""
        return success_rate(self.wins, self.n + self.lost)

    def __add__(self, other: EpisodeCounts) -> EpisodeCounts:
        return EpisodeCounts(self.wins + other.wins, self.n + other.n, self.lost + other.lost)


@dataclass
class ExplorationCounts:
    """Counts of one iteration's exploration."""

    starts: dict[str, EpisodeCounts] = field(default_factory=lambda: defaultdict(EpisodeCounts))
    """By task: episodes from the initial state."""
    simulations: dict[str, EpisodeCounts] = field(default_factory=lambda: defaultdict(EpisodeCounts))
    """By task: episodes from states of the demonstration."""
    probes: dict[int, EpisodeCounts] = field(default_factory=lambda: defaultdict(EpisodeCounts))
    """By the probe's position along the demonstration, counted from 1."""
    probed_tasks: set[str] = field(default_factory=set)
    """Tasks of the attributed demonstrations."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Verdict -> number of the expert's actions."""
    attributed: int = 0
    """Number of demonstrations with verdicts."""
    alternatives: int = 0
    """Number of single actions that the agent tried in states of the demonstrations."""
    predictions: Counter[bool] = field(default_factory=Counter)
    """Whether an action is the expert's -> number of observations after such actions to predict."""
    reflections: Counter[str] = field(default_factory=Counter)
    """Whether they can be learned from (`usable`, `unusable`, `lost`) -> number of reflections; `absent`: number of the
    expert's actions that have none because answers of the agent there had no action."""

    def add(self, trajectory: Trajectory, rule: SuccessRule) -> None:
        """Count an episode."""
        side = self.simulations if trajectory.origin else self.starts
        side[trajectory.task.id].add(trajectory, rule)

    def attribute(self, attribution: Attribution, task: str | None) -> None:
        """Count the verdicts and probes of one demonstration. `task` is None if unknown."""
        self.attributed += 1
        covered = 0
        for segment in attribution.segments:
            self.verdicts[segment.verdict.value] += segment.end - segment.start
            covered += segment.end - segment.start
        self.verdicts["unknown"] += attribution.length - covered
        if task is not None:
            self.probed_tasks.add(task)
        for k, probe in enumerate((p for p in attribution.own_probes if p.state > 0), start=1):
            self.probes[k] += EpisodeCounts(probe.successes, len(probe.simulations))

    def by_probe(self) -> list[tuple[int, Estimate]]:
        """Return (position of the probe, success rate). Position 0 is the initial state of the probed tasks."""
        if not self.probes:
            return []
        start = sum((self.starts[task] for task in sorted(self.probed_tasks) if task in self.starts), EpisodeCounts())
        return [(k, episodes.rate) for k, episodes in [(0, start), *sorted(self.probes.items())] if episodes.n]

    @property
    def solved(self) -> int:
        """Number of tasks solved from their initial state at least once."""
        return sum(episodes.wins > 0 for episodes in self.starts.values())

    @property
    def solved_with_help(self) -> int:
        """Number of tasks that were solved only from a state of the demonstration."""
        helped = {task for task, episodes in self.simulations.items() if episodes.wins}
        return len(helped - {task for task, episodes in self.starts.items() if episodes.wins})


@dataclass
class RunCounts:
    """Counts of a whole run."""

    demonstrations: EpisodeCounts = field(default_factory=EpisodeCounts)
    demonstrated: dict[str, str] = field(default_factory=dict)
    """Id of a demonstration -> id of its task."""
    tests: dict[str, EpisodeCounts] = field(default_factory=dict)
    """By label (`expert`, `clone`, `eef 1`)."""
    methods: dict[str, str] = field(default_factory=dict)
    """Label -> the method it belongs to; empty if all methods share it."""
    explorations: dict[str, ExplorationCounts] = field(default_factory=dict)
    """By label of the training that follows (`eef 1`)."""
    examples: dict[str, Counter[str]] = field(default_factory=dict)
    """By label of the training: source -> number of trajectories in its examples."""
    filtered: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By label of the training: filter -> number of trajectories that it dropped."""

    def test(self, label: str, method: str) -> EpisodeCounts:
        """Return the counts of an evaluation."""
        self.methods[label] = method
        return self.tests.setdefault(label, EpisodeCounts())

    def learn(self, training: str, sources: dict[str, set[str]]) -> None:
        """Set the trajectories of a training's examples: source -> ids."""
        self.examples[training] = Counter({source: len(ids) for source, ids in sources.items()})


def sources_of(example: Example, into: dict[str, set[str]]) -> None:
    """Add an example's trajectory to the ids of its source."""
    into.setdefault(example.source or "unnamed", set()).add(example.trajectory or example.id)
