"""Are episodes on Ray workers as fast as in one process, on the same cores?

The executor `threads`, with all cores for one model, and the executor `ray`, whose workers divide the cores, play the
same episodes in turns, in one run. Each worker has as many under way as the threads, so that batches are of equal
size: half a batch costs a model nearly as much as a whole one. Both have built environment and policy before the clock
starts.
Three workloads: language models with random weights in the generated shop, one as tiny as the demo's and one about
forty times larger; and a scripted policy in a corridor, whose episodes take a millisecond: it shows what a call costs.

    python benchmarks/ray_speed.py
    python benchmarks/ray_speed.py --workers 2   # each has half of the cores, and a model of its own
    python benchmarks/ray_speed.py --profile     # also where the time of both processes goes
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
from common import arguments, finish, spread, table
from eef_ray.executor import RayExecutor

from eef_framework import EpisodeSpec, Sampling, State, Trajectory, load_plugins
from eef_framework.chat.format import ChatFormat
from eef_framework.policies import TinyModel, TransformersPolicy
from eef_framework.rollout import EpisodeRunner, ThreadExecutor, demonstrations
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import ScriptedPolicy

COSTS = ("threads: processor ms/episode", "ray: caller", "workers", "Ray's processes")


def main() -> None:
    args = arguments(
        __doc__,
        {"turns": 1, "episodes": 16, "short": 100, "concurrency": 8},
        turns=(5, "how often both sides play"),
        episodes=(128, "episodes of the tiny model per turn and worker, and half as many of the larger one"),
        short=(1000, "episodes in the corridor per turn"),
        concurrency=(128, "episodes under way with threads, and in each worker"),
        workers=(1, "Ray workers, which divide the cores"),
        profile=(False, "print where the calling process spends its time", bool),
    )
    import torch

    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    report: dict[str, Any] = {"cores": cores, "workers": args.workers, "load": os.getloadavg()[0], "workloads": {}}
    checks, rows = {}, []
    with (
        tempfile.TemporaryDirectory() as folder,
        RayExecutor(address="local", workers=args.workers, cpus=cores // args.workers) as on_ray,
    ):
        sides = {"threads": ThreadExecutor(), "ray": on_ray}
        for name, (setup, specs) in workloads(args, Path(folder)).items():
            found, used, equal = compared(sides, setup, specs, args)
            ratios = spread([b / a for a, b in zip(found["threads"], found["ray"], strict=True)])
            rates = {side: spread(rates) for side, rates in found.items()}
            costs = [used["threads"]["caller"], used["ray"]["caller"], used["ray"]["workers"], used["ray"]["others"]]
            report["workloads"][name] = {"episodes_per_s": rates, "ratio": ratios, "processor_ms_per_episode": used}
            checks[f"{name}: both sides have the same actions and rewards"] = equal
            between = f"{ratios['median']:.2f} ({ratios['least']:.2f} to {ratios['greatest']:.2f})"
            rows.append((name, rates["threads"]["median"], rates["ray"]["median"], between, *costs))
    text = table(["", "threads, episodes/s", "ray, episodes/s", "ray / threads", *COSTS], rows)
    finish(
        args, report, f"{text}\n\n{cores} cores, {args.workers} workers, load {report['load']:.1f} at the start", checks
    )


def workloads(args: Any, folder: Path) -> dict[str, tuple[EpisodeRunner, list[EpisodeSpec]]]:
    """Return the setup and the episodes of each workload."""
    registry = load_plugins()
    shop, shopper = registry.build("environment", "shop"), registry.build("expert", "shopper")
    format = ChatFormat(style="action", history=1)
    # Each turn has other tasks: policies keep what they computed, and would play the same ones from memory.
    warm_up, of_tiny = args.workers * args.concurrency, args.workers * args.episodes
    tasks = shop.tasks("train")[: warm_up + args.turns * of_tiny]
    shown = asyncio.run(gathered(demonstrations(shopper, shop, tasks[:50], 0)))
    conversations = [format.conversation(shop.instructions, each.initial, each.steps) for each in shown]
    tiny = TransformersPolicy()
    larger = TransformersPolicy(tiny=TinyModel(hidden=512, layers=8, heads=8, feed_forward=1536))
    weights = [
        each.initial_checkpoint(conversations, folder / str(each.tiny.hidden), seed=0) for each in (tiny, larger)
    ]
    sampling = Sampling(max_tokens=12, constrain=True)
    common = {"sampling": sampling, "concurrency": args.concurrency, "max_steps": 10}
    corridor = Corridor(tasks_per_split=warm_up + args.turns * args.short)
    episodes = [EpisodeSpec(id=f"shop/{n}", start=State(task=task), seed=n) for n, task in enumerate(tasks)]
    fewer = episodes[: warm_up + args.turns * max(1, of_tiny // 2)]
    return {
        "tiny model in the shop": (
            EpisodeRunner(shop, tiny, "agent/speed", format, checkpoint=weights[0], **common),
            episodes,
        ),
        "larger model in the shop": (
            EpisodeRunner(shop, larger, "agent/speed", format, checkpoint=weights[1], **common),
            fewer,
        ),
        "script in the corridor": (
            EpisodeRunner(corridor, ScriptedPolicy(skill=0.8), "agent/speed", ChatFormat(), **common),
            [EpisodeSpec(id=f"way/{n}", start=State(task=t), seed=n) for n, t in enumerate(corridor.tasks("train"))],
        ),
    }


def compared(
    sides: dict[str, Any], setup: EpisodeRunner, specs: list[EpisodeSpec], args: Any
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]], bool]:
    """Return the episodes per second of each side's turns, its processor time, and whether the results are equal."""
    used = {side: dict.fromkeys(("caller", "workers", "others"), 0.0) for side in sides}
    found: dict[str, list[float]] = {side: [] for side in sides}
    results: dict[str, list[Any]] = {}
    equal = True
    warm_up = args.workers * args.concurrency
    setups = {"threads": setup, "ray": replace(setup, concurrency=warm_up)}
    with ExitStack() as stack:
        playing = {side: stack.enter_context(executor.start(setups[side])) for side, executor in sides.items()}
        loop = stack.enter_context(asyncio.Runner())
        for play in playing.values():
            loop.run(played(play, specs[:warm_up]))  # both sides warm up
        each = (len(specs) - warm_up) // args.turns
        for turn in range(args.turns):
            specs_of_turn = specs[warm_up + turn * each :][:each]
            for side, play in playing.items():
                profile = cProfile.Profile() if args.profile else None
                if profile:
                    profile.enable()
                before = processor_seconds()
                began = time.perf_counter()
                results[side] = [outcome(one) for one in loop.run(played(play, specs_of_turn))]
                found[side].append(each / (time.perf_counter() - began))
                for where, seconds in processor_seconds().items():
                    used[side][where] += 1000 * (seconds - before[where]) / (each * args.turns)
                if profile:
                    profile.disable()
                    print_profile(side, profile)
            equal = equal and results["threads"] == results["ray"]
    return found, used, equal


def processor_seconds() -> dict[str, float]:
    """Return the processor time so far: of this process, of workers, and of Ray's other processes."""
    found = dict.fromkeys(("caller", "workers", "others"), 0.0)
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times, name = process.cpu_times(), process.cmdline()[:1]
            where = "caller" if process == own else "workers" if name == ["ray::Worker"] else "others"
            found[where] += times.user + times.system
    return found


async def played(play: Any, specs: list[EpisodeSpec]) -> list[Trajectory]:
    """Play episodes, all at once."""
    return list(await asyncio.gather(*map(play, specs)))


async def gathered(trajectories: Any) -> list[Trajectory]:
    """Return all trajectories of an iterator."""
    return [each async for each in trajectories]


def outcome(trajectory: Trajectory) -> tuple[Any, ...]:
    """Return what has to be equal in both executors."""
    return trajectory.id, trajectory.actions, trajectory.reward, trajectory.ending


def print_profile(side: str, profile: cProfile.Profile) -> None:
    """Print the functions that take the most time."""
    text = StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
    print(f"{side}:", text.getvalue())


if __name__ == "__main__":
    main()
