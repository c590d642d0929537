"""Writes a made-up run directory that looks like a real one: a small shop, an expert that slips, two methods.

By hand: python tests/report/synthetic_run.py FOLDER [TRAIN_TASKS]; 260 training tasks give about 10,000 trajectories.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

from eef_framework.evaluation.evaluate import difference_of, evaluation_of
from eef_framework.records import (
    Attribution,
    Cost,
    Example,
    Message,
    Observation,
    Origin,
    Probe,
    Response,
    ResultRow,
    RunMetrics,
    Segment,
    Step,
    SuccessRule,
    Task,
    Trajectory,
    Verdict,
)

RULE = SuccessRule(threshold=1.0)
NOUNS = ("lamp", "mug", "backpack", "desk fan", "rain jacket", "headphones", "notebook", "water bottle")
ATTRIBUTES = ("dimmable", "dishwasher safe", "foldable", "quiet", "waterproof", "wireless", "recycled", "insulated")
COLOURS = ("black", "blue", "green", "red")
SIZES = ("small", "medium", "large")
PAGE, LIMIT = 4, 15
KINDS = ("easy", "paging", "go back", "paging and go back")


@dataclass
class Shop:
    """A catalogue of one task, and where the shopper is in it."""

    task: Task
    items: list[dict]
    target: int
    colour: str
    size: str
    where: str = "start"
    page: int = 0
    item: int = -1
    chosen: dict = field(default_factory=dict)
    reward: float = 0.0
    done: bool = False

    def text(self) -> str:
        head = f"Instruction: {self.task.instruction}\n"
        if self.done:
            return f"{head}Thank you for shopping with us! Your score (0 to 1): {self.reward:.2f}"
        if self.where == "start":
            return f"{head}[Search]"
        if self.where == "results":
            shown = range(self.page * PAGE, min(len(self.items), (self.page + 1) * PAGE))
            lines = [f"[B{k:03d}] {self.items[k]['title']}  ${self.items[k]['price']:.2f}" for k in shown]
            pages = math.ceil(len(self.items) / PAGE)
            return (
                f"{head}[Back to Search]  Page {self.page + 1} of {pages}\n" + "\n".join(lines) + "\n[< Prev] [Next >]"
            )
        item = self.items[self.item]
        options = "\n".join(
            f"{name}: " + " ".join(f"[{v}{' (chosen)' if self.chosen.get(name) == v else ''}]" for v in values)
            for name, values in (("color", COLOURS), ("size", SIZES))
        )
        words = f"{item['title']}\n{item['details']}\nPrice: ${item['price']:.2f}"
        return f"{head}[Back to Results]\n{words}\n{options}\n[Buy Now]"

    def right(self) -> str:
        """The action a perfect shopper takes."""
        if self.where == "start":
            return f"search[{self.items[self.target]['noun']}]"
        if self.where == "results":
            wanted = self.target // PAGE
            if self.page == wanted:
                return f"click[B{self.target:03d}]"
            return "click[next >]" if self.page < wanted else "click[< prev]"
        if self.item != self.target:
            return "click[back to results]"
        for name, value in (("color", self.colour), ("size", self.size)):
            if self.chosen.get(name) != value:
                return f"click[{value}]"
        return "click[buy now]"

    def any(self, dice: random.Random) -> str:
        """Some action, mostly a tempting one."""
        if self.where == "start":
            return dice.choice(["search[nice gift]", self.right(), "click[buy now]"])
        if self.where == "results":
            return dice.choice(
                [f"click[B{self.page * PAGE + dice.randrange(3):03d}]", "click[next >]", "click[< prev]"]
            )
        return dice.choice(["click[buy now]"] * 6 + [f"click[{dice.choice(COLOURS)}]"])

    def do(self, action: str) -> bool:
        inner = action[action.index("[") + 1 : -1]
        if action.startswith("search"):
            self.where, self.page = "results", 0
        elif inner == "next >" and self.where == "results" and (self.page + 1) * PAGE < len(self.items):
            self.page += 1
        elif inner == "< prev" and self.where == "results" and self.page:
            self.page -= 1
        elif inner == "back to results" and self.where == "item":
            self.where, self.chosen = "results", {}
        elif inner == "buy now" and self.where == "item":
            self.done = True
            options = (self.chosen.get("color") == self.colour) + (self.chosen.get("size") == self.size)
            self.reward = (1 + 1 + options) / 4 if self.item == self.target else (1 + options) / 8
        elif inner.startswith("B") and self.where == "results" and int(inner[1:]) // PAGE == self.page:
            self.where, self.item, self.chosen = "item", int(inner[1:]), {}
        elif self.where == "item" and inner in COLOURS + SIZES:
            self.chosen["color" if inner in COLOURS else "size"] = inner
        else:
            return False
        return True


def make_shop(number: int, split: str) -> Shop:
    dice = random.Random(f"{split}{number}")
    kind = KINDS[number % len(KINDS)]
    noun, wanted = dice.choice(NOUNS), dice.sample(ATTRIBUTES, 2)
    items = []
    for k in range(12):
        visible = dice.choice(ATTRIBUTES)
        items.append(
            {
                "noun": noun,
                "title": f"{dice.choice(('Alba', 'Brisk', 'Corvo', 'Dune'))} {visible} {noun}, model {k + 1}",
                "details": f"About this item: a {visible} {noun}, {dice.choice(ATTRIBUTES)}. Ships in two days.",
                "price": dice.randrange(8, 60) + 0.99,
            }
        )
    target = dice.randrange(PAGE) if "paging" not in kind else PAGE + dice.randrange(2 * PAGE)
    items[target]["title"] = f"Alba {wanted[0]} {noun}, model {target + 1}"
    items[target]["details"] = f"About this item: a {wanted[0]} {noun}, {wanted[1]}. Ships in two days."
    colour, size = dice.choice(COLOURS), dice.choice(SIZES)
    instruction = (
        f"I am looking for a {noun} that is {wanted[0]} and {wanted[1]}, {colour}, in size {size}, "
        f"and price lower than {items[target]['price'] + 5:.2f} dollars"
    )
    task = Task(id=f"{split}-{number:04d}", environment="shop", split=split, kind=kind, instruction=instruction)
    return Shop(task, items, target, colour, size)


def play(
    shop: Shop, skill: float, seed: str, actor: str, thoughts: bool = True, after_paging: float = 1.0
) -> list[Step]:
    """Go on from the shop's state: the right action with probability skill, lower once the shopper has paged."""
    dice, steps, paged = random.Random(seed), [], shop.page > 0
    while not shop.done and len(steps) < LIMIT:
        right = dice.random() < (skill * after_paging if paged else skill)
        action = shop.right() if right else shop.any(dice)
        paged = paged or action in ("click[next >]", "click[back to results]")
        garbled = not right and dice.random() < 0.05
        valid = shop.do(action)
        thought = f"This {'fits' if right else 'should do'}; I will {action.split('[')[0]} {action.split('[')[1][:-1]}."
        response = None
        if thoughts:
            text = f"{thought} {action}" if garbled else f"Thought: {thought}\nAction: {action}"
            response = Response(text=text, thought="" if garbled else thought, parsed=not garbled, prompt_tokens=120)
        steps.append(
            Step(
                action=action,
                observation=Observation(text=shop.text()),
                reward=shop.reward,
                terminated=shop.done,
                truncated=not shop.done and len(steps) + 1 == LIMIT,
                valid=valid,
                response=response,
            )
        )
    return steps


def trajectory(number: int, split: str, ident: str, actor: str, skill: float, **options) -> Trajectory:
    """Play a task, from the start or, given `base` and `state`, on from a state of another trajectory."""
    base, state = options.pop("base", None), options.pop("state", 0)
    shop = make_shop(number, split)
    initial = Observation(text=shop.text())
    prefix = base.steps[:state] if base else ()
    for step in prefix:
        shop.do(step.action)
    steps = (*prefix, *play(shop, skill, ident, actor, **options))
    lost = random.Random(ident + "lost").random() < 0.01
    return Trajectory(
        id=ident,
        task=shop.task,
        actor=actor,
        origin=Origin(trajectory=base.id, state=state) if base else None,
        initial=initial,
        steps=steps[: len(prefix) + 2] if lost else steps,
        reward=0.0 if lost else shop.reward,
        ending="error" if lost else ("terminated" if shop.done else "truncated"),
        error="step timed out after 120 s" if lost else "",
        seconds=round(0.21 * len(steps), 2),
    )


def attribute(demonstration: Trajectory, simulations: dict[int, list[Trajectory]]) -> Attribution:
    wins = {state: sum(map(RULE.holds, runs)) for state, runs in simulations.items()}
    states, segments = sorted(simulations), []
    for before, after in itertools.pairwise(states):
        was, now = wins[before] > 0, wins[after] > 0
        verdict = Verdict.NEUTRAL if was == now else (Verdict.BENEFICIAL if now else Verdict.HARMFUL)
        reason = (
            f"{wins[before]} of {len(simulations[before])} before, {wins[after]} of {len(simulations[after])} after"
        )
        segments.append(Segment(start=before, end=after, verdict=verdict, reason=reason))
    return Attribution(
        trajectory=demonstration.id,
        length=len(demonstration.steps),
        segments=tuple(segments),
        probes=tuple(
            Probe(state=state, simulations=tuple(t.id for t in simulations[state]), successes=wins[state])
            for state in states
            if state
        ),
        method="paper",
    )


def example(source: str, base: Trajectory, states: list[int]) -> Example:
    messages = (Message(role="user", content=base.initial.text), Message(role="assistant", content="x", weight=1))
    ident = f"{base.id}#{source}@{states[0]}"
    return Example(
        id=ident, messages=messages, task=base.task.id, source=source, trajectory=base.id, states=tuple(states)
    )


class Writer:
    """Files of rows below a folder."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def rows(self, name: str, rows: list) -> None:
        path = self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(row.model_dump_json() + "\n" for row in rows))

    def log(self, name: str, steps: int, level: float) -> None:
        dice, path = random.Random(name), self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        losses = (level * (0.25 + math.exp(-step / (steps / 5))) * dice.uniform(0.85, 1.15) for step in range(steps))
        path.write_text("".join(json.dumps({"step": k, "loss": round(x, 4)}) + "\n" for k, x in enumerate(losses)))


def explore(name: str, number: int, demonstration: Trajectory, skill: float, probes: int, n: int) -> tuple:
    """Return the episodes from the start, the simulations, and the attribution of one task."""
    starts = [
        trajectory(number, "train", f"{name}/{demonstration.task.id}/s0/{k}", f"agent/{name}", skill, after_paging=0.85)
        for k in range(n if probes else n * 4)
    ]
    length = len(demonstration.steps)
    gap = max(1, length // (probes + 1))
    states = [gap * k for k in range(1, probes + 1) if gap * k < length]
    simulations = {
        state: [
            trajectory(
                number,
                "train",
                f"{name}/{demonstration.task.id}/s{state}/{k}",
                f"agent/{name}",
                skill,
                base=demonstration,
                state=state,
                after_paging=0.85,
            )
            for k in range(n)
        ]
        for state in states
    }
    found = attribute(demonstration, {0: starts, **simulations}) if probes else None
    return starts, [t for runs in simulations.values() for t in runs], found


def select(demonstrations: list[Trajectory], pools: list[tuple]) -> list[Example]:
    chosen = [example("expert", d, list(range(len(d.steps)))) for d in demonstrations if RULE.holds(d)]
    for starts, simulations, found in pools:
        won = [t for t in starts if RULE.holds(t)]
        if won:
            chosen.append(example("agent", won[0], list(range(len(won[0].steps)))))
            continue
        continued = [t for t in simulations if RULE.holds(t)]
        if continued:
            best = min(continued, key=lambda t: t.prefix_length)
            helped = [k for k in range(best.prefix_length) if found.verdict(k) is Verdict.BENEFICIAL]
            chosen.append(example("continuation", best, helped + list(range(best.prefix_length, len(best.steps)))))
        for state in found.needing_recovery if found else ():
            out = [t for t in continued if t.prefix_length == state]
            chosen += [example("recovery", t, list(range(state, len(t.steps)))) for t in out]
    return chosen


def write_run(run: Path, train: int = 9, test: int = 12, probes: int = 3, n: int = 2) -> Path:
    """Write a finished run of `eef` with the baseline `rft-matched`, two iterations each."""
    writer = Writer(run)
    demonstrations = [
        trajectory(k, "train", f"expert/train-{k:04d}", "expert/shopper", 0.93, thoughts=False, after_paging=0.5)
        for k in range(train)
    ]
    won = [d for d in demonstrations if RULE.holds(d)]
    writer.rows("collect/trajectories.jsonl", demonstrations)
    writer.rows("clone/examples.jsonl", [example("expert", d, list(range(len(d.steps)))) for d in won])
    writer.log("clone/checkpoint/training.jsonl", 300, 2.2)
    tests, rows, stages = {}, [], {"collect": Cost(episodes=train, steps=train * 8, seconds=3.2)}
    stages["clone"] = Cost(trained_tokens=400_000, seconds=41)
    spent = stages["clone"]

    def evaluate(
        label: str, folder: str, skill: float, paging: float, cost: Cost, method: str = "", iteration: int = 0
    ):
        thoughts = not label.startswith("expert")
        tests[label] = [
            trajectory(k, "test", f"{folder}/test-{k:04d}", label, skill, thoughts=thoughts, after_paging=paging)
            for k in range(test)
        ]
        writer.rows(f"{folder}/trajectories.jsonl", tests[label])
        evaluation = evaluation_of(label, tests[label], RULE, "test")
        rows.append(ResultRow(label=label, method=method, iteration=iteration, evaluation=evaluation, cost=cost))
        stages[folder] = Cost(episodes=test, steps=test * 7, computed_tokens=test * 900, seconds=2.4)

    evaluate("expert", "evaluate/expert", 0.93, 0.5, Cost())
    evaluate("clone", "evaluate/clone", 0.87, 0.85, spent)
    for method, skills in {"eef": (0.87, 0.91, 0.94), "rft-matched": (0.87, 0.89, 0.91)}.items():
        total = spent
        for iteration in (1, 2):
            name, folder = f"{method}-{iteration}", f"methods/{method}/{iteration}"
            count = probes if method == "eef" else 0
            pools = [explore(name, k, d, skills[iteration - 1], count, n) for k, d in enumerate(demonstrations)]
            writer.rows(f"{folder}/explore/simulations.jsonl", [t for s, m, _ in pools for t in (*s, *m)])
            if count:
                writer.rows(f"{folder}/explore/attributions.jsonl", [a for _, _, a in pools])
            writer.rows(f"{folder}/select/examples.jsonl", select(demonstrations, pools))
            writer.log(f"{folder}/tune/checkpoint/training.jsonl", 200, 1.0 / iteration)
            played = sum(len(s) + len(m) for s, m, _ in pools)
            explored = Cost(
                episodes=played,
                simulations=sum(len(m) for _, m, _ in pools),
                steps=played * 6,
                computed_tokens=played * 800,
                seconds=played * 0.05,
            )
            tuned = Cost(trained_tokens=250_000, seconds=29)
            stages[f"{folder}/explore"], stages[f"{folder}/tune"] = explored, tuned
            total = total + explored + tuned
            evaluate(
                f"{method} {iteration}",
                f"{folder}/evaluate",
                skills[iteration],
                0.85 + 0.05 * iteration * (method == "eef"),
                total,
                method,
                iteration,
            )
    others = ("rft-matched 2", "clone", "expert")
    metrics = RunMetrics(
        threshold=1.0,
        rows=tuple(rows),
        differences=tuple(difference_of(f"eef 2 - {o}", tests["eef 2"], tests[o], RULE) for o in others),
        stages=stages,
        notes=("New goals in the shop the agent was trained in: nothing is claimed about other shops.",),
    )
    (run / "metrics.json").write_text(metrics.model_dump_json(indent=1))
    versions = {"eef-framework": "0.1.0", "python": "3.11.2", "torch": "2.4.0", "transformers": "4.51.0"}
    git = {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False}
    manifest = {"format": 1, "created": "2026-01-05T10:00:00+00:00", "versions": versions, "seed": 0, "git": git}
    (run / "run.json").write_text(json.dumps(manifest))
    (run / "config.yaml").write_text(
        "seed: 0\nenvironment: {name: shop, products: 300}\nexpert: {name: shopper}\npolicy: {name: transformers, "
        "model: tiny}\nmethod: eef\niterations: 2\nattributor: {name: paper, probes: 3, simulations: 2}\n"
        "success: {threshold: 1.0}\nbaselines: [rft-matched]\n"
    )
    return run


if __name__ == "__main__":
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    write_run(Path(sys.argv[1]), train=tasks, test=max(12, tasks // 2))
