"""A run directory: the record of one run, which is resumed by repeating the command."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import platform, python_version
from typing import Any

from eef_framework.errors import ConfigError, CorruptFile, EefWarning, RunConflict, StorageError, storage
from eef_framework.interfaces import TrackedRun
from eef_framework.records import fingerprint
from eef_framework.runs.atomic import SUFFIX, write_json
from eef_framework.runs.layout import RunLayout
from eef_framework.runs.lock import locked
from eef_framework.runs.places import is_run
from eef_framework.runs.settings_files import (
    BASELINES_HEADER,
    Leeway,
    Recorded,
    differences,
    is_baselines_file,
    listed,
    read_settings_file,
    write_settings_file,
)

RUN_FORMAT = 1

HEADER = "# Written by eef-framework: the resolved configuration of this run.\n"


class RunDirectory:
    """The folder of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = RunLayout(path)

    def prepare(
        self,
        config: Mapping[str, Any],
        versions: Mapping[str, str],
        tasks: Mapping[str, str] | None = None,
        leeway: Leeway | None = None,
        baselines: Mapping[str, Recorded] | None = None,
    ) -> list[str]:
        """Create the record of a run with this configuration, or check that the folder is one.

        Args:
            config: the resolved configuration as plain data.
            versions: versions of the distributions in use, and digests of the user's own modules, by name.
            tasks: a digest of each list of tasks, by the setting that selects them.
            leeway: how the recorded configuration may differ from this one.
            baselines: the settings that define each baseline, by its method's name. Baselines may be added and removed.

        Returns:
            What a reader of the results has to know: whether the run was started with other code, and whether it has
            been resumed with other code since, also if that is undone.

        Warns:
            EefWarning: it was, with the code `other-code`.

        Raises:
            RunConflict: it is the record of a run with another configuration; the message names the keys that differ
                (`other-configuration`), or with another one of a baseline that has begun (`other-baseline`); or the
                environment's tasks have changed (`other-tasks`); or the place of its record of baselines is taken by
                another file (`foreign-file`).
            StorageError: it can't be written to.
        """
        notes = self.check(config, versions, tasks, leeway, baselines)
        with storage(self.path, "making the run directory"):
            self.path.mkdir(parents=True, exist_ok=True)
        taken_up = self._is_there()
        write_settings_file(self.layout.config, config, HEADER)  # also if resumed: free settings may have changed
        if not taken_up:
            write_json(
                self.layout.manifest,
                {
                    "format": RUN_FORMAT,
                    "id": secrets.token_hex(8),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "config_digest": _digest(config),
                    "seed": config.get("seed"),
                    "tasks": dict(tasks or {}),
                    "versions": _versions() | dict(versions),
                    "git": _git_state(),
                },
            )
        else:
            self._record_other_code(_versions() | dict(versions))
        if baselines:
            recorded = self._recorded_baselines()
            now = {name: dict(each.settings) for name, each in baselines.items()}
            write_settings_file(self.layout.baselines, recorded | now, BASELINES_HEADER)
        return notes

    def check(
        self,
        config: Mapping[str, Any],
        versions: Mapping[str, str],
        tasks: Mapping[str, str] | None = None,
        leeway: Leeway | None = None,
        baselines: Mapping[str, Recorded] | None = None,
    ) -> list[str]:
        """Check that the folder is empty or the record of a run with this configuration. Nothing is written.

        Args:
            config: the resolved configuration as plain data.
            versions: see `prepare`.
            tasks: see `prepare`.
            leeway: see `prepare`.
            baselines: see `prepare`.

        Returns:
            As `prepare`.

        Warns:
            EefWarning: as `prepare`.

        Raises:
            RunConflict: as for `prepare`.
            ConfigError: it contains something else.
        """
        if self._is_there():
            known = self._check(config, tasks or {}, leeway or Leeway())
            self._check_baselines(baselines or {})
            return self._other_code(known, _versions() | dict(versions))
        with storage(self.path, "looking into"):
            entries = sorted(self.path.iterdir()) if self.path.exists() else []
        strangers = [each.name for each in entries if each.name != self.layout.lock.name and not self._is_own(each)]
        if strangers:
            raise ConfigError(
                f"{str(self.path)!r} isn't a run directory, and not empty: it holds {', '.join(strangers[:5])}",
                "Choose another folder with --out.",
                code="not-a-run",
                path=str(self.path),
                found=strangers,
            )
        return []

    def tracked_run(self) -> TrackedRun:
        """Return the description of the run for trackers. It must have been prepared."""
        manifest = json.loads(self.layout.manifest.read_bytes())
        # Runs of earlier versions have no id.
        id = manifest.get("id") or fingerprint(f"{manifest.get('created')} {manifest['config_digest']}")
        folder = self.path.resolve()
        config = read_settings_file(self.layout.config)
        return TrackedRun(id=id, name=folder.name, group=folder.parent.name, folder=folder, config=config)

    def _is_there(self) -> bool:
        return is_run(self.path) or (self.layout.manifest.exists() and self.layout.config.exists())

    def _is_own(self, path: Path) -> bool:
        """Return whether a file is a leftover of an interrupted start, before the folder was a run."""
        if path.name.startswith(".") and path.name.endswith(SUFFIX):
            return True
        own = path == self.layout.config and path.is_file()
        return own and path.read_bytes().startswith(HEADER.encode())

    def _other_code(self, known: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
        """Return notes on other code than that of the start, earlier and now; warn of that of now."""
        changed = _changed_code(known, now)
        earlier = {
            name: others
            for name, versions in sorted(known.get("other_code", {}).items())
            if (others := [each for each in versions if each != changed.get(name, ("", ""))[1]])
        }
        notes = []
        if earlier:
            first = known["versions"]
            each = [_code_change(name, first[name], ", ".join(others), "then") for name, others in earlier.items()]
            notes.append(
                f"the run in {str(self.path)!r} was resumed with other code than it was started with "
                f"({'; '.join(each)}), and that code was replaced since. Parts of the run may have been done with it"
            )
        if changed:
            each = [_code_change(name, old, new, "is") for name, (old, new) in changed.items()]
            note = EefWarning(
                f"the run in {str(self.path)!r} was started with other code ({'; '.join(each)}). What it has done is "
                "kept, and only the rest is done with the code of now. To start again, choose another --out",
                code="other-code",
                path=str(self.path),
                changed=changed,
            )
            warnings.warn(note, stacklevel=3)
            notes.append(str(note))
        return notes

    def _record_other_code(self, now: Mapping[str, str]) -> None:
        """Add the code of now to the run's record, if it was started with other code: results have to say so."""
        known = json.loads(self.layout.manifest.read_bytes())
        recorded = known.get("other_code", {})
        added = {
            name: [*recorded.get(name, []), new]
            for name, (_, new) in _changed_code(known, now).items()
            if new not in recorded.get(name, [])
        }
        if added:
            write_json(self.layout.manifest, known | {"other_code": recorded | added})

    def _check(
        self,
        config: Mapping[str, Any],
        tasks: Mapping[str, str],
        leeway: Leeway,
    ) -> Mapping[str, Any]:
        """Check the record, and return its manifest."""
        manifest = self.layout.manifest
        try:
            known = json.loads(manifest.read_text(encoding="utf-8"))
            if not isinstance(known, dict):
                raise ValueError(f"{manifest.name} isn't a JSON object")
            written = read_settings_file(self.layout.config)
        except (ValueError, OSError, StorageError) as cause:
            raise CorruptFile(
                f"{manifest.name} or {self.layout.config.name} of the run in {self.path} can't be read: {cause}",
                "Choose another folder with --out, or restore these two files.",
                code="corrupt-run",
                path=str(self.path),
            ) from cause
        if known.get("format", 0) > RUN_FORMAT:
            raise RunConflict(
                f"{self.path} was written by a newer eef-framework",
                "Upgrade eef-framework.",
                code="newer-format",
                path=str(self.path),
            )
        changes = list(differences(written, config, _with_more_iterations(leeway, written, config)))
        if changes:
            raise RunConflict(
                f"{str(self.path)!r} contains a run with another configuration:{listed(changes)}",
                f"Undo these changes, or name the folder to go on with its own settings: eef-run {self.path}. To start "
                "again, choose another folder with --out, or delete this one.",
                code="other-configuration",
                path=str(self.path),
                changes=changes,
            )
        before = known.get("tasks", {})  # absent in runs of earlier versions
        others = [name for name, digest in tasks.items() if before.get(name, digest) != digest]
        if others:
            raise RunConflict(
                f"{str(self.path)!r} was started with other tasks: those of {', '.join(others)} have changed since, in "
                "number, order or meaning (fingerprint)",
                "Set the environment up as it was when the run was started, or choose another folder with --out.",
                code="other-tasks",
                path=str(self.path),
                lists=others,
            )
        return known

    def _recorded_baselines(self) -> dict[str, Any]:
        """Return the recorded settings of baselines; of runs of earlier versions there are none."""
        path = self.layout.baselines
        if not path.exists():
            return {}
        if not is_baselines_file(path):
            raise RunConflict(
                f"{path} isn't a file that the run wrote, and would be replaced by its record of baselines",
                "Move it, or give it another name.",
                code="foreign-file",
                path=str(path),
            )
        return read_settings_file(path)

    def _check_baselines(self, baselines: Mapping[str, Recorded]) -> None:
        """Check that baselines that have begun are recorded with these settings, if they are recorded."""
        if not baselines:
            return
        recorded, begun = self._recorded_baselines(), self.layout.methods()
        for name, (settings, leeway) in baselines.items():
            written = recorded.get(name)
            if written is None or name not in begun:
                continue
            changes = list(differences(written, settings, _with_more_iterations(leeway, written, settings)))
            if changes:
                folder = self.layout.method(name)
                raise RunConflict(
                    f"{str(self.path)!r} contains the baseline {name!r} with other settings:{listed(changes)}",
                    f"Undo these changes, give the changed baseline another name (`method`), or delete {str(folder)!r} "
                    "to start it again.",
                    code="other-baseline",
                    path=str(self.path),
                    method=name,
                    changes=changes,
                )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock this run against writes by other processes.

        Raises:
            RunConflict: another process writes to it (`in-use`).
        """
        with locked(self.layout.lock, self.path):
            yield


def _with_more_iterations(leeway: Leeway, written: Mapping[str, Any], config: Mapping[str, Any]) -> Leeway:
    """Allow iterations to be added: those that are done stay as they are."""
    before, now = written.get("iterations"), config.get("iterations")
    more = isinstance(before, int) and isinstance(now, int) and now > before
    return replace(leeway, free={*leeway.free, "iterations"}) if more else leeway


def _changed_code(known: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the versions at a run's start and now of the code in which they differ, by name."""
    before = known.get("versions") or {}  # absent in runs of earlier versions
    names = sorted(before.keys() & now.keys() - {"platform"})
    return {name: (before[name], now[name]) for name in names if before[name] != now[name]}


def _code_change(name: str, old: str, new: str, word: str) -> str:
    # Digests of the user's own modules say nothing to a reader.
    return f"{name} has changed" if new.startswith("source ") else f"{name} was {old}, {word} {new}"


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=16).hexdigest()


def installed_versions(*names: str) -> dict[str, str]:
    """Return the versions of distributions, by name."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _versions() -> dict[str, str]:
    libraries = ("torch", "transformers", "accelerate", "tokenizers", "pydantic", "numpy")
    own = {"python": python_version(), "platform": platform()}
    return own | installed_versions("eef-framework", *libraries)


def _git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the git checkout that contains the current folder; None if there is none."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False
        )

    try:
        commit, status = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    if commit.returncode:
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}
