"""How fast is ScienceWorld as the plugin runs it, beside the stock class, and what does a session cost?

Measured in one run, in turns, so that whatever else the machine does slows all of them; ratios are medians of turns:

* steps between resets: the same actions in the same task with the stock `ScienceWorldEnv.step` (which lists the valid
  actions each time, looks around and reads task and inventory), with the stock class made not to list them, and with a
  session of the plugin;
* the same with several sessions of the plugin at once, each in a thread, against the one stock session;
* whole episodes along solutions known beforehand, resets included: stock `load`, `reset`, steps; plugin open to close;
* memory of the JVM for every further session that has played an episode;
* 64 episodes, the JVM killed with SIGKILL meanwhile: how many are lost, how many differ from those played undisturbed.

    python benchmarks/sciworld_speed.py            # about 5 minutes on 2 idle cores
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from common import arguments, finish, table
from eef_sciworld.environment import SciWorld
from eef_sciworld.launch import find_java

from eef_framework.resources import available_cores

TYPES = ("find-living-thing", "find-plant", "lifespan-longest-lived", "identify-life-stages-2", "chemistry-mix")
"""Of the task types with short solutions, five of different topics."""
ACTIONS = (
    *("look around", "teleport to kitchen", "open cupboard", "pick up thermometer", "activate sink", "wait1"),
    *("move metal pot to sink", "look at stove", "inventory", "teleport to outside", "examine agent", "go to kitchen"),
)
STEPS = 36
"""Steps of an episode that is only stepped."""
TIMEOUT_S = 600.0


def main() -> None:
    args = arguments(
        __doc__,
        {"turns": 1, "episodes": 3, "each_type": 1, "further": 1, "sessions": 2, "types": list(TYPES[:1])},
        sessions=(max(2, available_cores()), "sessions at once"),
        turns=(7, "medians are of, after as many in which Java compiles"),
        each_type=(2, "tasks"),
        types=(list(TYPES), "task types"),
        further=(16, "sessions whose memory is measured"),
        episodes=(64, "played while the JVM is killed"),
    )
    os.environ["PATH"] = f"{Path(find_java()).parent}{os.pathsep}{os.environ['PATH']}"  # the stock class looks there
    from scienceworld import ScienceWorldEnv

    class Unlisted(ScienceWorldEnv):
        def get_valid_action_object_combinations(self):
            return []

    turns, sessions = args.turns, args.sessions
    result: dict[str, Any] = {"cpus": available_cores(), "load": os.getloadavg()[0], "sessions": sessions}
    with SciWorld(types=args.types, max_steps=100, call_timeout_s=TIMEOUT_S, slots=64) as environment:
        tasks = some_of_each_type(environment, args)
        stock, unlisted = ScienceWorldEnv("", envStepLimit=10_000), Unlisted("", envStepLimit=10_000)
        steps = in_turns(
            turns,
            {
                "stock": lambda: stock_steps(stock, tasks[0]),
                "stock_without_list": lambda: stock_steps(unlisted, tasks[0]),
                "plugin": lambda: plugin_steps(environment, tasks[0], 1),
                "plugin_at_once": lambda: plugin_steps(environment, tasks[0], sessions),
            },
        )
        result["steps_per_s"] = summary(steps)
        paths = {task.id: environment.gold_path(task) for task in tasks}
        episodes = in_turns(
            turns,
            {
                "stock": lambda: stock_episodes(stock, tasks, paths),
                "plugin": lambda: plugin_episodes(environment, tasks, paths, 1),
                "plugin_at_once": lambda: plugin_episodes(environment, tasks, paths, sessions),
            },
        )
        result["episodes_per_min"] = summary(episodes)
        stock.close()
        unlisted.close()
        result["memory_mb"] = memory(environment, tasks[0], args.further)
        result["killed"] = killed(environment, tasks, paths, args.episodes)
    rows = [
        [what, name, rate["median"], rate["times_stock"]]
        for what, key in (("steps/s between resets", "steps_per_s"), ("solutions/min, with resets", "episodes_per_min"))
        for name, rate in result[key].items()
    ]
    text = table(["", "", "median", "times stock"], rows) + f"\n\nmemory: {result['memory_mb']}"
    killed_once = {"episodes": args.episodes, "jvm_lost": 1, "lost_or_different": 0}
    finish(args, result, text, {"with the JVM killed once, no episode is lost": result["killed"] == killed_once})


def some_of_each_type(environment: SciWorld, args: Any) -> list[Any]:
    """Return a few training tasks of each type."""
    tasks = environment.tasks("train")
    return [task for kind in args.types for task in [task for task in tasks if task.kind == kind][: args.each_type]]


def in_turns(turns: int, contestants: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Let each have its turn, again and again, after as many turns in which Java compiles what is used often."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(2 * turns):
        for name, contestant in contestants.items():
            rate = contestant()
            if turn >= turns:
                rates[name].append(rate)
    return rates


def summary(rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return medians, and how many times as fast as the stock class."""
    return {
        name: {
            "median": round(statistics.median(found), 1),
            "times_stock": round(statistics.median(a / b for a, b in zip(found, rates["stock"], strict=True)), 2),
        }
        for name, found in rates.items()
    }


def stock_steps(stock: Any, task: Any) -> float:
    """Return the stock class's steps per second."""
    stock.load(task.info["task"], task.info["variation"], "easy")
    stock.reset()
    began = time.perf_counter()
    for number in range(STEPS):
        stock.step(ACTIONS[number % len(ACTIONS)])
    return STEPS / (time.perf_counter() - began)


def plugin_steps(environment: SciWorld, task: Any, count: int) -> float:
    """Return the plugin's steps per second, in several sessions at once."""
    sessions = [environment.open(task) for _ in range(count)]

    def play(session: Any) -> None:
        """Play an episode, and return its steps."""
        for number in range(STEPS):
            session.step(ACTIONS[number % len(ACTIONS)])

    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(play, sessions))
    seconds = time.perf_counter() - began
    for session in sessions:
        session.close()
    return count * STEPS / seconds


def stock_episodes(stock: Any, tasks: list[Any], paths: dict[str, tuple[str, ...]]) -> float:
    """Return the stock class's episodes per minute."""
    began = time.perf_counter()
    for task in tasks:
        stock.load(task.info["task"], task.info["variation"], "easy")
        stock.reset()
        for action in paths[task.id]:
            if stock.step(action)[2]:
                break
    return 60 * len(tasks) / (time.perf_counter() - began)


def plugin_episodes(environment: SciWorld, tasks: list[Any], paths: dict[str, tuple[str, ...]], count: int) -> float:
    """Return the plugin's episodes per minute, in several threads."""
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda task: play(environment, task, paths[task.id]), tasks * count))
    return 60 * count * len(tasks) / (time.perf_counter() - began)


def play(environment: SciWorld, task: Any, actions: tuple[str, ...]) -> list[Any]:
    with environment.open(task) as session:
        for action in actions:
            if session.step(action).done:
                break
        return session.steps


def memory(environment: SciWorld, task: Any, further: int) -> dict[str, float]:
    """Open more and more sessions that each play an episode."""
    process = psutil.Process(environment.simulators.pid)
    sessions: list[Any] = []

    def open_more(count: int) -> float:
        for _ in range(count):
            sessions.append(environment.open(task))
            for number in range(STEPS):
                sessions[-1].step(ACTIONS[number % len(ACTIONS)])
        return process.memory_info().rss / 2**20

    used = sum(slot.simulator is not None for slot in environment.simulators._slots)
    before = open_more(used + 2)  # those that are there already, and a few
    after = open_more(further)
    for session in sessions:
        session.close()
    return {
        "sessions": used + 2,
        "jvm_mb": round(before),
        "mb_per_further_session": round((after - before) / further, 1),
    }


def killed(environment: SciWorld, tasks: list[Any], paths: dict[str, tuple[str, ...]], count: int) -> dict[str, int]:
    """Play many episodes at once, killing the JVM amid them, and compare with undisturbed ones."""
    expected = {task.id: play(environment, task, paths[task.id]) for task in tasks}
    jobs = [tasks[number % len(tasks)] for number in range(count)]
    sessions = [environment.open(task) for task in jobs]
    before = environment.simulators.restarts
    turns = max(len(path) for path in paths.values())

    def step(job: tuple[Any, int]) -> None:
        session, turn = job
        actions = paths[session.task.id]
        if not session.done and turn < len(actions):
            session.step(actions[turn])

    with ThreadPoolExecutor(16) as pool:
        for turn in range(turns):
            if turn == 3:
                os.kill(environment.simulators.pid, signal.SIGKILL)
            list(pool.map(step, [(session, turn) for session in sessions]))
    different = sum(session.steps != expected[session.task.id] for session in sessions)
    for session in sessions:
        session.close()
    return {"episodes": count, "jvm_lost": environment.simulators.restarts - before, "lost_or_different": different}


if __name__ == "__main__":
    main()
