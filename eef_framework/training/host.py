"""Another host of trainings on several: it starts its share of the processes of each, as the first host does."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eef_framework.config.yaml_source import read_yaml
from eef_framework.errors import ConfigError
from eef_framework.runs.file_names import REQUEST
from eef_framework.training.distributed import TrainingRequest, launch_command, launch_environment
from eef_framework.training.sft import SftTrainer
from eef_framework.validation_messages import reason

Version = tuple[str, int, int]

POLL_S = 1.0
"""How often to look for requests, which are files on a disk that the hosts share."""
END_S = 30.0
"""How long processes may take to end after the training ended elsewhere."""


def join_trainings(folder: Path, machine_rank: int) -> None:
    """Take part in the trainings in a folder, such as a run, one after another.

    Never returns. A training that fails on this host fails on all; the next request is then waited for.

    Args:
        folder: the folder, which need not exist yet. It has the same path on all hosts, like the checkpoint to start
            from and the configuration of accelerate.
        machine_rank: number of this host, counted from 0; host 0 requests the trainings.

    Raises:
        ConfigError: a training isn't one on so many hosts (`not-this-host`), its request is that of another version
            (`other-version`), or its accelerate_config can't be read.
    """
    seen: set[Version] = set()
    while True:
        join_new_trainings(folder, machine_rank, seen)
        time.sleep(POLL_S)


def join_new_trainings(folder: Path, machine_rank: int, seen: set[Version]) -> None:
    """Take part in the trainings that are requested now, one after another.

    Args:
        folder: as for `join_trainings`.
        machine_rank: as for `join_trainings`.
        seen: requests to ignore; those that are found are added.

    Raises:
        ConfigError: as for `join_trainings`.
    """
    for path in _requests(folder):
        version = _version(path)
        if version is not None and version not in seen:
            seen.add(version)
            _take_part(path, version, machine_rank)


def _requests(folder: Path) -> list[Path]:
    """Return the files of requests in a folder. Other folders in it may be removed or renamed meanwhile."""
    return sorted(Path(parent) / REQUEST for parent, _, files in os.walk(folder) if REQUEST in files)


def _take_part(path: Path, version: Version, machine_rank: int) -> None:
    try:
        request = TrainingRequest.model_validate_json(path.read_text(encoding="utf-8"))
        trainer = SftTrainer.model_validate(request.settings)
    except FileNotFoundError:  # the training has just ended
        return
    except ValidationError as cause:
        raise ConfigError(
            f"the request of the training in {str(path.parent)!r} can't be read: {reason(cause)}",
            "Install the same version of eef-framework on all hosts.",
            code="other-version",
            path=str(path),
        ) from cause
    hosts = _hosts(trainer.accelerate_config)
    if not (isinstance(hosts, int) and 0 < machine_rank < hosts):
        raise ConfigError(
            f"the training in {str(path.parent)!r} is one on {hosts!r} hosts, and this can't be number {machine_rank}",
            "Number the hosts from 0, which is the one that runs `eef-run`. Set num_machines in accelerate_config.",
            code="not-this-host",
            hosts=hosts,
            machine_rank=machine_rank,
        )
    command = launch_command(trainer, path.parent, machine_rank)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=launch_environment()
    ) as launcher:
        try:
            end = float("inf")
            while launcher.poll() is None and time.monotonic() < end:
                current = _version(path)
                if current is not None and current != version:  # the training was interrupted, and starts again
                    break
                if current is None and end == float("inf"):  # it has ended on the first host
                    end = time.monotonic() + END_S
                time.sleep(POLL_S)
        finally:
            assert launcher.stdin is not None
            launcher.stdin.close()  # ends the processes that still run
            try:
                launcher.wait(END_S)
            except subprocess.TimeoutExpired:
                launcher.kill()


def _hosts(accelerate_config: Path | None) -> Any:
    """Return the number of hosts that a training's configuration asks for; what it has instead if that isn't one."""
    if accelerate_config is None:
        return 1
    if not accelerate_config.is_file():
        raise ConfigError(
            f"the training's accelerate_config {str(accelerate_config)!r} doesn't exist on this host",
            "It has the same path on all hosts. A relative path starts in the folder where the command runs.",
            code="no-such-file",
            path=str(accelerate_config),
        )
    return read_yaml(accelerate_config).data.get("num_machines", 1)


def _version(path: Path) -> Version | None:
    """Return what tells a request from a later one in the same file; None if there is none any more."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_mtime_ns
