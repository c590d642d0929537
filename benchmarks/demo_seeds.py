"""Does EEF beat rejection sampling with as many episodes, cloning, and the expert? Over several seeds.

Every seed has a shop of its own (products and goals), demonstrations, initial weights and samples of its own; settings
and the expert's skill were fixed on other seeds (see LOG.md). Prints means with 95 % t-intervals over seeds, and
requires that the first three differences lie above 0 with their intervals.

With `--ablations`, also: which of the expert's prefix actions should get loss? In the first iteration the methods in
`benchmarks/ablations` explore as EEF does, episode by episode, and differ in what they learn from it.

    python benchmarks/demo_seeds.py
    python benchmarks/demo_seeds.py --ablations --set iterations=1

An interrupted benchmark continues when it is started again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import stdev
from typing import Any

from common import arguments, eef, finish, interval, read_json, settings, table

from eef_framework import RunMetrics
from eef_framework.evaluation.intervals import over_seeds
from eef_framework.records import ResultRow
from eef_framework.resources import available_cores

HERE = Path(__file__).parent
CLAIMED = ("rft-matched", "sft", "expert")


def main() -> None:
    args = arguments(
        __doc__,
        {"config": HERE / "configs/smoke.yaml", "seeds": [100, 101], "goals": 20, "ablations": True}
        | {"set": ["clone.trainer.steps=40"]},
        config=("demo", "recipe or configuration", str),
        seeds=(list(range(100, 108)), "one run each"),
        goals=(600, "held-out goals of each seed"),
        jobs=(2, "seeds at a time, each with its share of the cores"),
        ablations=(False, "also the methods in benchmarks/ablations"),
        set=([], "settings, as for eef-run", str),
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(lambda seed: one_seed(seed, args), args.seeds))
    report = summary(args.seeds, runs)
    rows = [{row.label: row for row in run.rows} for run in runs]
    played = {label: [each[label].cost.simulations for each in rows] for label in rows[0]}
    matched = [label for label in played if label.startswith("rft-matched")]
    same = [played[label] == played[label.replace("rft-matched", "eef")] for label in matched]
    checks = {"matched RFT plays as many episodes": len(same) > 0 and all(same)}
    if args.ablations:
        names = {row.method for row in runs[0].rows if row.method.startswith("eef-")}
        same = [explored(args, seed, name) == explored(args, seed, "eef") for seed in args.seeds for name in names]
        checks["ablations explore as EEF does in iteration 1"] = len(same) > 0 and all(same)
    if not args.quick:
        checks |= {f"eef - {other} > 0": report["differences"][f"eef - {other}"]["low"] > 0 for other in CLAIMED}
    finish(args, report, as_text(report), checks)


def one_seed(seed: int, args: Any) -> RunMetrics:
    """Do one run, in a process of its own, and return its results."""
    out = args.folder / f"seed-{seed}"
    ablations = [str(path) for path in sorted((HERE / "ablations").glob("*.yaml"))] if args.ablations else []
    given = [
        f"environment.catalogue_seed={seed}",
        f"evaluate.tasks.count={args.goals}",
        f"baselines={json.dumps(['rft-matched', 'sft-all', *ablations])}",
        *args.set,
    ]
    command = [args.config, "--seed", seed, "--out", out, *settings(given)]
    threads = max(1, available_cores() // args.jobs)
    eef(*command, log=out.with_suffix(".log"), threads=threads, program="eef-run")
    return RunMetrics.model_validate_json((out / "metrics.json").read_text())


def explored(args: Any, seed: int, method: str) -> list[list[str]]:
    """Return the actions of all episodes of a method's first exploration."""
    path = args.folder / f"seed-{seed}/methods/{method}/1/explore/simulations.jsonl"
    return [[step["action"] for step in row["steps"]] for row in read_json(path)]


def summary(seeds: Sequence[int], runs: Sequence[RunMetrics]) -> dict[str, Any]:
    """Return means, differences and kinds over seeds."""
    labels = [row.label for row in runs[0].rows]
    rows = [{row.label: row for row in run.rows} for run in runs]
    finals = {row.method or row.label: row.label for row in runs[0].rows}

    def over(value: Callable[[ResultRow], float], label: str) -> dict[str, float]:
        return estimate([value(each[label]) for each in rows])

    differences = {}
    for other in (*CLAIMED, *(method for method in finals if method not in ("eef", *CLAIMED))):
        per_seed = [success(each[finals["eef"]]) - success(each[finals[other]]) for each in rows]
        differences[f"eef - {other}"] = estimate(per_seed) | {"per_seed": per_seed}
    kinds = sorted(rows[0][labels[0]].evaluation.by_kind)
    return {
        "seeds": list(seeds),
        "goals": rows[0][labels[0]].evaluation.episodes,
        "success": {label: over(success, label) for label in labels},
        "reward": {label: over(lambda row: row.evaluation.reward.mean, label) for label in labels},
        "episodes": {label: over(lambda row: row.cost.simulations, label) for label in labels},
        "differences": differences,
        "by_kind": {
            kind: {
                label: over(lambda row, kind=kind: 100 * row.evaluation.by_kind[kind].mean, label) for label in labels
            }
            for kind in kinds
        },
    }


def success(row: ResultRow) -> float:
    """Return the success rate in per cent."""
    return 100 * row.evaluation.success.mean


def estimate(values: Sequence[float]) -> dict[str, float]:
    """Return mean, interval and spread over seeds."""
    spread = stdev(values) if len(values) > 1 else 0.0
    return over_seeds(values).model_dump(include={"mean", "low", "high"}) | {"sd": spread}


def as_text(report: dict[str, Any]) -> str:
    """Return the report as Markdown tables."""
    kinds = report["by_kind"]
    rows = [
        [label, interval(each), interval(report["reward"][label], 3), f"{report['episodes'][label]['mean']:.0f}"]
        + [f"{kind[label]['mean']:.1f}" for kind in kinds.values()]
        for label, each in report["success"].items()
    ]
    differences = [
        [label, interval(each, sign="+"), ", ".join(f"{value:+.1f}" for value in each["per_seed"])]
        for label, each in report["differences"].items()
    ]
    return "\n\n".join(
        [
            f"{len(report['seeds'])} seeds, {report['goals']} held-out goals each; mean [95 % interval over seeds]",
            table(["", "success, %", "reward", "episodes", *kinds], rows),
            table(["difference", "points", "per seed"], differences),
        ]
    )


if __name__ == "__main__":
    main()
