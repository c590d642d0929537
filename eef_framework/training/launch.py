"""Training on several processes: a launcher starts them, each runs `main`, and the first one tells how far it is.

Everything passes through files in the output folder: the request on the way there, the checkpoint on the way back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel

from eef_framework.errors import NothingToTrain, TrainerFailure
from eef_framework.interfaces import Progress
from eef_framework.policies.loading import pick_device
from eef_framework.records import Checkpoint, Example

if TYPE_CHECKING:
    from eef_framework.training.sft import SftTrainer

LAST_WORDS = 12
"""How many lines of a failed process's output are shown."""


class Request(BaseModel):
    """What the processes are to do."""

    settings: dict[str, Any]
    examples: tuple[Example, ...]
    start: Checkpoint
    seed: int


def train_elsewhere(
    trainer: SftTrainer, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: Progress
) -> int:
    """Train on several processes. Returns how many tokens went through the model.

    Raises:
        NothingToTrain: no example has a token to learn.
        TrainerFailure: a process failed; says what it said last.
    """
    settings = {key: value for key, value in trainer.settings().items() if key != "name"}
    request = Request(settings=settings, examples=tuple(examples), start=start, seed=seed)
    (output / "request.json").write_text(request.model_dump_json(), encoding="utf-8")
    log = output / "processes.log"
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            _command(trainer, output), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        ) as launcher,
    ):
        try:
            assert launcher.stdout is not None
            last = _relay(launcher.stdout, progress)
        except BaseException:
            launcher.terminate()
            raise
    if "nothing" in last:
        raise NothingToTrain(*last["nothing"])
    if launcher.returncode or "tokens" not in last:
        said = "\n".join(log.read_text(encoding="utf-8").strip().splitlines()[-LAST_WORDS:])
        raise TrainerFailure(
            last.get("failure") or f"training on several processes failed (status {launcher.returncode}):\n{said}",
            f"All they said is in {log}. What was learnt so far is kept: repeat the command.",
        )
    for done in (output / "request.json", log):
        done.unlink()
    return int(last["tokens"])


def _command(trainer: SftTrainer, output: Path) -> list[str]:
    """Return the command line that starts the processes."""
    how = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(trainer.processes)]
    if trainer.accelerate_config is not None:
        how = ["accelerate.commands.launch", "--config_file", str(trainer.accelerate_config)]
    return [sys.executable, "-m", *how, "-m", "eef_framework.training.launch", str(output)]


def _relay(said: IO[str], progress: Progress) -> dict[str, Any]:
    """Pass on how far the first process is, and return its last word."""
    last: dict[str, Any] = {}
    for line in said:
        if not line.startswith("{"):
            continue  # libraries print things
        message = json.loads(line)
        if "step" in message:
            progress(message["step"], message["steps"], message["note"])
        else:
            last |= message
    return last


def main(output: Path) -> None:
    """Do what a request asks for, as one of several processes."""
    from accelerate import PartialState

    from eef_framework.training.sft import SftTrainer, train_here

    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    request = Request.model_validate_json((output / "request.json").read_text(encoding="utf-8"))
    trainer = SftTrainer.model_validate(request.settings)
    leads = PartialState(cpu=pick_device(trainer.device) == "cpu").is_main_process

    def say(**message: Any) -> None:
        if leads:
            print(json.dumps(message), flush=True)

    def progress(step: int, steps: int, note: str) -> None:
        say(step=step, steps=steps, note=note)

    try:
        say(tokens=train_here(trainer, request.examples, request.start, output, request.seed, progress))
    except NothingToTrain as nothing:
        say(nothing=[nothing.message, nothing.fix])
    except TrainerFailure as failure:
        say(failure=failure.message)
        raise


def _end_with_the_parent() -> None:
    """End this process when its input ends, which is when the process that asked for the training is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
