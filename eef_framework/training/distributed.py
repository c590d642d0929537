"""Distributed training: a launcher starts several processes (`worker`), and the main one reports progress.

The processes read the request from a file in the output folder, and write the checkpoint there.
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
from eef_framework._compat.accelerate import DEVICE_VARIABLE, LAUNCH_MODULE, LAUNCHER_VARIABLES
from eef_framework.errors import EefWarning, TrainerFailure
from eef_framework.interfaces import ProgressCallback
from eef_framework.policies.loading import Device
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.runs.atomic import write_text
from eef_framework.runs.file_names import REQUEST
from eef_framework.training.settings import SupervisedSettings

LINES_SHOWN = 12
"""Number of lines of a failed process's log to show."""

LAUNCHER_REPORT = re.compile(r"[EW]\d{4} .*torch/distributed/elastic/")
"""Begin of what the launcher logs about a failed process. Its own traceback follows, which explains nothing."""


@contextmanager
def single_process(device: Device) -> Iterator[None]:
    """Hide a launcher's environment variables: libraries would wait for other processes that never start.

    Args:
        device: the device to compute on; one of several GPUs is passed to accelerate.
    """
    variables = {name: value for name, value in os.environ.items() if LAUNCHER_VARIABLES.fullmatch(name)}
    if variables:
        warning = EefWarning(
            f"environment variables of a launcher are ignored: {', '.join(sorted(variables))}. For several processes, "
            "set the trainer's processes or accelerate_config.",
            code="launcher-variables",
            names=sorted(variables),
        )
        warnings.warn(warning, stacklevel=2)
    for name in variables:
        del os.environ[name]
    if ":" in device:
        os.environ[DEVICE_VARIABLE] = device
    try:
        yield
    finally:
        for name in [name for name in os.environ if LAUNCHER_VARIABLES.fullmatch(name)]:
            del os.environ[name]
        os.environ.update(variables)


class TrainingRequest(BaseModel):
    """A training request for the processes."""

    settings: dict[str, Any]
    examples: tuple[Example, ...]
    start: Checkpoint
    seed: int


def train_distributed(
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
    request = TrainingRequest(settings=settings, examples=tuple(examples), start=start, seed=seed)
    write_text(output / REQUEST, request.model_dump_json())
    log = output / "processes.log"
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            launch_command(trainer, output),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            errors="replace",
            env=launch_environment(),
        ) as launcher,
    ):
        try:
            assert launcher.stdout is not None
            message = _relay(launcher.stdout, progress)
        except BaseException:
            launcher.terminate()
            raise
        finally:
            # Also after a failure or Ctrl-C: a host that joins then would wait for this training until its rendezvous
            # times out. Only after a kill it stays, until the training starts again.
            (output / REQUEST).unlink()
    if "error" in message:
        raise getattr(errors, message["kind"], TrainerFailure)(**message["error"])
    if launcher.returncode or "result" not in message:
        lines = _last_words(log)
        raise TrainerFailure(
            f"training on several processes failed (status {launcher.returncode}):\n" + "\n".join(lines),
            f"Their whole output is in {log}. What was saved so far is kept: run the command again.",
            lines=lines,
        )
    log.unlink()
    return TrainResult.model_validate(message["result"])


def launch_command(trainer: SupervisedSettings, output: Path, machine_rank: int = 0) -> list[str]:
    """Return the command line that starts the processes of one host."""
    worker = ["-m", "eef_framework.training.worker", str(output)]
    if trainer.accelerate_config is None:
        processes = str(trainer.processes)
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes, *worker]
    launcher = [LAUNCH_MODULE, "--config_file", str(trainer.accelerate_config)]
    if machine_rank:
        launcher += ["--machine_rank", str(machine_rank)]
        worker.append("--other-host")
    return [sys.executable, "-m", *launcher, *worker]


def launch_environment() -> dict[str, str]:
    """Return the environment variables of a launcher: without those that another one left."""
    return {name: value for name, value in os.environ.items() if not LAUNCHER_VARIABLES.fullmatch(name)}


def _last_words(log: Path) -> list[str]:
    """Return the last lines that processes wrote before one failed, and the launcher's line with its exit code."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reports = [number for number, line in enumerate(lines) if LAUNCHER_REPORT.match(line)]
    own = lines[: reports[0]] if reports else lines
    return own[-LINES_SHOWN:] + [lines[number] for number in reports]


def _relay(stdout: IO[str], progress: ProgressCallback) -> dict[str, Any]:
    """Forward the progress of the main process, and return its other messages in one dictionary.

    Anything else was printed by a library.
    """
    messages: dict[str, Any] = {}
    for line in stdout:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        keys = set(message) if isinstance(message, dict) else set()
        if keys == {"step", "steps", "note"}:
            progress(message["step"], message["steps"], message["note"])
        elif keys in ({"result"}, {"error", "kind"}):
            messages |= message
    return messages
