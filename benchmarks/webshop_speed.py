"""How fast is the environment `webshop` on the 1,000 products, in one process on one core?

Replays the action sequences of the recordings in every mode (`compact` takes its own clicks, at random), searches their
queries, opens tasks, forks sessions, and plays sessions while watching memory. Steps are replayed three times: right
after opening; with everything remembered; and with pages remembered while every search is ranked anew, as in training,
where tasks go round and searches differ. The last is what `steps/s, MODE` means. Each figure is the median of several
repetitions, with the least and the greatest, by the clock; and the median by processor time, which other work on the
machine disturbs less. The peer can't run here: the reference text environment does 44
steps/s on this kind of machine (as measured by those who recorded it). Checked as well: the recorded rewards are paid,
and forks show what they were forked from.

    OMP_NUM_THREADS=1 python benchmarks/webshop_speed.py
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import psutil
from common import arguments, finish, read_json, shared_data, spread, table
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.site.environment import WebShop

TARGETS = {
    "steps/s, text": 9_000,
    "steps/s, text_rich": 9_000,
    "searches/s, nothing remembered": 2_000,
    "fork, microseconds": 20,
    "reset, microseconds": 50,
}
MODES = ("text", "text_rich", "compact")


def main() -> None:
    args = arguments(
        __doc__,
        {"repetitions": 1, "sessions": 300},
        data=(None, "official files, or a prepared store; the 1,000 products of the shared data", Path),
        episodes=(None, "recordings; those of the data", Path),
        repetitions=(7, "of every figure"),
        sessions=(10_000, "opened, played and closed for the memory figure"),
    )
    data = args.data or shared_data("webshop-1k")
    episodes = read_json(args.episodes or data / "reference_episodes.jsonl.gz")
    figures = {name: summary(pairs) for name, pairs in measure(data, episodes, args.repetitions).items()}
    memory = resident_after(data, episodes, args.sessions)
    rows = [
        [name, *row["clock"].values(), row["processor"], f"{TARGETS[name]:,}" if name in TARGETS else ""]
        for name, row in figures.items()
    ]
    text = table(["", "median", "least", "greatest", "processor time", "wanted"], rows)
    text += f"\n\nresident memory in MiB after so many sessions: {memory}"
    checks = {"recorded rewards are paid, and forks show what they were forked from": faithful(data, episodes)}
    if not args.quick:
        for name, target in TARGETS.items():
            median = figures[name]["clock"]["median"]
            checks[f"{name}: {target:,}"] = median <= target if "micro" in name else median >= target
    finish(args, {"figures": figures, "memory_mib": memory}, text, checks)


def summary(pairs: list[Pair]) -> dict:
    """Return the spread by the clock, and the median by processor time."""
    clock, processor = zip(*pairs, strict=True)
    return {"clock": spread(clock), "processor": spread(processor)["median"]}


def faithful(data: Path, episodes: list[dict]) -> bool:
    """Replay each tenth episode, and fork it at every step."""
    shop = WebShop(data=data, max_steps=None)
    for episode in episodes[::10]:
        with shop.open(shop.task(episode["goal_index"])) as session:
            for recorded in episode["steps"]:
                fork = session.fork()
                step = session.step(recorded["action"])
                if step.reward != recorded["reward"] or fork.step(recorded["action"]) != step:
                    return False
                fork.close()
                if step.done:
                    break
    return True


Pair = tuple[float, float]
"""A figure by the clock, and by processor time."""


class Forgetful:
    """A catalogue that ranks every query anew."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def search(self, query: str) -> tuple[int, ...]:
        """Return the products found."""
        docs, _ = self._catalogue.index.top(query, 50)
        return tuple(docs.tolist())

    def __getattr__(self, name: str) -> Any:
        """Return anything else from the catalogue."""
        return getattr(self._catalogue, name)


def measure(data: Path, episodes: list[dict], repetitions: int) -> dict[str, list[Pair]]:
    """Return all repetitions of all figures. Every repetition starts with a new shop, so with empty caches."""
    figures: dict[str, list[Pair]] = {}
    shop = WebShop(data=data, max_steps=None)  # prepares the products, where that is still to be done
    assert len(shop.all_goals)
    for _ in range(repetitions):
        for mode in MODES:
            shop = WebShop(data=data, mode=mode, max_steps=None)
            assert len(shop.all_goals)
            figures.setdefault(f"steps/s, {mode}, from nothing", []).append(steps_per_second(shop, episodes))
            figures.setdefault(f"steps/s, {mode}, all remembered", []).append(steps_per_second(shop, episodes))
            shop.pages.catalogue = Forgetful(shop.catalogue)
            figures.setdefault(f"steps/s, {mode}", []).append(steps_per_second(shop, episodes))
        queries = [s["action"][7:-1] for e in episodes for s in e["steps"] if s["action"].startswith("search[")]
        shop = WebShop(data=data, max_steps=None)
        distinct = list(dict.fromkeys(query.lower() for query in queries))
        figures.setdefault("searches/s, nothing remembered", []).append(searches_per_second(shop.catalogue, distinct))
        figures.setdefault("reset, microseconds", []).append(reset_microseconds(shop))
        figures.setdefault("fork, microseconds", []).append(fork_microseconds(shop, episodes))
    return figures


def steps_per_second(shop: WebShop, episodes: list[dict]) -> Pair:
    """Replay the recorded actions; in compact mode, walk as far at random over the listed ones."""
    tasks = [shop.task(episode["goal_index"]) for episode in episodes]
    steps, draw, began = 0, random.Random(0), now()
    for task, episode in zip(tasks, episodes, strict=True):
        with shop.open(task) as session:
            for recorded in episode["steps"]:
                listed = session.observation.actions
                session.step(draw.choice(listed) if shop.mode == "compact" else recorded["action"])
                steps += 1
                if session.done:
                    break
    return per_second(steps, began)


def searches_per_second(catalogue: Catalogue, queries: list[str]) -> Pair:
    """Rank distinct queries on the bare index, which remembers no rankings."""
    began = now()
    for query in queries:
        catalogue.index.top(query, 50)
    return per_second(len(queries), began)


def reset_microseconds(shop: WebShop) -> Pair:
    """Open 1,000 tasks that were looked at before, from their records."""
    tasks = list(shop.tasks("dev"))
    began = now()
    for task in tasks:
        shop.open(task)
    return microseconds(len(tasks), began)


def fork_microseconds(shop: WebShop, episodes: list[dict]) -> Pair:
    """Fork sessions in the middle of the recorded episodes."""
    sessions = []
    for episode in episodes:
        session = shop.open(shop.task(episode["goal_index"]))
        for recorded in episode["steps"][: len(episode["steps"]) // 2]:
            session.step(recorded["action"])
        sessions.append(session)
    began = now()
    for session in sessions * 20:
        session.fork()
    return microseconds(len(sessions) * 20, began)


def now() -> Pair:
    """Return both clocks, in seconds."""
    return time.perf_counter(), time.process_time()


def per_second(count: int, began: Pair) -> Pair:
    """Return how many a second there were."""
    clock, processor = now()
    return count / (clock - began[0]), count / (processor - began[1])


def microseconds(count: int, began: Pair) -> Pair:
    """Return how long each took."""
    clock, processor = per_second(count, began)
    return 1e6 / clock, 1e6 / processor


def resident_after(data: Path, episodes: list[dict], sessions: int) -> dict[str, float]:
    """Play sessions, and return the resident memory in MiB after each tenth of them."""
    shop, resident = WebShop(data=data, max_steps=None), {}
    count = len(shop.all_goals)
    for number in range(sessions):
        with shop.open(shop.task(number % count)) as session:
            for recorded in episodes[number % len(episodes)]["steps"]:
                if session.step(recorded["action"]).done:
                    break
        if (number + 1) % (sessions // 10) == 0:
            resident[str(number + 1)] = round(psutil.Process().memory_info().rss / 2**20, 1)
    return resident


if __name__ == "__main__":
    main()
