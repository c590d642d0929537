"""One of several processes that train together. A launcher starts them (see `distributed`)."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from eef_framework.errors import EefError, NothingToTrain, TrainerFailure
from eef_framework.policies.loading import pick_device
from eef_framework.runs.file_names import REQUEST
from eef_framework.training.distributed import TrainingRequest
from eef_framework.training.sft import SftTrainer, train_in_process


def main(output: Path, other_host: bool = False) -> None:
    """Run a training request as one of several processes.

    Args:
        output: the output folder, with the request.
        other_host: whether another host requested the training, so that the main process isn't on this one.
    """
    from accelerate import PartialState

    threading.Thread(target=_exit_with_parent, daemon=True).start()
    request = TrainingRequest.model_validate_json((output / REQUEST).read_text(encoding="utf-8"))
    trainer = SftTrainer.model_validate(request.settings)
    is_main_process = PartialState(cpu=pick_device(trainer.device) == "cpu").is_main_process
    if other_host and is_main_process:
        raise TrainerFailure(
            "accelerate's launcher started a training of its own on this host, rather than its part of one",
            "In accelerate_config, set distributed_type to MULTI_GPU or FSDP, and num_machines.",
            code="host-alone",
        )

    def send(**message: Any) -> None:
        if is_main_process:
            print(json.dumps(message, default=str), flush=True)

    def progress(step: int, steps: int, note: str) -> None:
        send(step=step, steps=steps, note=note)

    try:
        result = train_in_process(trainer, request.examples, request.start, output, request.seed, progress)
        send(result=result.model_dump(mode="json"))
    except EefError as error:
        details = {"message": error.message, "fix": error.fix, "code": error.code, **error.details}
        send(error=details, kind=type(error).__name__)
        if not isinstance(error, NothingToTrain):  # the same in all processes
            raise


def _exit_with_parent() -> None:
    """Exit when stdin closes, which happens when the process that requested the training is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--other-host" in sys.argv)
    # Without finalising the interpreter, which aborts the process now and then ("terminate called without an active
    # exception", 1 of 80 trainings on a busy machine), for which the launcher ends the others. Probably by a thread of
    # Gloo that asks for the interpreter's lock (PyTorch pull request 179291).
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
