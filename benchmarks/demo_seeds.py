"""Does EEF beat rejection sampling with as many episodes, cloning, and the expert? Over several seeds.

Every seed has a shop of its own (products and goals), demonstrations, initial weights and samples of its own; settings
and the expert's skill were fixed on other seeds (see LOG.md). Prints a table with 95 % t-intervals over seeds, writes
JSON, and exits with 1 unless the first three differences lie above 0 with their intervals.

    python benchmarks/demo_seeds.py --seeds 100 101 102 103 104 105 106 107 --jobs 2

Interrupted, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eef_framework.evaluation.intervals import over_seeds
from eef_framework.records import Estimate, ResultRow, RunMetrics
from eef_framework.resources import available_cores

HERE = Path(__file__).parent
NAIVE = "sft-all"


def main() -> None:
    arguments = parsed()
    ablations = [str(path) for path in sorted((HERE / "ablations").glob("*.yaml"))] if arguments.ablations else []
    baselines = ["rft-matched", NAIVE, *ablations]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = list(pool.map(lambda seed: one_seed(seed, arguments, baselines), arguments.seeds))
    report = summary(arguments.seeds, runs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "summary.json").write_text(json.dumps(report, indent=2))
    print(as_text(report))
    failed = [name for name in list(report["differences"])[:3] if report["differences"][name]["low"] <= 0]
    if failed:
        sys.exit(f"not above 0 with its interval: {', '.join(failed)}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 108)))
    parser.add_argument("--goals", type=int, default=600, help="held-out goals of each seed")
    parser.add_argument("--jobs", type=int, default=2, help="seeds at a time, each with its share of the cores")
    parser.add_argument("--ablations", action="store_true", help="also the methods in benchmarks/ablations")
    parser.add_argument("--set", dest="assignments", action="append", default=[], help="passed on to eef-run")
    parser.add_argument("--out", type=Path, default=Path("runs/demo-seeds"))
    return parser.parse_args()


def one_seed(seed: int, arguments: argparse.Namespace, baselines: Sequence[str]) -> RunMetrics:
    """Do one run, in a process of its own, and return its results."""
    out = arguments.out / f"seed-{seed}"
    settings = [
        f"environment.catalogue_seed={seed}",
        f"evaluate.tasks.count={arguments.goals}",
        f"baselines={json.dumps(list(baselines))}",
        *arguments.assignments,
    ]
    start = "from eef_framework.cli.run import main; main()"
    command = [sys.executable, "-c", start, "demo", "--seed", str(seed), "--out", str(out)]
    for setting in settings:
        command += ["--set", setting]
    threads = max(1, available_cores() // arguments.jobs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / f"seed-{seed}.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"seed {seed} failed; see {log.name}")
    return RunMetrics.model_validate_json((out / "metrics.json").read_text())


def summary(seeds: Sequence[int], runs: Sequence[RunMetrics]) -> dict[str, object]:
    """Return means, differences and kinds over seeds."""
    labels = [row.label for row in runs[0].rows]
    rows = [{row.label: row for row in run.rows} for run in runs]
    finals = {label.rpartition(" ")[0] or label: label for label in labels}

    def over(value: Callable[[ResultRow], float], label: str) -> dict[str, float]:
        return estimate([value(each[label]) for each in rows])

    differences: dict[str, object] = {}
    for other in (
        "rft-matched",
        "sft",
        "expert",
        *(m for m in finals if m not in ("eef", "rft-matched", "sft", "expert")),
    ):
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
    found: Estimate = over_seeds(values)
    spread = (sum((v - found.mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5
    return {"mean": found.mean, "low": found.low, "high": found.high, "sd": spread}


def as_text(report: dict) -> str:
    """Return the report as Markdown tables."""

    def cell(e: dict, digits: int = 1) -> str:
        return f"{e['mean']:.{digits}f} [{e['low']:.{digits}f}, {e['high']:.{digits}f}]"

    kinds = list(report["by_kind"])
    lines = [
        f"{len(report['seeds'])} seeds, {report['goals']} held-out goals each; mean [95 % interval over seeds]",
        "",
    ]
    lines += [f"| | success, % | reward | episodes | {' | '.join(kinds)} |", "|---" * (4 + len(kinds)) + "|"]
    for label, each in report["success"].items():
        by_kind = " | ".join(f"{report['by_kind'][kind][label]['mean']:.1f}" for kind in kinds)
        episodes = f"{report['episodes'][label]['mean']:.0f}"
        lines.append(f"| {label} | {cell(each)} | {cell(report['reward'][label], 3)} | {episodes} | {by_kind} |")
    lines += ["", "| difference | points | per seed |", "|---|---|---|"]
    for label, each in report["differences"].items():
        lines.append(f"| {label} | {cell(each)} | {', '.join(f'{v:+.1f}' for v in each['per_seed'])} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
