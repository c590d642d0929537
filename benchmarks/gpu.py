"""Does a GPU give what the CPU gives? Training, training through accelerate's FSDP2, resumption, and answers.

A small run on the CPU makes the examples and the model that they start from. Then the same training runs, in float32

* **cpu**: on the CPU;
* **gpu**: on the GPU;
* **fsdp2**: on the GPU, wrapped by accelerate (`docs/accelerate-fsdp2.yaml` for one process, in float32);
* **resumed**: as `gpu`, killed with SIGKILL halfway and started again;
* **bfloat16**: on the GPU, in bfloat16; reported, not checked.

Weights are compared with those of `cpu`. Then each model plays the held-out tasks, greedily, on the CPU and on the GPU.
A run on a machine without a GPU is skipped.

    python benchmarks/gpu.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from common import arguments, eef, eef_command, finish, settings, table
from safetensors.torch import load_file

from eef_framework import Trajectory

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-3
"""Maximum difference of a weight after the steps, of about 0.06 in size: sums are taken in another order."""


def main() -> None:
    args = arguments(
        __doc__,
        {"tasks": 40, "steps": 20, "goals": 20},
        tasks=(300, "training tasks"),
        steps=(100, "steps of each training"),
        goals=(200, "held-out tasks"),
        device=("cuda", "what is compared with the CPU"),
    )
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("skipped: there is no GPU")
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    run = args.folder / "run"
    given = [f"collect.tasks.count={args.tasks}", f"clone.trainer.steps={args.steps}", "clone.trainer.device=cpu"]
    given += [f"evaluate.tasks.count={args.goals}", "policy.device=cpu", "iterations=0", "baselines=[]"]
    eef("demo", "--out", run, *settings(given), log=args.folder / "log.txt", program="eef-run")
    accelerate = yaml.safe_load((ROOT / "docs/accelerate-fsdp2.yaml").read_text())
    accelerate |= {"num_processes": 1, "mixed_precision": "no", "use_cpu": args.device == "cpu"}
    (args.folder / "fsdp2.yaml").write_text(yaml.safe_dump(accelerate))
    on_gpu = {"device": args.device, "precision": "float32"}
    trainings: dict[str, dict[str, Any]] = {
        "cpu": {"device": "cpu", "precision": "float32"},
        "gpu": on_gpu,
        "fsdp2": on_gpu | {"accelerate_config": str(args.folder / "fsdp2.yaml")},
        "resumed": on_gpu | {"save_every_s": 0},
        "bfloat16": on_gpu | {"precision": "bfloat16"},
    }
    seconds, killed = {}, False
    for name, trainer in trainings.items():
        started = time.monotonic()
        if name == "resumed":
            killed = kill_halfway(run, args, trainer)
        train(run, args, name, trainer)
        seconds[name] = time.monotonic() - started
    reference = load_file(args.folder / "cpu/model.safetensors")
    differences = {name: difference(reference, args.folder / name / "model.safetensors") for name in trainings}
    played = {(name, where): play(run, args, name, where) for name in trainings for where in ("cpu", args.device)}
    same = {name: sum(map(str.__eq__, played[name, "cpu"], played[name, args.device])) for name in trainings}
    rows = [[name, differences[name], f"{same[name]} of {args.goals}", seconds[name]] for name in trainings]
    text = table(["training", "largest difference of a weight", "same episodes on both", "s, start included"], rows)
    checks = {f"{name} equals cpu": differences[name] <= TOLERANCE for name in ("gpu", "fsdp2", "resumed")}
    checks |= {f"{name}: the GPU plays as the CPU": same[name] >= 0.98 * args.goals for name in ("cpu", "gpu", "fsdp2")}
    checks["the training to be resumed was killed"] = killed
    finish(args, {"differences": differences, "same": same, "seconds": seconds}, text, checks)


def train_command(run: Path, args: Any, name: str, trainer: dict[str, Any]) -> list[object]:
    """Return the arguments of `eef` that train a model."""
    given = [f"tune.trainer.{key}={value}" for key, value in trainer.items()] + [f"tune.trainer.steps={args.steps}"]
    files = ["--examples", run / "clone/examples.jsonl", "--model", run / "base/checkpoint"]
    return ["train", "demo", "--out", args.folder / name, *files, *settings(given)]


def train(run: Path, args: Any, name: str, trainer: dict[str, Any]) -> None:
    """Train a model, if that wasn't done already."""
    if not (args.folder / name / "model.safetensors").is_file():
        eef(*train_command(run, args, name, trainer), log=args.folder / "log.txt")


def kill_halfway(run: Path, args: Any, trainer: dict[str, Any]) -> bool:
    """Start a training, and kill it once it has saved its state after a third of its steps; return whether it was."""
    folder = args.folder / "resumed"
    with (args.folder / "log.txt").open("a") as log:
        command = eef_command(*train_command(run, args, "resumed", trainer), program="eef")
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None:
            saved = [int(path.stem) for path in folder.glob("interrupted/*.json") if path.stem.isdigit()]
            if saved and max(saved) >= args.steps // 3:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait() == -signal.SIGKILL
            time.sleep(0.002)
    return False


def difference(reference: dict[str, torch.Tensor], path: Path) -> float:
    """Return the largest difference of a weight."""
    found = load_file(path)
    return max(float((reference[name].float() - found[name].float()).abs().max()) for name in reference)


def play(run: Path, args: Any, name: str, where: str) -> list[str]:
    """Play the held-out tasks in float32; return the actions of each."""
    out = args.folder / f"{name}-{where.replace(':', '')}.jsonl"
    given = [f"policy.device={where}", "policy.dtype=float32", f"evaluate.tasks.count={args.goals}"]
    if not out.is_file():
        model = args.folder / name
        eef("evaluate", "demo", "--out", out, "--model", model, *settings(given), log=args.folder / "log.txt")
    rows = (Trajectory.model_validate_json(line) for line in out.read_text().splitlines())
    return [" ".join(row.actions) for row in sorted(rows, key=lambda row: row.task.id)]


if __name__ == "__main__":
    main()
