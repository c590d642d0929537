"""Parts of accelerate that aren't public: its process-wide settings, its log, and what its launcher passes on."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

DEVICE_VARIABLE = "ACCELERATE_TORCH_DEVICE"
"""Environment variable with the device to compute on."""
LAUNCH_MODULE = "accelerate.commands.launch"
"""Module to run with `python -m` to start several processes."""
LAUNCHER_VARIABLES = re.compile(
    r"RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|ROLE_.*|MASTER_ADDR|MASTER_PORT"
    r"|(ACCELERATE|FSDP|TORCHELASTIC|PMI|OMPI_COMM_WORLD|MV2_COMM_WORLD)_.*"
)
"""Environment variables with which launchers configure the rank and the settings of processes."""


def reset_settings() -> None:
    """Forget the settings of earlier trainings, which accelerate otherwise keeps for the life of the process.

    Does nothing in a process that a launcher started.
    """
    from accelerate.state import AcceleratorState, PartialState

    if not PartialState().use_distributed:
        AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def no_warnings_of_tied_weights() -> Iterator[None]:
    """Silence accelerate's warning about tied weights when it saves a state: they are restored correctly."""
    logger = logging.getLogger("accelerate.utils.other")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
