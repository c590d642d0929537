"""Which of the expert's prefix actions should get loss? The paper's rule beside others, on the same exploration.

Takes runs of `demo_seeds.py`. In each, the first exploration by the cloned agent is used again: with every rule,
solutions are chosen and masked, the clone is fine-tuned with the same settings and seed, and plays the same held-out
goals. So the rules differ in the loss on expert prefixes and in nothing else. Prints success, and differences to the
paper's rule with 95 % t-intervals over seeds; writes JSON.

    python benchmarks/masking.py runs/demo-seeds/seed-* --jobs 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from eef_framework.config.loading import load_config
from eef_framework.evaluation.intervals import over_seeds
from eef_framework.pipeline import RunContext
from eef_framework.pipeline.phase import GivenWeights
from eef_framework.pipeline.phases import Evaluate, ExplorationFiles, Select, Train
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import load_plugins
from eef_framework.records import Evaluation, Example, RunMetrics, Trajectory
from eef_framework.runs import RunLayout, StageKey, read_rows

PAPER = "beneficial"
RULES = (PAPER, "not-harmful", "all", "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories with an explored first iteration")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/masking"))
    arguments = parser.parse_args()
    work = [(run, rule, arguments.out / run.name / rule) for run in arguments.runs for rule in arguments.rules]
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(one, work))
    report = summary(arguments.runs, arguments.rules, results)
    (arguments.out / "summary.json").write_text(json.dumps(report, indent=2))
    print(as_text(report))


def one(work: tuple[Path, str, Path]) -> dict:
    """Choose, train and evaluate with one rule; a result that is there already is taken as it is."""
    run, rule, out = work
    done = out / "result.json"
    if done.exists():
        return json.loads(done.read_text())
    if rule == PAPER:  # the run itself did just that
        return of_run(run)
    import torch

    torch.set_num_threads(1)
    registry = load_plugins()
    config = load_config(run / "config.yaml", [f"select.prefix_loss={rule}"], {}, registry)
    out.mkdir(parents=True, exist_ok=True)
    layout, clone = RunLayout(run), GivenWeights(RunLayout(run).checkpoint(StageKey("clone")))
    chosen = Rows(out / "examples.jsonl", Example)
    select = Select(
        variant=config,
        demonstrations=Rows(layout.trajectories(StageKey("collect")), Trajectory),
        explorations=[ExplorationFiles(layout.path / StageKey("explore", "eef", 1).path)],
        examples=chosen,
    )
    trainer = config.tune.trainer or config.clone.trainer
    tune = Train(trainer=trainer, examples=chosen, start=clone, folder=out / "checkpoint")
    evaluate = Evaluate(tasks=config.evaluate.tasks, weights=tune, played=Rows(out / "trajectories.jsonl", Trajectory))
    with RunContext(config, registry) as context:
        for phase in (select, tune, evaluate):
            phase.run(context)
        found = evaluate.evaluation(context)
    done.write_text(json.dumps(result(found, chosen.read())))
    return result(found, chosen.read())


def of_run(run: Path) -> dict:
    """Return what the run's own first iteration gave."""
    metrics = RunMetrics.model_validate_json((run / "metrics.json").read_text())
    row = next(row for row in metrics.rows if row.label == "eef 1")
    return result(row.evaluation, list(read_rows(run / "methods/eef/1/select/examples.jsonl", Example)))


def result(found: Evaluation, chosen: Sequence[Example]) -> dict:
    return {
        "success": 100 * found.success.mean,
        "by_kind": {kind: 100 * each.mean for kind, each in found.by_kind.items()},
        "examples": dict(Counter(example.source for example in chosen)),
    }


def summary(runs: Sequence[Path], rules: Sequence[str], results: Sequence[dict]) -> dict:
    by_rule = {rule: results[number :: len(rules)] for number, rule in enumerate(rules)}
    report: dict = {"runs": [run.name for run in runs], "rules": {}}
    for rule, each in by_rule.items():
        success = [one["success"] for one in each]
        paper = [one["success"] for one in by_rule.get(PAPER, each)]
        difference = [a - b for a, b in zip(success, paper, strict=True)]
        kinds = sorted(each[0]["by_kind"])
        report["rules"][rule] = {
            "success": over_seeds(success).model_dump(),
            "difference": over_seeds(difference).model_dump() | {"per_seed": difference},
            "by_kind": {kind: sum(one["by_kind"][kind] for one in each) / len(each) for kind in kinds},
            "continuation_examples": sum(one["examples"].get("continuation", 0) for one in each) / len(each),
        }
    return report


def as_text(report: dict) -> str:
    kinds = list(next(iter(report["rules"].values()))["by_kind"])
    lines = [f"{len(report['runs'])} seeds; mean [95 % interval over seeds]", ""]
    lines.append(
        f"| loss on prefix | success, % | minus the paper's rule | {' | '.join(kinds)} | continuation samples |"
    )
    lines.append("|---" * (4 + len(kinds)) + "|")
    for rule, each in report["rules"].items():
        s, d = each["success"], each["difference"]
        by_kind = " | ".join(f"{each['by_kind'][kind]:.1f}" for kind in kinds)
        lines.append(
            f"| {rule} | {s['mean']:.1f} [{s['low']:.1f}, {s['high']:.1f}] | {d['mean']:+.1f} [{d['low']:+.1f}, "
            f"{d['high']:+.1f}] | {by_kind} | {each['continuation_examples']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
