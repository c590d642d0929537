"""One of several processes that train together. `distributed` has a launcher start them."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from eef_framework.errors import EefError, NothingToTrain
from eef_framework.policies.loading import pick_device
from eef_framework.training.distributed import Request
from eef_framework.training.sft import SftTrainer, train_here


def main(output: Path) -> None:
    """Run a training request as one of several processes."""
    from accelerate import PartialState

    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    request = Request.model_validate_json((output / "request.json").read_text(encoding="utf-8"))
    trainer = SftTrainer.model_validate(request.settings)
    leads = PartialState(cpu=pick_device(trainer.device) == "cpu").is_main_process

    def say(**message: Any) -> None:
        if leads:
            print(json.dumps(message, default=str), flush=True)

    def progress(step: int, steps: int, note: str) -> None:
        say(step=step, steps=steps, note=note)

    try:
        result = train_here(trainer, request.examples, request.start, output, request.seed, progress)
        say(result=result.model_dump(mode="json"))
    except EefError as error:
        told = {"message": error.message, "fix": error.fix, "code": error.code, **error.details}
        say(error=told, kind=type(error).__name__)
        if not isinstance(error, NothingToTrain):  # the same in all processes
            raise


def _end_with_the_parent() -> None:
    """Exit when stdin closes, which happens when the process that requested the training is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
