"""Figures in a file of the run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import PrivateAttr

from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.runs import RunLayout
from eef_framework.runs.lines import read_lines

BEGIN = b'{"figure": "'
"""Beginning of each line."""


class FileTracker(Tracker):
    """Figures go to the file figures.jsonl of the run directory: a line with name, step and value for each."""

    name: ClassVar[str] = "files"

    _path: Path = PrivateAttr()
    _known: dict[tuple[str, int], float] = PrivateAttr(default_factory=dict)

    def start(self, run: TrackedRun) -> None:
        """Read the figures of earlier starts of the run, and remove a line that was cut off by a kill."""
        self._path = RunLayout(run.folder).figures
        self._known.clear()
        if not self._path.exists():
            return
        end = 0
        for line in read_lines(self._path):
            if not line.ended:
                if not (line.data.startswith(BEGIN) or BEGIN.startswith(line.data)):
                    raise ValueError(f"{self._path} isn't a file of figures: it contains {line.data[:40]!r}")
            else:
                row = json.loads(line.data)
                self._known[row["figure"], row["step"]] = row["value"]
                end = line.start + len(line.data)
        with self._path.open("r+b") as file:
            file.truncate(end)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Append a line for each figure. A figure that is there already, with this value, isn't repeated."""
        new = {name: value for name, value in figures.items() if self._known.get((name, step)) != value}
        rows = [{"figure": name, "step": step, "value": value} for name, value in new.items()]
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self._known |= {(name, step): value for name, value in new.items()}
