"""How fast is the generated shop, in one process on one core? It shouldn't be what a run of the demo waits for.

    python benchmarks/shop_speed.py

Processor time, medians of several rounds with their range. The limits are a thousand tasks in a second, and 10,000
steps a second: a tenth of a millisecond each, where a model takes milliseconds for a token. There is no peer to compare
with: the real WebShop is in `webshop_speed.py`. Checked as well: the same actions lead to equal observations and
rewards again.
"""

from __future__ import annotations

import random
import time

from common import arguments, finish, spread, table
from eef_webshop.generated.pages import BUY
from eef_webshop.generated.shop import Shop

from eef_framework import replay

TASKS, STEPS = 1000, 10
LIMITS = {"seconds until 1,000 tasks are there": 1.0, "steps/s, compact": 10_000.0, "steps/s, text": 10_000.0}


def main() -> None:
    quick = {"rounds": 2, "episodes": 40}
    args = arguments(__doc__, quick, rounds=(7, "repetitions"), episodes=(400, "of each round and look"))
    figures: dict[str, list[float]] = {name: [] for name in LIMITS}
    different = 0
    for seed in range(args.rounds):
        figures["seconds until 1,000 tasks are there"].append(making_s())
        for mode in ("compact", "text"):
            rate, walks = steps_per_second(Shop(mode=mode), seed, args.episodes)
            figures[f"steps/s, {mode}"].append(rate)
            different += sum(not same_again(Shop(mode=mode), *walk) for walk in walks[:20])
    report = {name: spread(values) | {"limit": LIMITS[name]} for name, values in figures.items()}
    text = table(["generated shop", *report["steps/s, text"]], [[name, *row.values()] for name, row in report.items()])
    checks = {"the same actions lead to equal states again": different == 0}
    if not args.quick:
        checks["1,000 tasks within a second"] = report["seconds until 1,000 tasks are there"]["median"] <= 1
        checks["10,000 steps a second"] = min(report[f"steps/s, {m}"]["median"] for m in ("compact", "text")) >= 10_000
    finish(args, {"figures": report, "different_on_replay": different}, text, checks)


def making_s() -> float:
    """Return the processor time to make the shop and its training tasks, in seconds."""
    began = time.process_time()
    assert len(Shop().tasks("train")[:TASKS]) == TASKS
    return time.process_time() - began


def steps_per_second(shop: Shop, seed: int, episodes: int) -> tuple[float, list]:
    """Time steps of random walks, listing actions and opening sessions included. Returns the rate and the walks."""
    rng, steps, walks = random.Random(seed), 0, []
    tasks = shop.tasks("train")[:50]
    began = time.process_time()
    for _ in range(episodes):
        session = shop.open(rng.choice(tasks))
        session.step(f"search[{session.goal.query}]")
        for _ in range(STEPS):
            others = [action for action in session.observation.actions if action != BUY]
            session.step(rng.choice(others or ["search[mug]"]))
        steps += len(session.steps)
        walks.append((session.task, session.initial, session.steps))
        session.close()
    return steps / (time.process_time() - began), walks


def same_again(shop: Shop, task, initial, steps) -> bool:
    """Tell whether another shop shows and pays the same."""
    with replay(shop, task, initial, steps) as session:  # raises where an observation differs
        return session.steps == steps


if __name__ == "__main__":
    main()
