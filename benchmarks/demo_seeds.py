"""Does EEF beat rejection sampling with as many episodes, cloning, and the expert? Over several seeds.

Every seed has a shop of its own (products and goals), demonstrations, initial weights and samples of its own; settings
and the expert's skill were fixed on other seeds (see LOG.md). Prints what `eef compare` does, and requires that the
first three differences lie above 0 with their intervals over seeds.

With `--ablations`, also: which of the expert's prefix actions should get loss? In the first iteration the methods in
`benchmarks/ablations` explore as EEF does, episode by episode, and differ in what they learn from it.

    python benchmarks/demo_seeds.py
    python benchmarks/demo_seeds.py --ablations --set iterations=1

An interrupted benchmark continues when it is started again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common import arguments, eef, finish, read_json, settings

from eef_framework.comparison import Comparison, compare_runs
from eef_framework.comparison.tables import as_markdown

HERE = Path(__file__).parent
CLAIMED = ("rft-matched", "sft", "expert")
PER_SEED = "environment.catalogue_seed"


def main() -> None:
    args = arguments(
        __doc__,
        {"config": HERE / "configs/smoke.yaml", "seeds": 2, "goals": 20, "ablations": True}
        | {"set": ["clone.trainer.steps=40"]},
        config=("demo", "recipe or configuration", str),
        seed=(100, "the first seed"),
        seeds=(8, "one run each"),
        goals=(600, "held-out goals of each seed"),
        jobs=(2, "seeds at a time, each with its share of the cores"),
        ablations=(False, "also the methods in benchmarks/ablations"),
        set=([], "settings, as for eef-run", str),
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    ablations = [str(path) for path in sorted((HERE / "ablations").glob("*.yaml"))] if args.ablations else []
    baselines = f"baselines={json.dumps(['rft-matched', 'sft-all', *ablations])}"
    given = settings([f"evaluate.tasks.count={args.goals}", baselines, *args.set])
    several = ("--seeds", args.seeds, "--seed", args.seed, "--jobs", args.jobs, "--per-seed", PER_SEED)
    eef(args.config, *several, "--out", args.folder, *given, log=args.folder / "runs.log", program="eef-run")
    found = compare_runs([args.folder / f"seed-{args.seed + index}" for index in range(args.seeds)], allow=[PER_SEED])
    finish(args, found.model_dump(mode="json"), as_markdown(found), checks(args, found))


def checks(args: Any, found: Comparison) -> dict[str, bool]:
    """Return what the benchmark claims."""
    played = {row.label: row.simulations for row in found.rows}
    matched = [label for label in played if label.startswith("rft-matched")]
    same = [played[label] == played[label.replace("rft-matched", "eef")] for label in matched]
    result = {"matched RFT plays as many episodes": len(same) > 0 and all(same)}
    seeds = range(args.seed, args.seed + args.seeds)
    if args.ablations:
        names = [row.label.split()[0] for row in found.rows if row.label.startswith("eef-")]
        same = [explored(args, seed, name) == explored(args, seed, "eef") for seed in seeds for name in names]
        result["ablations explore as EEF does in iteration 1"] = len(same) > 0 and all(same)
    if not args.quick:
        lows = {each.second.split()[0]: each.over_seeds.low for each in found.differences}
        result |= {f"eef - {other} > 0": lows[other] > 0 for other in CLAIMED}
    return result


def explored(args: Any, seed: int, method: str) -> list[list[str]]:
    """Return the actions of all episodes of a method's first exploration."""
    path = args.folder / f"seed-{seed}/methods/{method}/1/explore/simulations.jsonl"
    return [[step["action"] for step in row["steps"]] for row in read_json(path)]


if __name__ == "__main__":
    main()
