"""How long does the method take with an 8B model on 1, 8 and 64 GPUs, and what do its environments need?

A simulation, not a measurement: nothing about an 8B model or a GPU was measured by us. Every number is a parameter in
`simulation/parameters.py`, with its source: a section of benchmarks/LOG.md, or an assumption. Episodes are simulated by
events (servers with a batch, environment workers, queues, the end of a phase); training and loading are formulas.

    python benchmarks/scaling.py                    # WebShop at the paper's size and 100 times that, seconds
    python benchmarks/scaling.py --world sciworld --price 3 --set answer_tokens=200 training_flop=6
"""

from __future__ import annotations

import math
import random
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from common import arguments, finish, table
from simulation.events import Episode, Played, Speed, closed_formula, simulate
from simulation.parameters import BUDGETS, PARAMETERS, WORLDS, P


def main() -> None:
    args = arguments(
        __doc__,
        {"sample": 100, "gpus": [1, 2, 8], "times": [1.0, 2.0]},
        world=("webshop", f"of the first table: {', '.join(WORLDS)}"),
        gpus=([1, 8, 64], "numbers of GPUs"),
        times=([1.0, 100.0], "numbers of tasks, in the paper's"),
        price=(2.5, "of a GPU hour with its host"),
        set=([], "parameters to change, NAME=VALUE", str),
        sample=(800, "episodes for each GPU, then as many again; more go on at the rate of the second half"),
    )
    for name, _, value in (change.partition("=") for change in args.set):
        if name not in PARAMETERS:
            sys.exit(f"--set {name}: expected NAME=VALUE with one of {', '.join(PARAMETERS)}")
        setattr(P, name, type(PARAMETERS[name][0])(float(value)))
    world = WORLDS[args.world]
    runs = [whole_run(world, times, gpus, args) for times in args.times for gpus in args.gpus]
    first = ["tasks", "GPUs", "hours", *(f"{name}, %" for name in PHASES), "GPU hours", "cost", "tail, %"]
    needs = [needed(name, args.sample) for name in WORLDS]
    second = ["", "turns/s", "cores: environment", "cores: caller", "GB", *(f"workers: {each:g}" for each in WORKERS)]
    rate = played(world, 10**9, P.probes, 1, args.sample).rate
    budgets = [
        [name, f1, simulations, P.iterations * P.tasks * simulations / rate / 3600]
        for name, (simulations, f1) in BUDGETS.items()
    ]
    base = whole_run(world, 1, args.gpus[0], args)["GPU hours"]
    others = []
    for change in ASSUMED:
        before = dict(vars(P))
        vars(P).update(change)
        found = whole_run(world, 1, args.gpus[0], args)["GPU hours"]
        vars(P).update(before)
        others.append(
            [", ".join(f"`{name}` {value:g}" for name, value in change.items()), found, f"{found / base:.2f} x"]
        )
    third = ["strategy", "F1 in the shop", "simulations a demonstration", "GPU hours of them", "cost"]
    checks, checked = controls(world, args)
    text = "\n\n".join(
        (
            table(
                ["parameter", "value", "source"],
                [[name, f"{vars(P)[name]:g}", source] for name, (_, source) in PARAMETERS.items()],
            ),
            "\n".join(f"{name}: {found.source}" for name, found in WORLDS.items()),
            table(first, [run.values() for run in runs]),
            table(second, [need.values() for need in needs]),
            table(third, [[*row, row[-1] * args.price] for row in budgets]),
            table(["changed", "GPU hours", "times as many"], others),
            checked,
        )
    )
    report = {"parameters": vars(P), "world": args.world, "price": args.price, "runs": runs, "needs": needs}
    hours = [[run["hours"] for run in runs if run["tasks"] == tasks] for tasks in {run["tasks"] for run in runs}]
    checks["more GPUs are never slower"] = all(more <= less for row in hours for less, more in pairwise(row))
    finish(args, report | {"budgets": budgets, "changed": others}, text, checks)


PHASES = ("exploration", "environments", "evaluation", "training", "loading")
WORKERS = (0.25, 0.5, 1, 2, 4, 16)
"""For each GPU."""
ASSUMED = (
    {"answer_tokens": 200},
    {"observation_tokens": 600},
    {"cached_share": 0.0},
    {"memory_efficiency": 0.3, "prompt_efficiency": 0.2, "training_efficiency": 0.175},
    {"training_flop": 6},
    {"batch": 32, "in_flight": 40},
)
"""Changes whose effect on the paper's run is shown."""


def whole_run(world: SimpleNamespace, times: float, gpus: int, args: Any) -> dict[str, Any]:
    """Return hours, and where they go. Environments: what exploration takes longer than with environments at once."""
    tasks = P.tasks * times
    episodes = tasks * (1 + P.probes)
    explored = played(world, episodes, P.probes, gpus, args.sample)
    bare = min(explored.end, played(world, episodes, P.probes, gpus, args.sample, step_s=0, reset_s=0).end)
    evaluated = played(world, P.test_tasks, 0, gpus, args.sample)
    seconds = {
        "exploration": P.iterations * bare,
        "environments": P.iterations * (explored.end - bare),
        "evaluation": (1 + P.iterations) * evaluated.end,
        "training": training_s(world, tasks * P.expert_success, gpus)
        + P.iterations * training_s(world, tasks * P.examples_per_task, gpus),
        # A server and a trainer for the clone and for each iteration: they share the GPUs in turn.
        "loading": 2 * (1 + P.iterations) * (P.start_s + 2 * P.parameters / P.read_bytes_per_s),
    }
    total = sum(seconds.values())
    shares = {name: round(100 * seconds[name] / total) for name in PHASES}
    hours = total / 3600
    cost = {"GPU hours": hours * gpus, "cost": hours * gpus * args.price}
    return {
        "tasks": f"{tasks:,.0f}",
        "GPUs": gpus,
        "hours": hours,
        **shares,
        **cost,
        "tail": f"{100 * explored.tail / explored.end:.1f}",
    }


def needed(name: str, sample: int) -> dict[str, Any]:
    """Return what one GPU keeps busy while it explores, and how much longer it takes with few workers."""
    world = WORLDS[name]
    explored = played(world, 10**9, P.probes, 1, sample)
    processes = math.ceil(explored.cores)
    gb = world.gb[0] + (processes - 1) * world.gb[1] + P.in_flight * world.mb / 1000
    ends = [played(world, 4 * sample, P.probes, 4, sample, workers=round(4 * each)).end for each in WORKERS]
    caller = explored.turns * P.caller_s
    row = {"": name, "turns/s": explored.turns, "environment": explored.cores - caller, "caller": caller, "GB": gb}
    return row | {f"workers {each}": f"{end / ends[-1]:.2f} x" for each, end in zip(WORKERS, ends, strict=True)}


def turn_tokens() -> float:
    """Return the tokens that a turn adds to a conversation."""
    return P.observation_tokens + P.answer_tokens


def gpu_speed(world: SimpleNamespace) -> Speed:
    """Return the speed of a GPU that serves the model in the middle of an episode."""
    context = P.prompt_tokens + turn_tokens() * sum(world.turns) / 4  # tokens in the middle of an episode
    cached, weights = context * P.cache_bytes_per_token, 2 * P.parameters  # bytes
    reading = P.gpu_bytes_per_s * P.memory_efficiency
    prompt = 2 * P.parameters / (P.gpu_flop_per_s * P.prompt_efficiency)
    batch = min(P.batch, int((P.gpu_bytes * P.memory_share - weights) / cached))
    return Speed(weights / reading, cached / reading, prompt, batch)


def drawn(world: SimpleNamespace, count: int, probes: int) -> list[Episode]:
    """Draw episodes: from initial states and from those of demonstrations in turn, `probes` of them to one initial."""
    rng = random.Random(0)
    episodes = []
    for index in range(count):
        length = rng.randint(*world.turns)
        depth = min(length - 1, index % (probes + 1) * max(1, length // (P.probes + 1)))
        first = (1 - P.cached_share) * (P.prompt_tokens + P.observation_tokens + depth * turn_tokens())
        turns = max(1, rng.randint(*world.turns) - depth)
        answers = [P.answer_tokens * rng.uniform(0.5, 1.5) for _ in range(turns)]
        prompts = [first] + [P.observation_tokens] * (turns - 1)
        episodes.append(Episode(prompts, answers, depth if world.replays else 0))
    return episodes


def played(
    world: SimpleNamespace, count: float, probes: int, gpus: int, sample: int, workers: int = 0, **times: float
) -> SimpleNamespace:
    """Play a phase on at most four of the GPUs, as they are alike, and beyond a sample by its steady rate."""
    share = min(gpus, 4)
    count = math.ceil(count * share / gpus)
    first = sample * share
    seconds = {"step_s": world.step_s + P.caller_s, "reset_s": world.reset_s} | times
    workers = workers or P.cores_per_gpu * share

    def run(number: int) -> tuple[Played, int]:
        episodes = drawn(world, number, probes)
        found = simulate(episodes, gpu_speed(world), share, workers, P.in_flight, **seconds)
        return found, sum(len(episode.answers) for episode in episodes)

    found, turns = run(min(count, 2 * first))
    result = SimpleNamespace(end=found.end, tail=found.end - found.begun)
    if count > 2 * first:
        before, turns_before = run(first)
        between = found.end - before.end
        result.rate, result.turns = first / between / share, (turns - turns_before) / between / share
        result.cores = (found.worked - before.worked) / between / share
        result.end += (count - 2 * first) / result.rate / share
    return result


def training_s(world: SimpleNamespace, examples: float, gpus: int) -> float:
    """Return the duration of a training, in seconds."""
    tokens = examples * P.epochs * (P.prompt_tokens + turn_tokens() * sum(world.turns) / 2)
    speed = P.gpu_flop_per_s * P.training_efficiency / (P.training_flop * P.parameters)
    return tokens / (speed * gpus * (1 - P.loss_per_doubling) ** math.log2(gpus))


def controls(world: SimpleNamespace, args: Any) -> tuple[dict[str, bool], str]:
    """Compare the simulation with a formula, with the work it was given, and with a measured run on two cores."""
    speed, waves, turns = gpu_speed(world), 3, 6
    alike = [Episode([P.observation_tokens] * turns, [P.answer_tokens] * turns)] * (waves * speed.batch)
    formula = closed_formula(speed, waves, turns, P.observation_tokens, P.answer_tokens)
    simulated = simulate(alike, speed, 1, 1, speed.batch, 0.0, 0.0).end

    # Without the part of a step that sequences share, each token takes as long in any batch, so work can be added up.
    episodes, each = drawn(world, args.sample, P.probes), Speed(0.0, 1e-3, speed.prompt, speed.batch)
    found = simulate(episodes, each, 2, 3, P.in_flight, world.step_s, world.reset_s)
    tokens = sum(sum(episode.answers) for episode in episodes)
    served = tokens * each.each + sum(sum(episode.prompts) for episode in episodes) * each.prompt
    steps = sum(len(episode.answers) + episode.replayed for episode in episodes)
    worked = steps * world.step_s + len(episodes) * world.reset_s

    # LOG, rollouts, ScienceWorld in float32: 16 rows take 168 ms a token, one row 59 ms; an answer's prompt 72 ms, and
    # 23 tokens after its first; 12.5 turns; 63.7 steps/s. Measured: 12.8 episodes a minute.
    cores = Speed(0.059 - (0.168 - 0.059) / 15, (0.168 - 0.059) / 15, 0.072, 16)
    ends = [
        simulate([Episode([1.0] * n, [23.0] * n) for n in [12, 13] * half], cores, 1, 2, 16, 1 / 63.7, 60 / 448).end
        for half in (32, 64)
    ]
    per_minute = 64 / (ends[1] - ends[0]) * 60
    checks = {
        "one server without environment time equals the closed formula": math.isclose(simulated, formula, rel_tol=1e-6),
        "all tokens were answered": math.isclose(found.tokens, tokens, rel_tol=1e-6),
        "workers were busy as long as their steps and resets take": math.isclose(found.worked, worked, rel_tol=1e-6),
        "servers were busy as long as prompts and tokens take": math.isclose(found.busy, served, rel_tol=1e-6),
        "two cores: within a factor of 1.5 of what was measured": 1 / 1.5 < per_minute / 12.8 < 1.5,
    }
    return checks, f"two cores, SmolLM2-135M on ScienceWorld: {per_minute:.1f} episodes a minute, 12.8 were measured"


if __name__ == "__main__":
    main()
