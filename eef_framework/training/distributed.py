"""Distributed training: a launcher starts several processes (`worker`), and the first one reports progress.

All data passes through files in the output folder: first the request, then the checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from eef_framework import errors
from eef_framework.errors import EefWarning, TrainerFailure
from eef_framework.interfaces import ProgressCallback
from eef_framework.policies.loading import Device
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.training.settings import SupervisedSettings

LAST_WORDS = 12
"""Number of output lines of a failed process to show."""

_OF_LAUNCHERS = re.compile(
    r"RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|ROLE_.*|MASTER_ADDR|MASTER_PORT"
    r"|(ACCELERATE|FSDP|TORCHELASTIC|PMI|OMPI_COMM_WORLD|MV2_COMM_WORLD)_.*"
)
"""Environment variables with which launchers configure the rank and the settings of processes."""


@contextmanager
def single_process(device: Device) -> Iterator[None]:
    """Hide a launcher's environment variables: libraries would wait for peers that never appear.

    Args:
        device: the device to compute on; one of several GPUs is passed to accelerate.
    """
    hidden = {name: value for name, value in os.environ.items() if _OF_LAUNCHERS.fullmatch(name)}
    if hidden:
        told = EefWarning(
            f"environment variables of a launcher are ignored: {', '.join(sorted(hidden))}. For several processes, set "
            "the trainer's processes or accelerate_config.",
            code="launcher-variables",
            names=sorted(hidden),
        )
        warnings.warn(told, stacklevel=2)
    for name in hidden:
        del os.environ[name]
    if ":" in device:
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        yield
    finally:
        for name in [name for name in os.environ if _OF_LAUNCHERS.fullmatch(name)]:
            del os.environ[name]
        os.environ.update(hidden)


class Request(BaseModel):
    """A training request for the processes."""

    settings: dict[str, Any]
    examples: tuple[Example, ...]
    start: Checkpoint
    seed: int


def train_elsewhere(
    trainer: SupervisedSettings,
    examples: Sequence[Example],
    start: Checkpoint,
    output: Path,
    seed: int,
    progress: ProgressCallback,
) -> TrainResult:
    """Train on several processes.

    Raises:
        NothingToTrain: no example has a token to learn.
        TrainerFailure: a process failed; the message contains its last output.
    """
    settings = {key: value for key, value in trainer.settings().items() if key != "name"}
    request = Request(settings=settings, examples=tuple(examples), start=start, seed=seed)
    (output / "request.json").write_text(request.model_dump_json(), encoding="utf-8")
    log = output / "processes.log"
    with (
        log.open("w", encoding="utf-8") as said_by_all,
        subprocess.Popen(
            _command(trainer, output),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said_by_all,
            encoding="utf-8",
            env={name: value for name, value in os.environ.items() if not _OF_LAUNCHERS.fullmatch(name)},
        ) as launcher,
    ):
        try:
            assert launcher.stdout is not None
            last = _relay(launcher.stdout, progress)
        except BaseException:
            launcher.terminate()
            raise
    if "error" in last:
        raise getattr(errors, last["kind"])(**last["error"])
    if launcher.returncode or "result" not in last:
        said = "\n".join(log.read_text(encoding="utf-8").strip().splitlines()[-LAST_WORDS:])
        raise TrainerFailure(
            f"training on several processes failed (status {launcher.returncode}):\n{said}",
            f"All they said is in {log}. What was saved so far is kept: run the command again.",
        )
    for done in (output / "request.json", log):
        done.unlink()
    return TrainResult.model_validate(last["result"])


def _command(trainer: SupervisedSettings, output: Path) -> list[str]:
    """Return the command line that starts the processes."""
    how = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(trainer.processes)]
    if trainer.accelerate_config is not None:
        how = ["accelerate.commands.launch", "--config_file", str(trainer.accelerate_config)]
    return [sys.executable, "-m", *how, "-m", "eef_framework.training.worker", str(output)]


def _relay(said: IO[str], progress: ProgressCallback) -> dict[str, Any]:
    """Forward the progress of the first process, and return its last message."""
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
