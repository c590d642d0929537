"""Is ScienceWorld as the plugin runs it the stock simulator, and does it always give the same answers?

Every type of task is played in two or more variations, each along the simulator's own solution and on a random walk:

* by the plugin, four times over, eight sessions at once in one JVM, in another order each time; a divergence is an
  episode in which any observation, score or ending differs from the first time;
* by the stock `ScienceWorldEnv`, alone: a process and a JVM for every episode, twice. Compared are the episodes in
  which the stock class agrees with itself. It lists the valid actions in every fifth only, to save time, and the plugin
  in none. That should change nothing, and now and then does: listed actions let other bees out in `grow-fruit`. Where a
  request is ambiguous, the simulator lists its choices in the order of a set, so in another order with other hashes:
  such lists are compared without order, and walks note choices by their words;
* where plugin and stock class differ, by the stock class again, in JVMs that draw identity hashes in other ways. If it
  agrees with itself then too, the plugin is wrong; if not, the simulator's answer is one of several that depend on
  nothing but where objects happen to lie.

The plugin's JVM gives all objects the same identity hash. With `--stock-hashes 2` the stock class gets that option,
too, and nothing else changes: then it should give the plugin's answers to the letter.

    python benchmarks/sciworld_fidelity.py            # 60 variations, about 15 minutes on 2 cores
    python benchmarks/sciworld_fidelity.py --stock-hashes 2 --repeats 1

It also says which Java was used. Whether all works where nobody installed one, in a fresh environment:

    env -i PATH=/nonexistent fresh/bin/python benchmarks/sciworld_fidelity.py --quick
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common import arguments, finish, table

AT_ONCE = 8
WALK = 24
"""Length of a random walk, in actions."""
LISTED_EVERY = 6
"""How often the actions to choose from are listed on a walk; in between, old ones are taken that may be in vain."""
OTHER_HASHES = ("0", "1", "3", "4")
"""Other ways in which Java can draw identity hashes, as its option `hashCode` counts them; the default is 5."""
CHOOSE = "choose: "
"""Stands in front of a choice from a menu."""
TIMEOUT_S = 600.0
"""For one answer; generous, for machines that are busy with something else."""
STOCK_PROCESSES = 2

Answers = list[tuple[str, int, bool]]
"""Observation, score and whether the task is over, in every state."""


@dataclass
class Episode:
    """Actions to take in a task, and what the plugin answered the first time."""

    task: str
    variation: int
    way: str
    actions: list[str]


def main() -> None:
    if sys.argv[1:] == ["--stock"]:
        print(json.dumps(play_stock(json.load(sys.stdin))))
        return
    args = arguments(
        __doc__,
        {"types": 1, "variations": 1, "repeats": 2},
        variations=(2, "of every type"),
        types=(None, "how many types; all if left out", int),
        repeats=(4, "how often the plugin plays every episode"),
        stock_hashes=("", "the stock class's hashCode, an option of Java"),
    )
    from eef_sciworld.environment import SciWorld
    from eef_sciworld.launch import find_java

    os.environ["PATH"] = f"{Path(find_java()).parent}{os.pathsep}{os.environ['PATH']}"  # the stock class looks there

    began = time.monotonic()
    with SciWorld(slots=AT_ONCE, call_timeout_s=TIMEOUT_S) as environment:
        tasks = chosen(environment, args.types, args.variations)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            episodes = [one for several in pool.map(lambda task: planned(environment, task), tasks) for one in several]
        print(f"{len(tasks)} variations of {len({t.kind for t in tasks})} types, {len(episodes)} episodes", flush=True)
        played = []
        for number in range(args.repeats):
            played.append(repeat(environment, tasks, episodes, number))
            print(f"plugin, run {number + 1}: {time.monotonic() - began:.0f} s since the start", flush=True)
        restarts = environment.simulators.restarts
    diverged = [e for i, e in enumerate(episodes) if any(run[i] != played[0][i] for run in played)]
    print(f"plugin, {args.repeats} times, {AT_ONCE} at once: {len(diverged)} of {len(episodes)} diverged", flush=True)
    stock = stock_answers(episodes, args.stock_hashes)
    agreeing = [i for i, (first, second) in enumerate(stock) if first == second]
    same_order = [i for i in agreeing if stock[i][0] == [list(answer) for answer in played[0][i]]]
    unlike = [i for i in agreeing if unordered(stock[i][0]) != unordered(played[0][i])]
    print(
        f"stock, twice: {len(agreeing)} agree with themselves, {len(unlike)} of them are unlike the plugin", flush=True
    )
    differing = [
        i for i, steady in zip(unlike, steady_with_other_hashes(episodes, unlike, stock), strict=True) if steady
    ]
    solved = [e for i, e in enumerate(episodes) if e.way == "gold" and played[0][i][-1][1] == 100]
    result = {
        "java": find_java(),
        "variations": len(tasks),
        "types": len({task.kind for task in tasks}),
        "episodes": len(episodes),
        "states": sum(len(answers) for answers in played[0]),
        "repeats": args.repeats,
        "stock_hashes": args.stock_hashes or "default",
        "sessions_at_once": AT_ONCE,
        "jvm_restarts": restarts,
        "gold_paths": sum(episode.way == "gold" for episode in episodes),
        "gold_paths_to_100": len(solved),
        "plugin_diverged": [asdict(episode) for episode in diverged],
        "stock_agrees_with_itself": len(agreeing),
        "equal_to_stock": len(agreeing) - len(unlike),
        "unlike_but_stock_depends_on_hashes": len(unlike) - len(differing),
        "unlike_in_observations_only": sum(scores(stock[i][0]) == scores(played[0][i]) for i in unlike),
        "equal_to_stock_with_the_order_of_choices": len(same_order),
        "unlike_stock": [asdict(episodes[i]) for i in differing],
        "stock_disagrees": [
            [episodes[i].task, episodes[i].variation, episodes[i].way]
            for i in range(len(episodes))
            if i not in agreeing
        ],
        "seconds": round(time.monotonic() - began),
    }
    rows = [[key.replace("_", " "), len(value) if isinstance(value, list) else value] for key, value in result.items()]
    checks = {
        f"played {args.repeats} times, the plugin always gives the same answers": not diverged,
        "where the stock class always gives the same ones, they are the plugin's": not differing,
        "all solutions score 100": 0 < len(solved) == result["gold_paths"],
    }
    finish(args, result, table(["", ""], rows), checks)


def chosen(environment: Any, types: int | None, count: int) -> list[Any]:
    """Return some variations of every type, from the whole range."""
    of: dict[str, list[Any]] = {}
    for split in ("train", "test"):
        for task in environment.tasks(split):
            of.setdefault(task.kind, []).append(task)
    kinds = sorted(of)[: types or None]
    return [task for kind in kinds for task in random.Random(kind).sample(of[kind], count)]


def planned(environment: Any, task: Any) -> list[Episode]:
    """Return the solution of a task, and a random walk among the actions that the simulator lists."""
    setup = environment.setup(task)
    ways = {"gold": list(environment.gold_path(task)), "walk": environment.simulators.run(lambda s: walk(s, setup))}
    return [Episode(setup.task, setup.variation, way, actions) for way, actions in ways.items() if actions]


def walk(simulator: Any, setup: Any) -> list[str]:
    """Take random actions in a task, and return them."""
    draw = random.Random(str(setup))
    text = simulator.load(setup).text
    actions: list[str] = []
    kinds: dict[str, list[str]] = {}
    while len(actions) < WALK:
        if len(actions) % LISTED_EVERY == 0:
            kinds.clear()
            for action in simulator.valid_actions():
                kinds.setdefault(action.split()[0], []).append(action)
        if choices := menu(text):
            actions.append(CHOOSE + draw.choice(sorted(choices)))
        else:
            actions.append(draw.choice(kinds[draw.choice(sorted(kinds))]))
        outcome = simulator.step(spoken(actions[-1], text))
        text = outcome.text
        if outcome.completed:
            break
    return actions


def menu(text: str) -> dict[str, str]:
    """Return the choices of an ambiguous request: the number of each by its words; none for other texts."""
    if not text.startswith("Ambiguous request"):
        return {}
    return {words.strip(): number for number, words in re.findall(r"^(\d+):(.+)$", text, re.MULTILINE)}


def spoken(action: str, text: str) -> str:
    """Return an action as the simulator takes it: a choice by its number in the menu before it."""
    return menu(text).get(action.removeprefix(CHOOSE), "0") if action.startswith(CHOOSE) else action


def unordered(answers: Any) -> list[tuple[Any, ...]]:
    """Return answers with menus in alphabetical order."""
    return [(sorted(menu(text)) or text, *rest) for text, *rest in answers]


def repeat(environment: Any, tasks: Sequence[Any], episodes: Sequence[Episode], number: int) -> list[Answers]:
    """Play all episodes, several at once, in another order each time."""
    order = list(range(len(episodes)))
    random.Random(number).shuffle(order)
    of = {(task.info["task"], task.info["variation"]): task for task in tasks}

    def play(index: int) -> Answers:
        from eef_sciworld.simulator import Setup
        from eef_sciworld.state import EpisodeState, ViewOptions

        episode = episodes[index]
        setup = environment.setup(of[episode.task, episode.variation])
        simulators, state = environment.simulators, EpisodeState(Setup(*setup), ViewOptions())
        views = [simulators.run(state.begin, state)[1]]
        for action in episode.actions:
            said = spoken(action, views[-1].outcome.text)
            views.append(simulators.run(partial(state.step, action=said), state))
        simulators.release(state)
        return [(view.outcome.text, view.outcome.score, view.outcome.completed) for view in views]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(order, pool.map(play, order), strict=True))
    return [answers[index] for index in range(len(episodes))]


def stock_answers(episodes: Sequence[Episode], hashes: str) -> list[tuple[Any, Any]]:
    """Play every episode in a process of its own, twice."""

    def play(index: int) -> Any:
        return stock_process(episodes[index], listing=index % 5 == 0, hashes=hashes)

    with ThreadPoolExecutor(STOCK_PROCESSES) as pool:
        first, second = (list(pool.map(play, range(len(episodes)))) for _ in range(2))
    return list(zip(first, second, strict=True))


def stock_process(episode: Episode, listing: bool = False, hashes: str = "") -> Any:
    """Play an episode with the stock class, in a process and a JVM of its own."""
    request = {"list": listing, "episode": asdict(episode)}
    command = [sys.executable, __file__, "--stock"]
    options = {"JAVA_TOOL_OPTIONS": f"-XX:+UnlockExperimentalVMOptions -XX:hashCode={hashes}"} if hashes else {}
    done = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=True, env=os.environ | options
    )
    return json.loads(done.stdout)


def steady_with_other_hashes(episodes: Sequence[Episode], asked: Sequence[int], stock: Sequence[Any]) -> list[bool]:
    """Tell of episodes whether the stock class answers the same with other identity hashes."""

    def steady(index: int) -> bool:
        wanted = unordered(stock[index][0])
        return all(unordered(stock_process(episodes[index], hashes=way)) == wanted for way in OTHER_HASHES)

    with ThreadPoolExecutor(STOCK_PROCESSES) as pool:
        return list(pool.map(steady, asked))


def scores(answers: Any) -> list[tuple[int, bool]]:
    """Return answers without their texts."""
    return [(score, over) for _, score, over in answers]


def play_stock(request: Any) -> list[Any]:
    """Play an episode with the stock class, in this process."""
    from scienceworld import ScienceWorldEnv

    class Unlisted(ScienceWorldEnv):
        def get_valid_action_object_combinations(self):
            return []

    episode = request["episode"]
    stock = (ScienceWorldEnv if request["list"] else Unlisted)("", envStepLimit=10_000)
    stock.load(episode["task"], episode["variation"], "easy")
    text, info = stock.reset()
    answers = [(text, info["score"], stock.server.getCompleted())]
    for action in episode["actions"]:
        text, _, _, info = stock.step(spoken(action, text))
        answers.append((text, info["score"], stock.server.getCompleted()))
    stock.close()
    return answers


if __name__ == "__main__":
    main()
