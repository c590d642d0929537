"""Speed of the environment `textworld` beside plain TextWorld, on the same games and actions, in one run.

    python benchmarks/textworld_speed.py [--quick]

Plain TextWorld is `textworld.start` on the game's JSON file, asked for what the environment gives: admissible commands,
facts (of which observations are made), score, won and lost. Processor time would hide the environment's second process,
so everything is wall-clock time; the two take turns, and the medians of all rounds are printed.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eef_textworld.environment import TextWorld
from eef_textworld.games import GameSpec, make_game

from eef_framework.interfaces import replay
from eef_framework.records import Task

STEPS = 15


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few games, to see that it works")
    quick = parser.parse_args().quick
    games, rounds = (4, 2) if quick else (15, 3)
    settings = {"default games": {}, "10 rooms, 20 objects": {"rooms": 10, "objects": 20, "shortest": 5}}
    print(f"{platform.machine()}, Python {platform.python_version()}, {games} games a row, {rounds} rounds, medians\n")
    print("| games | measure | eef-textworld | plain TextWorld | ratio |")
    print("|---|---|---|---|---|")
    for name, chosen in settings.items():
        with TextWorld(**chosen) as environment, tempfile.TemporaryDirectory() as folder:
            for row in _rows(environment, Path(folder), games, rounds):
                print(f"| {name} | {row} |", flush=True)


def _rows(environment: TextWorld, folder: Path, games: int, rounds: int) -> list[str]:
    tasks = environment.tasks("train")[:games]
    began = time.perf_counter()
    walks = [_walk(environment, task) for task in tasks]
    made = (time.perf_counter() - began) / games
    paths = [_saved(task, folder) for task in tasks]
    steps = sum(map(len, walks))
    ours, plain = [], []
    for _ in range(rounds):
        ours.append([steps / _ours(environment, tasks, walks), *_our_copies(environment, tasks, walks)])
        plain.append([steps / _plain(paths, walks), *_plain_copies(paths, walks)])
    a, b = ([statistics.median(column) for column in zip(*rows, strict=True)] for rows in (ours, plain))
    return [
        f"steps/s | {a[0]:,.0f} | {b[0]:,.0f} | {a[0] / b[0]:.2f}",
        f"fork, ms | {a[1] * 1e3:.2f} | {b[1] * 1e3:.2f} | {b[1] / a[1]:.2f}",
        f"replay instead of fork, ms | {a[2] * 1e3:.2f} | {b[2] * 1e3:.2f} | {b[2] / a[2]:.2f}",
        f"making a game and {STEPS} steps, ms | {made * 1e3:.0f} | - | -",
    ]


def _walk(environment: TextWorld, task: Task) -> list[str]:
    """Return the actions of a walk at random: not the last one of a game, so that every step is one of both."""
    draw = random.Random(task.id)
    with environment.open(task) as session:
        while not session.done and len(session.steps) < STEPS:
            session.step(draw.choice(session.observation.actions or ("look",)))
        return [step.action for step in session.steps]


def _ours(environment: TextWorld, tasks: Sequence[Task], walks: Sequence[list[str]]) -> float:
    sessions = [environment.open(task) for task in tasks]
    spent = _timed(lambda: [session.step(each) for session, walk in zip(sessions, walks, strict=True) for each in walk])
    for session in sessions:
        session.close()
    return spent


def _our_copies(environment: TextWorld, tasks: Sequence[Task], walks: Sequence[list[str]]) -> tuple[float, float]:
    """Return the seconds that a fork and a replay take, in the middle of a walk."""
    forks, replays = [], []
    for task, walk in zip(tasks, walks, strict=True):
        with environment.open(task) as session:
            for each in walk[: len(walk) // 2]:
                session.step(each)
            forks.append(_timed(lambda session=session: session.fork().close()))
            again = (environment, task, session.initial, session.steps)
            replays.append(_timed(lambda again=again: replay(*again).close()))
    return statistics.mean(forks), statistics.mean(replays)


def _saved(task: Task, folder: Path) -> Path:
    path = folder / f"{task.id}.json"
    make_game(GameSpec.of(task.info)).save(str(path))
    return path


def _start(path: Path) -> Any:
    import textworld

    infos = textworld.EnvInfos(admissible_commands=True, facts=True, score=True, max_score=True, won=True, lost=True)
    env = textworld.start(str(path), infos)
    env.reset()
    return env


def _plain(paths: Sequence[Path], walks: Sequence[list[str]]) -> float:
    games = [_start(path) for path in paths]
    return _timed(lambda: [env.step(each) for env, walk in zip(games, walks, strict=True) for each in walk])


def _plain_copies(paths: Sequence[Path], walks: Sequence[list[str]]) -> tuple[float, float]:
    copies, replays = [], []
    for path, walk in zip(paths, walks, strict=True):
        env, other = _start(path), _start(path)
        half = walk[: len(walk) // 2]
        for each in half:
            env.step(each)
        copies.append(_timed(env.copy))
        replays.append(_timed(lambda other=other, half=half: [other.reset(), *(other.step(each) for each in half)]))
    return statistics.mean(copies), statistics.mean(replays)


def _timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
