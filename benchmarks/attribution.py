"""How well does a strategy find the actions that helped or harmed, and what does it cost? In a world where it is known.

A made-up trajectory has a chance of success for each of its states, `noise` or `1 - noise`: an action is beneficial
where the chance rises, harmful where it falls, and neutral elsewhere. How many such flips a trajectory has is drawn
from `--flips` (chances of 0, 1, 2, ...; the default is assumed, not measured); each place is equally likely.
Simulations succeed with the chance of their state. Every strategy gets the same trajectories and outcomes.

An action counts as found if its verdict is the true one; precision is over all actions called beneficial or harmful,
recall over all that are; the last action, after which no state can be simulated, isn't counted. `false_harm` is the
share of trajectories without a harmful action in which some action is called harmful. Means with 95 % t-intervals over
groups of trajectories. The JSON file holds a row for each strategy, n and length: the points of a plot.

    python benchmarks/attribution.py
    python benchmarks/attribution.py --strategies '{name: interval, probes: 8, simulations: $n}' '{name: my_ideas:Mine}'
"""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from string import Template
from typing import Any

import yaml
from common import arguments, finish, interval, table

from eef_framework import Attributor, Segment, Verdict, derive, load_plugins
from eef_framework.evaluation.intervals import over_seeds
from eef_framework.testing.simulate import ScriptedSimulate, demonstration

CLAIMS = (Verdict.BENEFICIAL, Verdict.HARMFUL)
STRATEGIES = ["{name: interval, simulations: $n}", "{name: interval, simulations: $n, decide: majority}"]
MEASURES = ("simulations", "precision", "recall", "f1", "false_harm")


def main() -> None:
    args = arguments(
        __doc__,
        {"n": [1, 4], "lengths": [6, 24], "trajectories": 10, "groups": 3},
        strategies=(STRATEGIES, "attributors with settings, as YAML; $n is filled in"),
        n=([1, 2, 4, 8], "simulations from a state"),
        lengths=([6, 12, 24, 40, 60], "actions of a trajectory"),
        trajectories=(50, "in each group"),
        groups=(10, "intervals are over these"),
        noise=(0.1, "chance that a simulation ends otherwise than is usual from its state"),
        flips=([0.2, 0.6, 0.2], "chances of 0, 1, 2, ... flips"),
    )
    registry = load_plugins()

    def built(spec: str, n: int) -> Attributor:
        return registry.build("attributor", yaml.safe_load(Template(spec).safe_substitute(n=n)))

    rows = [
        {"strategy": spec, "n": n, "length": length} | measured(built(spec, n), length, args)
        for spec in args.strategies
        for n in args.n
        for length in args.lengths
    ]
    header = ["strategy", "n", "length", *MEASURES]
    digits = {"simulations": 1}
    text = table(
        header,
        [[*map(row.get, header[:3]), *(interval(row[m], digits.get(m, 2)) for m in MEASURES)] for row in rows],
    )
    certain = [false_claims(built(spec, 1), length, args) for spec in args.strategies for length in args.lengths]
    complete = registry.build("attributor", {"name": "interval", "probes": max(args.lengths)})
    perfect = measured(complete, max(args.lengths), args, noise=0.0)
    checks = {
        "without noise, no segment is called what it isn't": sum(certain) == 0,
        "without noise, all states probed, every verdict is right": perfect["f1"]["mean"] == 1.0,
    }
    finish(args, {"noise": args.noise, "flips": args.flips, "rows": rows}, text, checks)


def world(length: int, noise: float, flips: list[float], draw: random.Random) -> list[float]:
    """Return the chance of success from each state that can be simulated from."""
    count = min(draw.choices(range(len(flips)), flips)[0], length - 1)
    places = set(draw.sample(range(1, length), count))
    good, chances = draw.random() < 0.5, []
    for state in range(length):
        good ^= state in places
        chances.append(1 - noise if good else noise)
    return chances


def attributed(attributor: Attributor, chances: list[float], seed: int) -> tuple[list[Segment], int]:
    """Return the segments that a strategy finds, and how many simulations it took."""
    trajectory = demonstration(len(chances))
    played = set()

    def outcome(state: int, index: int) -> bool:
        played.add((state, index))
        return random.Random(derive(seed, state, index)).random() < chances[state]

    found = asyncio.run(attributor.attribute(trajectory, ScriptedSimulate(trajectory, outcome)))
    return [part for part in found if isinstance(part, Segment)], len(played)


def truth(chances: list[float], start: int, end: int) -> Verdict:
    if chances[end] == chances[start]:
        return Verdict.NEUTRAL
    return Verdict.BENEFICIAL if chances[end] > chances[start] else Verdict.HARMFUL


def measured(attributor: Attributor, length: int, args: Any, noise: float | None = None) -> dict[str, dict[str, float]]:
    """Return means over groups, with intervals."""
    groups = []
    for group in range(args.groups):
        spent = claimed = true = right = harmless = accused = 0
        for number in range(args.trajectories):
            seed = derive(0, "attribution", length, group, number)
            chances = world(length, args.noise if noise is None else noise, args.flips, random.Random(seed))
            segments, simulations = attributed(attributor, chances, seed)
            verdicts = {k: segment.verdict for segment in segments for k in range(segment.start, segment.end)}
            actual = [truth(chances, *pair) for pair in pairwise(range(length))]
            spent += simulations
            claimed += sum(verdicts.get(k) in CLAIMS for k in range(length - 1))
            true += sum(verdict in CLAIMS for verdict in actual)
            right += sum(verdict in CLAIMS and verdicts.get(k) == verdict for k, verdict in enumerate(actual))
            if Verdict.HARMFUL not in actual:
                harmless += 1
                accused += Verdict.HARMFUL in verdicts.values()
        precision, recall = right / max(1, claimed), right / max(1, true)
        f1 = 2 * right / max(1, claimed + true)
        values = (spent / args.trajectories, precision, recall, f1, accused / max(1, harmless))
        groups.append(dict(zip(MEASURES, values, strict=True)))
    return {name: over_seeds([each[name] for each in groups]).model_dump() for name in MEASURES}


def false_claims(attributor: Attributor, length: int, args: Any) -> int:
    """Count the segments that are called beneficial or harmful and aren't, where simulations can't err."""
    found = 0
    for number in range(args.trajectories):
        seed = derive(0, "certain", length, number)
        chances = world(length, 0.0, args.flips, random.Random(seed))
        for segment in attributed(attributor, chances, seed)[0]:
            inside = segment.end < length and segment.verdict in CLAIMS
            found += inside and truth(chances, segment.start, segment.end) != segment.verdict
    return found


if __name__ == "__main__":
    main()
