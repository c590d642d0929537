"""What a file of records holds, by its name."""

from __future__ import annotations

from pathlib import Path

from eef_framework.errors import ConfigError
from eef_framework.records import Attribution, Example, Record, Trajectory
from eef_framework.runs import FILES

RECORDS: dict[str, type[Record]] = {
    FILES.trajectories: Trajectory,
    FILES.simulations: Trajectory,
    FILES.attributions: Attribution,
    FILES.examples: Example,
}


def record_of(file: Path) -> type[Record]:
    """Return what the lines of a file are.

    Raises:
        ConfigError: its name says nothing about it.
    """
    for name, record in RECORDS.items():
        if file.name.startswith(Path(name).stem):
            return record
    raise ConfigError(
        f"{str(file)!r} isn't named like a file of records",
        f"Names begin like one of these: {', '.join(RECORDS)}.",
    )
