"""Can a world tell methods of attribution apart? Three trainings from one clone bound what attribution can gain.

For each world (`worlds/*.yaml`; `dev` tasks, one iteration, exploration and evaluation sample alike):

* **rft**: matched rejection sampling, learning the shortest of its solutions;
* **true**: EEF with true verdicts (`worlds/oracle.py`: how many actions a perfect expert still needs before and after),
  simulations from the same states as EEF's, and the shortest solutions;
* **gold**: the perfect expert's solutions of all training tasks.

A world says something about attribution if gold is at least 15 points ahead of rft, and true at least 5. The expert
should solve 30 to 45 %, the clone 15 to 50 % of the held-out tasks, and within 5 points of that of the training tasks.

    python benchmarks/worlds.py --worlds shop textworld webshop

An interrupted benchmark continues when it is started again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml
from common import arguments, eef, finish, settings, shared_data, table

from eef_framework import RunConfig, load_config, load_run

HERE = Path(__file__).parent
WORLDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "shop": ("oracle:Oracle", {"name": "perfect-shopper"}, {"name": "perfect-shopper"}),
    "textworld": ("oracle:Oracle", {"name": "textworld-walkthrough"}, {"name": "textworld-walkthrough"}),
    "webshop": (
        "oracle:ContinuingOracle",
        {"name": "webshop-shopper", "easy_skill": 1.0, "hard_skill": 1.0},
        {"name": "webshop-perfect"},
    ),
    "sciworld": (
        "sciworld_oracle:SciWorldOracle",
        {"name": "sciworld-gold", "brief": True},
        {"name": "sciworld-gold", "brief": True},
    ),
}
"""Name of each world's configuration -> its oracle, the expert by which that judges, and the one that solves all tasks.

WebShop's oracle judges by an expert that makes no mistakes and knows what pages show. `webshop-perfect` knows the
product from the start: to it, looking at one and leaving it is a detour, and agents would never learn to.
"""
RATES = ("expert", "clone", "clone, training tasks", "rft", "eef", "true", "gold", "true - rft", "gold - rft")
SHORTEST = {"solution": ["least-expert", "fewest-steps"]}


def main() -> None:
    args = arguments(
        __doc__,
        {"worlds": ["shop"], "tasks": 20, "clone_steps": 20, "steps": 10, "goals": 20},
        worlds=(list(WORLDS), "which ones"),
        seed=(0, "of the runs"),
        tasks=(0, "training tasks; 0 for as many as the configuration says"),
        clone_steps=(0, "steps of cloning; 0 as above"),
        steps=(0, "steps of each training from the clone; 0 as above"),
        goals=(0, "held-out tasks; 0 as above"),
        data=(None, "WebShop's official files, or a prepared store; the 1,000 products of the shared data", Path),
        set=([], "settings, as for eef-run", str),
    )
    # eef-run imports the oracle by its module's name.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "worlds"), *filter(None, [os.environ.get("PYTHONPATH")])])
    args.folder.mkdir(parents=True, exist_ok=True)
    found = {world: measured(world, args) for world in args.worlds}
    header = [
        "world",
        "expert",
        "clone",
        "clone, training tasks",
        "rft",
        "eef",
        "true",
        "gold",
        "true - rft",
        "gold - rft",
    ]
    rows = [[world, *(f"{100 * each[name]:.1f}" for name in header[1:])] for world, each in found.items()]
    text = table([f"{name}, %" if name != "world" else name for name in header], rows)
    for world, each in found.items():
        text += f"\n\n{world}: " + "; ".join(
            f"{rule}: {'yes' if holds else 'NO'}" for rule, holds in rules(each).items()
        )
    checks = {
        f"{world}: {method} spends what EEF spends": each["simulations"][method] == each["simulations"]["eef"]
        for world, each in found.items()
        for method in ("rft", "true")
    }
    report = {world: each | {"rules": rules(each)} for world, each in found.items()}
    finish(args, report, text, checks)


def rules(found: dict[str, Any]) -> dict[str, bool]:
    """Return what a world has to meet, and whether it does."""
    return {
        "expert 30 to 45": 0.30 <= found["expert"] <= 0.45,
        "clone 15 to 50": 0.15 <= found["clone"] <= 0.50,
        "clone alike on training tasks": abs(found["clone"] - found["clone, training tasks"]) <= 0.05,
        "gold - rft >= 15": found["gold - rft"] >= 0.15,
        "true - rft >= 5": found["true - rft"] >= 0.05,
    }


def measured(world: str, args: Any) -> dict[str, Any]:
    """Run a world's trainings, and return its rates."""
    data = args.data or shared_data("webshop-1k") if world == "webshop" else None
    config = load_config(HERE / f"worlds/{world}.yaml", [*data_settings(data), *args.set])
    folder = args.folder / world
    folder.mkdir(exist_ok=True)
    oracle, judge, perfect = WORLDS[world]
    methods = bounds(config, oracle, judge)
    for name, method in methods.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(method))
    given = [*data_settings(data), *args.set]
    given += [f"collect.tasks.count={args.tasks}"] if args.tasks else []
    given += [f"evaluate.tasks.count={args.goals}"] if args.goals else []
    tuning = [f"tune.trainer.steps={args.steps}"] if args.steps else []
    cloning = [f"clone.trainer.steps={args.clone_steps}"] if args.clone_steps else []
    baselines = json.dumps([str(folder / f"{name}.yaml") for name in methods])
    run(world, folder / "methods", args, [*given, *tuning, *cloning, f"baselines={baselines}"], folder)
    results = load_run(folder / "methods")
    # The perfect expert's solutions, learned from the same clone as the methods learn theirs.
    clone = {"name": "transformers", "model": str((folder / "methods/clone/checkpoint").resolve())}
    gold = [
        "method=sft",
        "iterations=0",
        "attributor=null",
        "baselines=[]",
        f"expert={json.dumps(perfect)}",
        f"policy={json.dumps(clone)}",
        f"clone.trainer={json.dumps(results.config['tune']['trainer'])}",
    ]
    run(world, folder / "gold", args, [*given, *gold], folder)
    rates = {row.label: row.evaluation.success.mean for row in results.rows}
    rft = load_run(folder / "methods").trajectories("explore", "rft", 1)
    solved = [results.metrics.threshold <= each.reward for each in rft if each.error == ""]
    found = {
        "expert": rates["expert"],
        "clone": rates["sft"],
        "clone, training tasks": sum(solved) / len(solved),
        "rft": rates["rft 1"],
        "eef": rates["eef 1"],
        "true": rates["true 1"],
        "gold": next(row.evaluation.success.mean for row in load_run(folder / "gold").rows if row.label == "sft"),
        "simulations": {row.label.split()[0]: row.cost.simulations for row in results.rows if row.iteration},
    }
    return found | {f"{name} - rft": found[name] - found["rft"] for name in ("true", "gold")}


def data_settings(data: Path | None) -> list[str]:
    """Return the setting that names WebShop's files, if there are any."""
    return [f"environment.data={json.dumps(str(data.resolve()))}"] if data else []


def bounds(config: RunConfig, oracle: str, judge: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the recipes beside a world's EEF; the one with true verdicts simulates from the same states.

    Args:
        config: the world's, with the settings that were given.
        oracle: name of the attributor that gives true verdicts.
        judge: the expert by which it judges.
    """
    given = {"name": oracle, "environment": dict(config.environment), "gold": judge}
    return {
        "rft": {"extends": "rft-matched", "method": "rft", "select": SHORTEST},
        "true": {
            "extends": "eef",
            "method": "true",
            "select": SHORTEST,
            "attributor": {**(config.attributor or {}), **given},
        },
    }


def run(world: str, out: Path, args: Any, given: list[str], folder: Path) -> None:
    """Run `eef-run`."""
    config = HERE / f"worlds/{world}.yaml"
    eef(config, "--seed", args.seed, "--out", out, *settings(given), log=folder / "runs.log", program="eef-run")


if __name__ == "__main__":
    main()
