"""A stage of a run: a folder that is complete if and only if its manifest exists."""

from __future__ import annotations

import hashlib
import json
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from pydantic import Field, ValidationError

from eef_framework.errors import CorruptFile, EefError, EefWarning, storage
from eef_framework.records import Cost
from eef_framework.records.base import Info, VersionedRecord
from eef_framework.runs.atomic import write_json, write_text
from eef_framework.runs.file_names import CHECKPOINT, ELAPSED, FILES, REOPENED, STAGE_MANIFEST, STALE
from eef_framework.runs.lines import read_lines
from eef_framework.runs.places import run_of

LEAVES = ("evaluate",)
"""Name parts of stages with rows that no other stage reads."""
INDEPENDENT = ("evaluate/expert",)
"""Stages that don't read rows of other stages."""


class StageManifest(VersionedRecord):
    """Manifest of a complete stage. Written last."""

    stage: str
    cost: Cost
    """Cost of the stage. The time is that of all processes that worked on it."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Number of rows of each file of records."""
    info: Info = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    """Digest of each file of records, excluding times: equal digests mean equal rows."""
    finished: float = 0.0
    """Time when a stage with these rows was completed, in seconds since 1970; 0 in runs of earlier versions."""


class Stage:
    """One folder of a run directory.

    Args:
        path: the folder; created when something is written to it.
        name: path within the run, such as `methods/eef/1/explore`.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._started = self._noted = time.monotonic()
        self._seconds_before = 0.0

    @property
    def manifest(self) -> StageManifest | None:
        """The stage's manifest; None while it isn't complete."""
        return _read(self.path / STAGE_MANIFEST)

    @property
    def reopened(self) -> bool:
        """Whether the stage was complete, and has to be completed again."""
        return (self.path / REOPENED).exists() and not self.done

    @property
    def done(self) -> bool:
        """Whether the stage is complete."""
        return self.manifest is not None

    def begin(self) -> None:
        """Start the clock, after the time of earlier processes. Until then it runs from the creation of this object."""
        self._started = self._noted = time.monotonic()
        self._seconds_before = self._worked_before()

    @property
    def seconds(self) -> float:
        """How long this process and earlier ones have worked on the stage."""
        return round(self._seconds_before + time.monotonic() - self._started, 3)

    def note_time(self, every_s: float = 0.0) -> None:
        """Note the time, for a process that completes the stage after this one has ended.

        Args:
            every_s: do nothing unless so many seconds have passed since the last note.
        """
        if time.monotonic() - self._noted >= every_s and self.path.is_dir():
            self._noted = time.monotonic()
            with suppress(OSError, EefError):  # not worth stopping for, nor hiding the error that ended the phase
                write_json(self.path / ELAPSED, {"seconds": self.seconds})

    def _worked_before(self) -> float:
        try:
            return max(0.0, float(json.loads((self.path / ELAPSED).read_bytes())["seconds"]))
        except (OSError, ValueError, TypeError, LookupError):  # none, or damaged: only a time
            before = _read(self.path / REOPENED)
            return before.cost.seconds if before else 0.0

    def check_rows(self) -> None:
        """Check that a complete stage still has the rows that it had when it was completed.

        Raises:
            CorruptFile: there are fewer, with the code `rows-missing`.
        """
        for path, found, expected in self.rows_missing():
            raise CorruptFile(
                f"{path} has {found} rows, and had {expected} when stage {self.name!r} was completed",
                f"Restore it, or run `eef repair {path}`: repeating the run then redoes what is missing.",
                code="rows-missing",
                path=str(path),
                rows=found,
                expected=expected,
            )

    def rows_missing(self) -> Iterator[tuple[Path, int, int]]:
        """Yield the files of a complete stage that have fewer rows than at its completion: path, rows, rows then."""
        manifest = self.manifest
        for filename, expected in manifest.rows.items() if manifest else ():
            path = self.path / filename
            found = sum(1 for line in read_lines(path) if line.data.strip()) if path.exists() else 0
            if found < expected:
                yield path, found, expected

    def finish(self, cost: Cost, rows: dict[str, int], info: Info | None = None) -> None:
        """Mark the stage as complete.

        If it was complete before and has different rows now, results of later stages made from the earlier rows are set
        aside, and these stages are reopened.
        """
        manifest = StageManifest(
            stage=self.name,
            cost=cost.model_copy(update={"seconds": self.seconds}),
            rows=rows,
            info=info or {},
            digests={name: _digest(self.path / name) for name in rows},
            finished=time.time(),
        )
        before = _read(self.path / REOPENED)
        stale: list[str] = []
        if before is not None and before.digests and before.digests == manifest.digests:
            # With equal rows, it was completed when they first were: what is made of them stays newer than they are.
            manifest = manifest.changed(finished=self._finished(before))
        elif before is not None:
            stale = self._set_dependents_aside(before)
        write_text(self.path / STAGE_MANIFEST, manifest.model_dump_json(indent=2) + "\n")
        (self.path / REOPENED).unlink(missing_ok=True)
        (self.path / ELAPSED).unlink(missing_ok=True)
        if stale:
            warnings.warn(
                EefWarning(
                    f"stage {self.name!r} has other rows than before its repair, so stages that used them are repeated "
                    f"({', '.join(stale[:5])}{', ...' if len(stale) > 5 else ''}). "
                    f"Their former results are kept in folders {STALE!r}.",
                    code="stages-reopened",
                    stage=self.name,
                    stages=stale,
                ),
                stacklevel=2,
            )

    def _set_dependents_aside(self, before: StageManifest) -> list[str]:
        """Set aside results of other stages made from this one's earlier rows; return their names."""
        run = run_of(self.path)
        if run is None or _is_leaf(self.name):
            return []
        since = self._finished(before)
        stale = [folder for folder in _stages_of(run) if not folder.samefile(self.path) and _made_after(folder, since)]
        names = [name for folder in stale if (name := folder.relative_to(run).as_posix()) not in INDEPENDENT]
        for name in names:
            _set_aside(run / name)
        return names

    def _finished(self, before: StageManifest) -> float:
        """Return when the reopened stage was completed before."""
        return before.finished or (self.path / REOPENED).stat().st_mtime


def reopen(file: Path, rows: int, failed: int = 0) -> str:
    """Reopen the stage that a file belongs to, if it was complete and some of its rows have to be made again.

    Args:
        file: the file.
        rows: number of its rows now; the stage is reopened if it had another number.
        failed: how many of them are of work that failed; the stage is reopened if any is.

    Returns:
        The stage's name; empty if it wasn't reopened.
    """
    folder = file.parent
    manifest = _read(folder / STAGE_MANIFEST)
    if manifest is None or (manifest.rows.get(file.name, -1) == rows and not failed):
        return ""
    with storage(folder, "opening the stage in"):
        (folder / STAGE_MANIFEST).rename(folder / REOPENED)
    return manifest.stage


def _read(path: Path) -> StageManifest | None:
    if not path.exists():
        return None
    try:
        with storage(path, "reading"):
            return StageManifest.model_validate_json(path.read_bytes())
    except ValidationError as cause:
        raise CorruptFile(
            f"{path} is not the manifest of a stage: {cause.errors()[0]['msg']}",
            "Delete that file and repeat the command: the existing rows of the stage are reused.",
            code="corrupt-manifest",
            path=str(path),
        ) from cause


def _digest(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    for line in read_lines(path) if path.exists() else ():
        found.update(re.sub(rb'"seconds":[-+.\deE]+|"date":"[^"]*"', b"", line.data))
    return found.hexdigest()


def _is_leaf(name: str) -> bool:
    return any(part in LEAVES for part in name.split("/"))


def _stages_of(run: Path) -> Iterator[Path]:
    """Yield the stage folders of a run, complete or started."""
    names = (STAGE_MANIFEST, REOPENED, CHECKPOINT, *astuple(FILES))
    for folder in sorted(path for path in run.rglob("*") if path.is_dir()):
        hidden = any(part.startswith(".") for part in folder.relative_to(run).parts)
        if not hidden and any((folder / name).exists() for name in names):
            yield folder


def _made_after(folder: Path, since: float) -> bool:
    """Return whether a stage was completed after a time, or not at all."""
    manifest = folder / STAGE_MANIFEST
    found = _read(manifest)
    return found is None or (found.finished or manifest.stat().st_mtime) >= since


def _set_aside(folder: Path) -> None:
    """Move a stage's files into a separate folder, the manifest first, so that none of it counts any more."""
    number = 0
    while (aside := folder / f"{STALE}-{number}").exists():
        number += 1
    with storage(folder, "setting aside"):
        entries = [
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and not (entry.is_dir() and (entry / STAGE_MANIFEST).exists())
        ]
        aside.mkdir()
        for entry in sorted(entries, key=lambda entry: entry.name != STAGE_MANIFEST):
            entry.rename(aside / entry.name)
