"""How fast is the environment `textworld` beside plain TextWorld, on the same games and actions, in one run?

    python benchmarks/textworld_speed.py

Plain TextWorld is `textworld.start` on the game's JSON file, asked for what the environment gives: admissible commands,
facts (of which observations are made), score, won and lost. Processor time would hide the environment's second process,
so everything is wall-clock time; the two take turns. Checked as well: in every state both list the same commands and
agree on whether the game is over.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import arguments, finish, table
from eef_textworld.environment import TextWorld
from eef_textworld.games import make_game
from eef_textworld.spec import GameSpec

from eef_framework import Task, replay

STEPS = 15
IDLE = ("examine", "inventory", "look")
"""Commands that change nothing; compact observations, which show what these say, don't list them."""
GAMES = {"default games": {}, "10 rooms, 20 objects": {"rooms": 10, "objects": 20, "shortest": 5}}


def main() -> None:
    args = arguments(__doc__, {"games": 3, "rounds": 1}, games=(15, "games a row"), rounds=(3, "medians are of"))
    report, checks = {}, {}
    for name, chosen in GAMES.items():
        with TextWorld(**chosen) as environment, tempfile.TemporaryDirectory() as folder:
            report[name] = measure(environment, Path(folder), args.games, args.rounds)
        checks[f"{name}: plain TextWorld's commands and endings"] = report[name].pop("different_states") == 0
    rows = [
        [name, what, each["ours"], each["plain"] or "-", each["times_as_fast"] or "-"]
        for name, found in report.items()
        for what, each in found.items()
    ]
    finish(args, report, table(["games", "", "eef-textworld", "plain", "times as fast"], rows), checks)


def measure(environment: TextWorld, folder: Path, games: int, rounds: int) -> dict[str, Any]:
    """Play the same walks with the plugin and with TextWorld, alternately, and return their times."""
    tasks = environment.tasks("train")[:games]
    began = time.perf_counter()
    walks = [walk(environment, task) for task in tasks]
    made = (time.perf_counter() - began) / games
    paths = [saved(task, folder) for task in tasks]
    ours, plain = [], []
    for _ in range(rounds):
        ours.append([step_s(environment, tasks, walks), *copy_s(environment, tasks, walks)])
        plain.append([plain_step_s(paths, walks), *plain_copy_s(paths, walks)])
    a, b = ([1e3 * statistics.median(column) for column in zip(*rows, strict=True)] for rows in (ours, plain))
    names = ("a step, ms", "fork, ms", "replay instead of fork, ms")
    return {name: {"ours": x, "plain": y, "times_as_fast": y / x} for name, x, y in zip(names, a, b, strict=True)} | {
        f"making a game and {STEPS} steps, ms": {"ours": 1e3 * made, "plain": None, "times_as_fast": None},
        "different_states": sum(map(different, [environment] * games, tasks, paths, walks)),
    }


def walk(environment: TextWorld, task: Task) -> list[str]:
    """Return the actions of a random walk, which stops before a game's last one, so that every step is one of both."""
    draw = random.Random(task.id)
    with environment.open(task) as session:
        while not session.done and len(session.steps) < STEPS:
            session.step(draw.choice(session.observation.actions or ("look",)))
        return [step.action for step in session.steps]


def different(environment: TextWorld, task: Task, path: Path, actions: Sequence[str]) -> int:
    """Count the states in which the two list other commands, or don't agree on whether the game is won or lost."""
    plain, found = start(path), 0
    with environment.open(task) as session:
        for action in actions:
            session.step(action)
            state, _, _ = plain.step(action)
            ended = state.won or state.lost
            commands = {each for each in state.admissible_commands if not each.startswith(IDLE)}
            same = ended or commands == {each for each in session.observation.actions if not each.startswith(IDLE)}
            found += session.steps[-1].terminated != ended or not same
            if session.done:
                break
    return found


def step_s(environment: TextWorld, tasks: Sequence[Task], walks: Sequence[list[str]]) -> float:
    """Return the plugin's time for a step, in seconds."""
    sessions = [environment.open(task) for task in tasks]
    spent = timed(lambda: [session.step(each) for session, walk in zip(sessions, walks, strict=True) for each in walk])
    for session in sessions:
        session.close()
    return spent / sum(map(len, walks))


def copy_s(environment: TextWorld, tasks: Sequence[Task], walks: Sequence[list[str]]) -> tuple[float, float]:
    """Return the seconds that a fork and a replay take, in the middle of a walk."""
    forks, replays = [], []
    for task, actions in zip(tasks, walks, strict=True):
        with environment.open(task) as session:
            for each in actions[: len(actions) // 2]:
                session.step(each)
            forks.append(timed(lambda session=session: session.fork().close()))
            again = (environment, task, session.initial, session.steps)
            replays.append(timed(lambda again=again: replay(*again).close()))
    return statistics.mean(forks), statistics.mean(replays)


def saved(task: Task, folder: Path) -> Path:
    """Write a task's game to a file."""
    path = folder / f"{task.id}.json"
    make_game(GameSpec.of(task.info)).save(str(path))
    return path


def start(path: Path) -> Any:
    """Start a game with TextWorld alone."""
    import textworld

    infos = textworld.EnvInfos(admissible_commands=True, facts=True, score=True, max_score=True, won=True, lost=True)
    env = textworld.start(str(path), infos)
    env.reset()
    return env


def plain_step_s(paths: Sequence[Path], walks: Sequence[list[str]]) -> float:
    """Return TextWorld's time for a step, in seconds."""
    games = [start(path) for path in paths]
    spent = timed(lambda: [env.step(each) for env, walk in zip(games, walks, strict=True) for each in walk])
    return spent / sum(map(len, walks))


def plain_copy_s(paths: Sequence[Path], walks: Sequence[list[str]]) -> tuple[float, float]:
    """Return TextWorld's times for a copy of a state, and for a replay instead, in seconds."""
    copies, replays = [], []
    for path, actions in zip(paths, walks, strict=True):
        env, other = start(path), start(path)
        half = actions[: len(actions) // 2]
        for each in half:
            env.step(each)
        copies.append(timed(env.copy))
        replays.append(timed(lambda other=other, half=half: [other.reset(), *(other.step(each) for each in half)]))
    return statistics.mean(copies), statistics.mean(replays)


def timed(function: Callable[[], object]) -> float:
    """Return the duration of a call, in seconds."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
