"""Compressed chunks of trajectories, which the browser unpacks on demand."""

from __future__ import annotations

import base64
import gzip
import json
from math import isfinite
from typing import IO, Any

from eef_framework.records import Step, Trajectory
from eef_framework.rollout.episode_costs import cost_of_episode

CHUNK_ROWS = 200
CHUNK_CHARACTERS = 4_000_000
TEXT_LIMIT = 20_000
"""Maximum length of a text on the page, in characters. Longer texts are truncated."""


class Chunks:
    """Writes trajectories in chunks of at most 200. A text that repeats within a chunk is stored once.

    Args:
        file: chunks are written here, as script elements that browsers don't execute.

    Attributes:
        starts: number of the first trajectory of each chunk.
        cut: number of truncated texts.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._rows: list[dict[str, Any]] = []
        self._texts: dict[str, int] = {}
        self._characters = 0
        self._count = 0
        self.starts: list[int] = []
        self.cut = 0

    def add(self, trajectory: Trajectory, shared: int) -> None:
        """Add a trajectory.

        Args:
            trajectory: the next one.
            shared: number of first steps to leave out, as they equal those of its origin.
        """
        if not self._rows:
            self.starts.append(self._count)
        self._count += 1
        cost = cost_of_episode(trajectory)
        self._rows.append(
            {
                "actor": trajectory.actor,
                "tokens": cost.computed_tokens,
                "usd": cost.usd,
                "seed": str(trajectory.seed),  # 63 bits; numbers in JavaScript hold 53
                "ending": trajectory.ending,
                "error": trajectory.error,
                "origin": trajectory.origin.trajectory if trajectory.origin else "",
                "shared": shared,
                "initial": None if shared else self._text(trajectory.initial.text),
                "steps": [self._step(step) for step in trajectory.steps[shared:]],
            }
        )
        if len(self._rows) >= CHUNK_ROWS or self._characters >= CHUNK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write the current chunk, if it isn't empty."""
        if self._rows:
            self.write(f"chunk-{len(self.starts) - 1}", {"texts": list(self._texts), "rows": self._rows})
        self._rows, self._texts, self._characters = [], {}, 0

    def write(self, ident: str, data: Any) -> None:
        """Write data as a script element with an id."""
        packed = gzip.compress(json.dumps(data, separators=(",", ":")).encode(), compresslevel=6, mtime=0)
        self._file.write(f'<script type="text/plain" id="{ident}">{base64.b64encode(packed).decode()}</script>\n')

    def _step(self, step: Step) -> dict[str, Any]:
        row: dict[str, Any] = {"action": self._text(step.action), "seen": self._text(step.observation.text)}
        if step.reward and isfinite(step.reward):
            row["reward"] = step.reward
        if not step.valid:
            row["invalid"] = True
        if step.response is not None and step.response.thought:
            row["thought"] = self._text(step.response.thought)
        if step.response is not None and not step.parsed:
            row["said"] = self._text(step.response.text)
        return row

    def _text(self, text: str) -> int:
        """Return the index of a text within the chunk."""
        if len(text) > TEXT_LIMIT:
            self.cut += 1
            text = f"{text[:TEXT_LIMIT]}\n[truncated: the run's files have {len(text) - TEXT_LIMIT:,} more characters]"
        if text not in self._texts:
            self._texts[text] = len(self._texts)
            self._characters += len(text)
        return self._texts[text]
