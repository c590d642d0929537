"""How fast is the generated shop, in one process on one core? It shouldn't be what a run of the demo waits for.

    python benchmarks/shop_speed.py

Processor time, medians of several rounds with their range. The limits are a shop with a thousand tasks in a second, and
10,000 steps a second, each then a tenth of a millisecond where a model takes milliseconds for one token.
"""

from __future__ import annotations

import platform
import random
import statistics
import time

from eef_webshop.generated.pages import BUY
from eef_webshop.generated.shop import Shop

ROUNDS, TASKS, EPISODES, STEPS = 7, 1000, 400, 10


def main() -> None:
    """Measure and print a table."""
    print(f"{platform.machine()}, Python {platform.python_version()}, {ROUNDS} rounds\n")
    print("| generated shop | median | range | limit |")
    print("|---|---|---|---|")
    made = [_making_s() for _ in range(ROUNDS)]
    print(f"| seconds until {TASKS:,} tasks are there | {_spread(made, '.2f')} | 1 |")
    for mode in ("compact", "text"):
        rates = [_steps_per_second(Shop(mode=mode), seed) for seed in range(ROUNDS)]
        print(f"| steps/s, `{mode}` | {_spread(rates, ',.0f')} | 10,000 |")


def _making_s() -> float:
    began = time.process_time()
    assert len(Shop().tasks("train")[:TASKS]) == TASKS
    return time.process_time() - began


def _steps_per_second(shop: Shop, seed: int) -> float:
    """Time steps of random walks, the listing of actions and the opening of the sessions included."""
    rng, steps = random.Random(seed), 0
    tasks = shop.tasks("train")[:50]
    began = time.process_time()
    for _ in range(EPISODES):
        session = shop.open(rng.choice(tasks))
        session.step(f"search[{session.goal.query}]")
        for _ in range(STEPS):
            others = [action for action in session.observation.actions if action != BUY]
            session.step(rng.choice(others or ["search[mug]"]))
        steps += len(session.steps)
        session.close()
    return steps / (time.process_time() - began)


def _spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} | {min(values):{form}} to {max(values):{form}}"


if __name__ == "__main__":
    main()
