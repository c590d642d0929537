"""`eef join`: another host of a run whose trainings use several hosts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer


def join(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, on a disk that all hosts share.")],
    machine_rank: Annotated[
        int, typer.Option("--machine-rank", min=1, help="Number of this host; the one with `eef-run` is 0.")
    ],
) -> None:
    """Take part in the trainings of a run, as another of its hosts. Runs until it is interrupted (Ctrl-C).

    The trainer's accelerate_config names the number of hosts, and the address of the first one.
    """
    from eef_framework.training.host import join_trainings

    typer.echo(f"waiting for trainings in {run}, as host {machine_rank}")
    with suppress(KeyboardInterrupt):
        join_trainings(run, machine_rank)
