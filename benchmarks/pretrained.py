"""Does a pretrained model learn from demonstrations? Its held-out success before and after cloning a scripted expert.

Takes a configuration (see `configs/smollm2-*.yaml`): who demonstrates where, model, training, held-out tasks. Nothing
is constrained, so that the model before training may answer whatever it likes; how often its answers hold no action is
among the figures. Repeated after an interruption, it goes on. Prints both rates with 95 % intervals and their paired
difference; writes JSON.

    eef models get smollm2-135m
    python benchmarks/pretrained.py benchmarks/configs/smollm2-textworld.yaml --out runs/pretrained
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from eef_framework.config.loading import load_config
from eef_framework.evaluation.evaluate import difference_of
from eef_framework.pipeline import RunContext
from eef_framework.pipeline.phases import Collect, Evaluate, InitialCheckpoint, Select, Train
from eef_framework.pipeline.progress import progress_on
from eef_framework.pipeline.rows import Rows
from eef_framework.plugins import load_plugins
from eef_framework.records import Example, Trajectory
from eef_framework.runs import RunDirectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], help="a setting, as for eef-run")
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"))
    arguments = parser.parse_args()
    report = measure(arguments.config, arguments.set, arguments.out)
    (arguments.out / "summary.json").write_text(json.dumps(report, indent=2))
    print(as_text(report))


def measure(config: Path, settings: list[str], out: Path) -> dict:
    """Collect, evaluate the model as it is, train it, and evaluate it again."""
    registry = load_plugins()
    configuration = load_config(config, settings, {}, registry)
    demonstrations, examples = Rows(out / "demonstrations.jsonl", Trajectory), Rows(out / "examples.jsonl", Example)
    with RunContext(configuration, registry, progress_on(Console(stderr=True))) as context:
        context.check(configuration)
        RunDirectory(out).prepare(context.resolved(), {})  # what was begun with other settings is refused
        base = InitialCheckpoint(demonstrations=demonstrations, folder=out / "base")
        clone = Train(
            trainer=configuration.tune.trainer or configuration.clone.trainer,
            examples=examples,
            start=base,
            folder=out / "clone",
        )
        evaluations = {
            when: Evaluate(
                tasks=configuration.evaluate.tasks, weights=weights, played=Rows(out / f"{when}.jsonl", Trajectory)
            )
            for when, weights in (("before", base), ("after", clone))
        }
        Collect(tasks=configuration.collect.tasks, demonstrations=demonstrations).run(context)
        base.run(context)
        evaluations["before"].run(context)
        Select(variant=configuration, demonstrations=demonstrations, examples=examples).run(context)
        if not (clone.folder / "model.safetensors").exists():
            clone.run(context)
        evaluations["after"].run(context)
        before, after = (each.evaluation(context) for each in evaluations.values())
        rows = (evaluations[when].played.read() for when in ("after", "before"))
        gain = difference_of("after - before", *rows, configuration.success)
    return {
        "model": configuration.policy.get("model"),
        "environment": configuration.environment,
        "examples": len(examples.read()),
        "before": before.model_dump(mode="json"),
        "after": after.model_dump(mode="json"),
        "gain": gain.success.model_dump(),
    }


def as_text(report: dict) -> str:
    """Write the report for reading."""
    lines = [f"{report['model']} on {report['environment']['name']}, {report['examples']} demonstrations learnt"]
    for when in ("before", "after"):
        found = report[when]
        unparsed, invalid = 100 * found["unparsed_rate"], 100 * found["invalid_rate"]
        lines.append(
            f"{when:<7} {percent(found['success'])} of {found['episodes']}; "
            f"without an action {unparsed:.1f} % of answers, not understood {invalid:.1f} %"
        )
    lines.append(f"gain    {percent(report['gain'])}")
    return "\n".join(lines)


def percent(estimate: dict) -> str:
    """Write a share with its interval."""
    return "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * estimate[name] for name in ("mean", "low", "high")))


if __name__ == "__main__":
    main()
