"""Does a pretrained model learn from demonstrations? Its held-out success before and after cloning a scripted expert.

Takes a configuration (see `configs/smollm2-*.yaml`): who demonstrates where, model, training, held-out tasks. Nothing
is constrained in the one for TextWorld, so that the model may answer whatever it likes before training; how many of its
answers hold no action is among the figures. An interrupted benchmark continues when it is started again.

    eef models get smollm2-135m
    python benchmarks/pretrained.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import arguments, eef, finish, interval, read_json, settings, table

from eef_framework import Trajectory, load_config, load_plugins
from eef_framework.evaluation.evaluate import difference_of, evaluation_of

CONFIGS = Path(__file__).parent / "configs"
CLONING = ["iterations=0", "baselines=[]", "evaluate.expert=false"]


def main() -> None:
    args = arguments(
        __doc__,
        {"config": CONFIGS / "smoke.yaml", "set": ["clone.trainer.steps=40"]},
        config=(CONFIGS / "smollm2-textworld.yaml", "whom to clone, where, with what", Path),
        set=([], "settings, as for eef-run", str),
    )
    report = measure(args)
    rows = [
        [when, interval(found["success"], scale=100), 100 * found["unparsed_rate"], 100 * found["invalid_rate"]]
        for when, found in [("before", report["before"]), ("after", report["after"])]
    ]
    rows.append(["gain", interval(report["gain"], sign="+", scale=100), "", ""])
    text = f"{report['model']} on {report['environment']['name']}, {report['examples']} demonstrations learned, "
    text += f"{report['before']['episodes']} held-out tasks\n\n"
    text += table(["", "success, %", "answers without an action, %", "not understood, %"], rows)
    checks = {
        "it was trained on all of the expert's successes": report["examples"] == report["demonstrated"],
        "repeated, it does nothing and says the same": measure(args) == report,
    }
    finish(args, report, text, checks)


def measure(args: Any) -> dict[str, Any]:
    """Let the expert demonstrate, clone it, and evaluate the model as it was and as it became."""
    given = [*CLONING, *args.set]
    args.folder.mkdir(parents=True, exist_ok=True)
    run, log = args.folder / "run", args.folder / "log.txt"
    eef(args.config, "--out", run, *settings(given), log=log, program="eef-run")
    # A model that is made from the demonstrations lies in the run; another one is where the policy finds it.
    made = run / "base/checkpoint"
    start = ["--model", made] if made.is_dir() else []
    eef("evaluate", args.config, "--out", args.folder / "before.jsonl", *start, *settings(given), log=log)
    config = load_config(args.config, given, {}, load_plugins())
    rule, split = config.success, config.evaluate.tasks.split
    before, after = (rows(path) for path in (args.folder / "before.jsonl", run / "evaluate/clone/trajectories.jsonl"))
    return {
        "model": config.policy["model"],
        "environment": config.environment,
        "demonstrated": sum(map(rule.holds, rows(run / "collect/trajectories.jsonl"))),
        "examples": len({row["trajectory"] for row in read_json(run / "clone/examples.jsonl")}),
        "before": evaluation_of("before", before, rule, split).model_dump(mode="json"),
        "after": evaluation_of("after", after, rule, split).model_dump(mode="json"),
        "gain": difference_of("after - before", after, before, rule).success.model_dump(),
    }


def rows(path: Path) -> list[Trajectory]:
    """Read a file of trajectories."""
    return [Trajectory.model_validate_json(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
