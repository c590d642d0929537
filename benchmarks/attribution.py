"""How well does a strategy find the actions that helped or harmed, and what does it cost? In worlds where it is known.

An action is beneficial where it raises the agent's chance of success by at least `--least`, harmful where it lowers it
by as much, and neutral elsewhere. Three worlds:

* `planted`: made-up trajectories. The chance of success is `noise` or `1 - noise` in each state. How many such flips a
  trajectory has is drawn from `--flips` (chances of 0, 1, 2, ...), where they are from `--places`. The defaults are
  what 24 simulations from every state show in 48 failed demonstrations of the generated shop (benchmarks/LOG.md).
* `corridor`: the test world of `eef_framework.testing`, with demonstrations of a fallible expert, and a scripted agent
  whose chance of success is worked out exactly for every state. Values change gradually here, and rise and fall.
* `recorded`: demonstrations and simulations of a real run, from `--recorded`, a folder of `eef explore`. Strategies get
  the first half of the simulations from each state, the others say what is true.

Simulations from initial states that are played anyway (`--initial`, for the last two worlds) aren't counted. Every
strategy gets the same trajectories and outcomes. An action counts as found if its verdict is the true one; precision
is over all actions called beneficial or harmful, recall over all that are; the last action, after which no state can
be simulated, isn't counted. `abstained` is the share of actions whose verdict is unknown. `false_harm` is the share of
segments called harmful among those after which the agent's chance isn't lower. Means with 95 % t-intervals over groups
of trajectories. The JSON file holds a row for each strategy, n and length; an HTML file beside it plots F1 over
simulations.

    python benchmarks/attribution.py
    python benchmarks/attribution.py --strategies '{name: interval, probes: 8, simulations: $n}' '{name: my_ideas:Mine}'
    python benchmarks/attribution.py --worlds recorded --recorded explored --demonstrations demonstrations.jsonl
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any

import yaml
from common import arguments, finish, interval, table

from eef_framework import Attributor, Expert, Policy, Segment, SuccessRule, Task, Trajectory, Verdict, derive
from eef_framework.chat.format import ChatFormat
from eef_framework.evaluation.intervals import mean
from eef_framework.interfaces import Sampling
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Conversation, Estimate, Observation, Response
from eef_framework.report.charts import Line, line_chart
from eef_framework.report.html import render
from eef_framework.rollout import EpisodeRunner, RecordedSimulations, Simulator, attribute, demonstrations
from eef_framework.runs import JsonlFile, read_rows
from eef_framework.testing.corridor import Corridor, success_chance
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy
from eef_framework.testing.simulate import ScriptedSimulate, demonstration

CLAIMS = (Verdict.BENEFICIAL, Verdict.HARMFUL)
MEASURES = ("simulations", "precision", "recall", "f1", "abstained", "false_harm")
RULE = SuccessRule()
STRATEGIES = [
    "{name: all}",
    "{name: random}",
    "{name: interval, simulations: $n, decide: any}",
    "{name: interval, simulations: $n}",
    "{name: interval, simulations: $n, decide: gap, gap: 0.25}",
    "{name: bisect, simulations: $n}",
    "{name: bisect, simulations: $n, decide: gap, gap: 0.25}",
    "{name: sequential, strategy: {name: interval, simulations: $n}}",
    "{name: sequential, strategy: {name: bisect, simulations: $n}}",
    "{name: sequential}",
    "{name: montecarlo, simulations: $n, gap: 0.25, baseline: state}",
    "{name: montecarlo, simulations: $n, gap: 0.25}",
    "{name: judge, judge: '__main__:NoisyJudge'}",
    "{name: propose-verify, simulations: $n, proposer: {name: judge, judge: '__main__:NoisyJudge'}}",
    "{name: first-error, simulations: $n, judge: '__main__:NoisyJudge'}",
    "{name: anchor}",
    "{name: bisect, simulations: $n, prior: anchor}",
    "{name: bisect, simulations: $n, decide: gap, gap: 0.25, prior: anchor}",
    "{name: sequential, strategy: {name: bisect, simulations: $n, prior: anchor}}",
    "{name: propose-verify, simulations: $n, proposer: anchor}",
    "{name: substitute, simulations: $n}",
]


@dataclass
class Case:
    """A trajectory whose truth is known.

    Attributes:
        trajectory: what is attributed.
        chances: the agent's chance of success from each state that can be simulated from.
        least: smallest change that counts.
    """

    trajectory: Trajectory
    chances: Sequence[float]
    least: float

    def truth(self, start: int, end: int) -> Verdict:
        """Return the true verdict on the actions between two states."""
        change = self.chances[end] - self.chances[start]
        if abs(change) < self.least - 1e-9:
            return Verdict.NEUTRAL
        return Verdict.BENEFICIAL if change > 0 else Verdict.HARMFUL

    def attributed(self, attributor: Attributor) -> tuple[Sequence[Segment], int]:
        """Return the segments that a strategy finds, and how many simulations it took."""
        raise NotImplementedError


@dataclass
class Planted(Case):
    """A made-up trajectory."""

    seed: int

    def attributed(self, attributor: Attributor) -> tuple[Sequence[Segment], int]:
        """Simulate with made-up outcomes."""
        played = set()

        def outcome(state: int, index: int) -> bool:
            played.add((state, index))
            return random.Random(derive(self.seed, state, index)).random() < self.chances[state]

        found = asyncio.run(attributor.attribute(self.trajectory, ScriptedSimulate(self.trajectory, outcome)))
        return [part for part in found if isinstance(part, Segment)], len(played)


@dataclass
class Real(Case):
    """A trajectory of a world that is played, or was."""

    simulations: Simulator | RecordedSimulations
    initial: int

    def attributed(self, attributor: Attributor) -> tuple[Sequence[Segment], int]:
        """Play, or look up, the simulations."""
        found = asyncio.run(attribute(attributor, self.trajectory, self.simulations))
        asked = [(probe.state == 0 and not probe.inserted, len(probe.simulations)) for probe in found.probes]
        return found.segments, sum(max(0, n - self.initial) if start else n for start, n in asked)


def planted(length: int, group: int, args: Any, noise: float | None = None) -> Iterator[Case]:
    """Yield made-up trajectories."""
    for number in range(args.trajectories):
        seed = derive(0, "attribution", length, group, number)
        chances = world(length, args.noise if noise is None else noise, args, random.Random(seed))
        trajectory = demonstration(length)
        task = trajectory.task.changed(instruction=f"made up {seed}")  # judges are asked once for each trajectory
        yield Planted(trajectory.changed(id=f"{trajectory.id}/{seed}", task=task), chances, args.least, seed)


def world(length: int, noise: float, args: Any, draw: random.Random) -> list[float]:
    """Return the chance of success from each state that can be simulated from."""
    quarter = [args.places[4 * (state - 1) // (length - 1)] for state in range(1, length)]
    count = min(draw.choices(range(len(args.flips)), args.flips)[0], sum(share > 0 for share in quarter))
    places: set[int] = set()
    while len(places) < count:
        places |= set(draw.choices(range(1, length), quarter))
    good, chances = draw.random() < 0.5, []
    for state in range(length):
        good ^= state in places
        chances.append(1 - noise if good else noise)
    return chances


@contextmanager
def corridors(args: Any) -> Iterator[list[list[Case]]]:
    """Provide groups of demonstrations in the corridor."""
    corridor = Corridor(tasks_per_split=args.groups * args.trajectories * 3 // 2)
    tasks = [task for task in corridor.tasks("train") if task.kind != "short"]  # two of three
    agent = ScriptedPolicy(skill=args.skill)

    async def demonstrated() -> list[Trajectory]:
        return [each async for each in demonstrations(CorridorExpert(), corridor, tasks, 0)]

    found = asyncio.run(demonstrated())
    runner = EpisodeRunner(corridor, agent, "agent/corridor", ChatFormat(), Sampling())
    with tempfile.TemporaryDirectory() as folder, JsonlFile(Path(folder) / "simulations.jsonl", Trajectory) as rows:
        simulator = Simulator(
            runner.play, rows, "eef/1", 0, RULE, demonstrations=found, initial_simulations=args.initial
        )
        cases = []
        for trajectory in found:
            with corridor.open(trajectory.task) as session:
                chances = [success_chance(session, args.skill)]
                for step in trajectory.steps[:-1]:
                    session.step(step.action)
                    chances.append(success_chance(session, args.skill))
            cases.append(Real(trajectory, chances, args.least, simulator, args.initial))
        yield grouped(cases, args.groups)


def recorded(args: Any) -> list[list[Case]]:
    """Return groups of demonstrations of a real run, with simulations from each of their states."""
    of_state: dict[tuple[str, int], list[Trajectory]] = defaultdict(list)
    for row in read_rows(Path(args.recorded) / "simulations.jsonl", Trajectory):
        start = (row.origin.trajectory, row.origin.state) if row.origin else (row.task.id, 0)
        of_state[start].append(row)
    halves = {start: len(rows) // 2 for start, rows in of_state.items()}
    shown = [row for start, rows in of_state.items() for row in rows[: halves[start]]]
    chances = {s: sum(map(RULE.holds, rows[halves[s] :])) / (len(rows) - halves[s]) for s, rows in of_state.items()}
    found = list(read_rows(Path(args.demonstrations), Trajectory))
    cases: list[Case] = []
    for each in found:
        states = [(each.id, state) if state else (each.task.id, 0) for state in range(len(each.steps))]
        if all(state in chances for state in states):
            simulations = RecordedSimulations(shown, RULE, found, args.initial)
            cases.append(Real(each, [chances[state] for state in states], args.least, simulations, args.initial))
    return grouped(cases, args.groups)


def grouped(cases: Sequence[Case], groups: int) -> list[list[Case]]:
    """Divide cases into groups of nearly equal size."""
    return [list(cases[number::groups]) for number in range(groups)]


class NoisyJudge(Expert):
    """A judge that is right about a step with the chance `--judge`, and otherwise gives any label."""

    name = "noisy-judge"

    async def demonstrate(self, environment: Any, tasks: Sequence[Task], seed: int) -> AsyncIterator[Trajectory]:
        """Demonstrate nothing."""
        for none in ():
            yield none

    @contextmanager
    def open_policy(self) -> Iterator[Policy]:
        """Provide the model."""
        yield NoisyPolicy()


class NoisyPolicy(Policy):
    """The judge's model. It knows the case that is being attributed."""

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        """Label all steps, or name the first mistake."""
        case, right = SHOWN[-1]
        labels = []
        for k in range(len(case.chances) - 1):
            draw = random.Random(derive(0, "judge", case.trajectory.id, *map(str, case.chances), k))
            true = {"beneficial": "good", "harmful": "mistake", "neutral": "unnecessary"}[case.truth(k, k + 1)]
            labels.append(true if draw.random() < right else draw.choice(["good", "mistake", "unnecessary"]))
        first = labels.index("mistake") + 1 if "mistake" in labels else "none"
        lines = [f"{k}: {label}" for k, label in enumerate(labels, start=1)]
        asked = conversation[-1].content
        return Response(text=f"First mistake: {first}" if "First mistake" in asked else "\n".join(lines))


SHOWN: list[tuple[Case, float]] = []


def measured(attributor: Attributor, groups: Sequence[Sequence[Case]], right: float) -> dict[str, dict[str, float]]:
    """Return means over groups, with intervals."""
    found = []
    for cases in groups:
        spent = claimed = true = correct = silent = actions = accused = innocent = 0
        for case in cases:
            SHOWN[:] = [(case, right)]
            segments, simulations = case.attributed(attributor)
            last = len(case.chances) - 1
            verdicts = {k: segment.verdict for segment in segments for k in range(segment.start, segment.end)}
            actual = [case.truth(*pair) for pair in pairwise(range(len(case.chances)))]
            spent += simulations
            actions += last
            silent += sum(verdicts.get(k, Verdict.UNKNOWN) is Verdict.UNKNOWN for k in range(last))
            claimed += sum(verdicts.get(k) in CLAIMS for k in range(last))
            true += sum(verdict in CLAIMS for verdict in actual)
            correct += sum(verdict in CLAIMS and verdicts.get(k) == verdict for k, verdict in enumerate(actual))
            fair = [s for s in segments if s.end <= last and case.chances[s.end] >= case.chances[s.start]]
            innocent += len(fair)
            accused += sum(segment.verdict is Verdict.HARMFUL for segment in fair)
        values = (
            spent / max(1, len(cases)),
            correct / max(1, claimed),
            correct / max(1, true),
            2 * correct / max(1, claimed + true),
            silent / max(1, actions),
            accused / max(1, innocent),
        )
        found.append(dict(zip(MEASURES, values, strict=True)))
    return {name: mean([each[name] for each in found]).model_dump() for name in MEASURES}


def false_claims(attributor: Attributor, length: int, args: Any) -> int:
    """Count the segments that are called beneficial or harmful and aren't, where simulations can't err."""
    found = 0
    for case in planted(length, 0, args, noise=0.0):
        for segment in case.attributed(attributor)[0]:
            inside = segment.end < length and segment.verdict in CLAIMS
            found += inside and case.truth(segment.start, segment.end) != segment.verdict
    return found


def rows_of(name: str, groups: Sequence[Sequence[Case]], length: int | str, args: Any, registry: Registry) -> list[Any]:
    """Measure all strategies in one world."""
    rows = []
    for spec in args.strategies:
        if not possible(name, spec):
            continue
        for n in args.n if "$n" in spec else args.n[:1]:
            attributor = built(registry, spec, n)
            row = {"world": name, "strategy": spec, "n": n if "$n" in spec else "", "length": length}
            rows.append(row | measured(attributor, groups, args.judge))
            print(".", end="", flush=True)
    return rows


def possible(name: str, spec: str) -> bool:
    """Return whether a strategy can be tried in a world."""
    if name == "planted" and any(word in spec for word in ("anchor", "substitute")):
        return False  # made-up trajectories have no other episodes
    own_actions = "montecarlo" in spec and "baseline: state" not in spec
    return not (name != "corridor" and (own_actions or "substitute" in spec))  # nobody acted elsewhere


def built(registry: Registry, spec: str, n: int) -> Attributor:
    """Build a strategy from its YAML, in which `$n` stands for the number of simulations."""
    return registry.build("attributor", yaml.safe_load(Template(spec).safe_substitute(n=n)))


def main() -> None:
    args = arguments(
        __doc__,
        {"n": [1, 4], "lengths": [6, 24], "trajectories": 8, "groups": 3},
        strategies=(STRATEGIES, "attributors with settings, as YAML; $n is filled in"),
        worlds=(["planted", "corridor"], "planted, corridor, recorded"),
        n=([1, 2, 4, 8], "simulations from a state"),
        lengths=([6, 24, 60], "actions of a planted trajectory"),
        trajectories=(25, "in each group"),
        groups=(8, "intervals are over these"),
        noise=(0.1, "chance that a simulation of a planted trajectory ends otherwise than is usual from its state"),
        flips=([0.31, 0.38, 0.29, 0.02], "chances of 0, 1, 2, ... flips"),
        places=([0.08, 0.04, 0.52, 0.36], "shares of flips in the quarters of a trajectory"),
        least=(0.2, "smallest change of the chance of success that counts"),
        skill=(0.5, "the agent's in the corridor"),
        initial=(4, "episodes from initial states that are played anyway"),
        judge=(0.7, "chance that the judge is right about a step"),
        recorded=("", "folder of eef explore, for the world recorded"),
        demonstrations=("", "file that it explored"),
    )
    registry = load_plugins()
    rows = []
    if "planted" in args.worlds:
        for length in args.lengths:
            groups = [list(planted(length, group, args)) for group in range(args.groups)]
            rows += rows_of("planted", groups, length, args, registry)
    if "corridor" in args.worlds:
        with corridors(args) as groups:
            rows += rows_of("corridor", groups, "", args, registry)
            print(kinds("corridor", groups))
    if "recorded" in args.worlds:
        groups = recorded(args)
        rows += rows_of("recorded", groups, "", args, registry)
        print(kinds("recorded", groups))
    header = ["world", "strategy", "n", "length", *MEASURES]
    digits = {"simulations": 1}
    text = table(
        header,
        [[*map(row.get, header[:4]), *(interval(row[m], digits.get(m, 2)) for m in MEASURES)] for row in rows],
    )
    simulating = [spec for spec in args.strategies if "Noisy" not in spec and "$n" in spec]
    certain = [
        false_claims(built(registry, spec, 1), length, args)
        for spec in simulating
        for length in args.lengths
        if possible("planted", spec)
    ]
    longest = max(args.lengths)
    complete = registry.build("attributor", {"name": "interval", "probes": longest})
    perfect = measured(complete, [list(planted(longest, g, args, noise=0.0)) for g in range(args.groups)], args.judge)
    checks = {
        "without noise, no segment is called what it isn't": sum(certain) == 0,
        "without noise, all states probed, every verdict is right": perfect["f1"]["mean"] == 1.0,
    }
    args.out.with_suffix(".html").write_text(plots(rows), encoding="utf-8")
    finish(args, {"noise": args.noise, "flips": args.flips, "places": args.places, "rows": rows}, text, checks)


def plots(rows: Sequence[dict[str, Any]]) -> str:
    """Return a page with F1 over simulations for each world and length, four strategies in a chart."""
    figures = []
    for world_name, length in dict.fromkeys((row["world"], row["length"]) for row in rows):
        here = [row for row in rows if (row["world"], row["length"]) == (world_name, length)]
        specs = [spec for spec in dict.fromkeys(row["strategy"] for row in here) if "$n" in spec]
        most = max((row["simulations"]["mean"] for row in here), default=1.0)
        ticks = [(float(k), f"{2**k}") for k in range(math.ceil(math.log2(max(most, 2))) + 1)]
        for few in batched(specs, 4):
            lines = [
                Line(spec, f"s-{k}", k, [point(row) for row in here if row["strategy"] == spec])
                for k, spec in enumerate(few)
            ]
            title = f"{world_name} {length}".strip()
            figure = line_chart(title, lines, ticks, "simulations (marks are moved apart a little)", shares=False)
            figure.remove(figure[-1])  # its table of numbers, by tick; they stand in the JSON file
            figures.append(render(figure))
    style = resources.files("eef_framework.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"<!doctype html><meta charset=utf-8><title>Attribution</title><style>{style}</style>{''.join(figures)}"


def point(row: dict[str, Any]) -> tuple[float, Estimate]:
    """Return (binary logarithm of the simulations, F1)."""
    return math.log2(max(1.0, row["simulations"]["mean"])), Estimate(**row["f1"])


def batched(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield items in batches."""
    return (items[start : start + size] for start in range(0, len(items), size))


def kinds(name: str, groups: Sequence[Sequence[Case]]) -> str:
    """Say how many actions of a world helped or harmed."""
    cases = [case for cases in groups for case in cases]
    verdicts = [case.truth(*pair) for case in cases for pair in pairwise(range(len(case.chances)))]
    flips = [sum(case.truth(*p) in CLAIMS for p in pairwise(range(len(case.chances)))) for case in cases]
    shares = {verdict.value: verdicts.count(verdict) for verdict in (*CLAIMS, Verdict.NEUTRAL)}
    counts = [flips.count(n) for n in range(max(flips, default=0) + 1)]
    return f"\n{name}: {len(cases)} trajectories, {shares} actions; with 0, 1, 2, ... changes: {counts}"


if __name__ == "__main__":
    main()
