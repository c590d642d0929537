"""A run directory: the record of one run, which is resumed by repeating the command."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import platform, python_version
from typing import Any

import yaml

from eef_framework.errors import ConfigError, CorruptFile, RunConflict, storage
from eef_framework.interfaces import TrackedRun
from eef_framework.paths import expand_text
from eef_framework.records import fingerprint
from eef_framework.runs.atomic import SUFFIX, write_json, write_text
from eef_framework.runs.layout import RunLayout
from eef_framework.runs.lock import locked
from eef_framework.runs.places import is_run

RUN_FORMAT = 1

# Settings that don't change existing results, so that a run may be resumed with different ones.
FREE_SETTINGS = ("limits.concurrency", "baselines", "executor", "trackers")


CONFIG = "config.yaml"
HEADER = "# Written by eef-framework: the resolved configuration of this run.\n"


class RunDirectory:
    """The folder of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = RunLayout(path)

    def prepare(self, config: Mapping[str, Any], plugins: Mapping[str, str]) -> None:
        """Create the record of a run with this configuration, or check that the folder is one.

        Args:
            config: the resolved configuration as plain data.
            plugins: versions of the distributions in use, by name.

        Raises:
            RunConflict: it is the record of a run with another configuration; the message names the keys that differ.
            StorageError: it can't be written to.
        """
        self.check(config)
        with storage(self.path, "making the run directory"):
            self.path.mkdir(parents=True, exist_ok=True)
        taken_up = self._is_there()
        self._write_config(config)  # also for a resumed run: free settings may have changed
        if taken_up:
            return
        write_json(
            self.layout.manifest,
            {
                "format": RUN_FORMAT,
                "id": secrets.token_hex(8),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "config_digest": _digest(config),
                "seed": config.get("seed"),
                "versions": _versions() | dict(plugins),
                "git": _git_state(),
            },
        )

    def check(self, config: Mapping[str, Any]) -> None:
        """Check that the folder is empty or the record of a run with this configuration. Nothing is written.

        Raises:
            RunConflict: it is the record of a run with another configuration; the message names the keys that differ.
            ConfigError: it contains something else.
        """
        if self._is_there():
            self._check(config)
            return
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

    def tracked_run(self) -> TrackedRun:
        """Return the run as trackers are told about it. It must have been prepared."""
        manifest = json.loads(self.layout.manifest.read_bytes())
        # Runs of earlier versions have no id.
        id = manifest.get("id") or fingerprint(f"{manifest.get('created')} {manifest['config_digest']}")
        folder = self.path.resolve()
        config = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        return TrackedRun(id=id, name=folder.name, group=folder.parent.name, folder=folder, config=config)

    def _is_there(self) -> bool:
        return is_run(self.path) or (self.layout.manifest.exists() and self.layout.config.exists())

    def _write_config(self, config: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_text(self.layout.config, HEADER + text)

    def _is_own(self, path: Path) -> bool:
        """Return whether a file is a leftover of an interrupted start, before the folder was a run."""
        if path.name.startswith(".") and path.name.endswith(SUFFIX):
            return True
        own = path == self.layout.config and path.is_file()
        return own and path.read_bytes().startswith(HEADER.encode())

    def _check(self, config: Mapping[str, Any]) -> None:
        manifest = self.layout.manifest
        try:
            known = json.loads(manifest.read_text(encoding="utf-8"))
            written = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        except (ValueError, OSError, yaml.YAMLError) as cause:
            raise CorruptFile(
                f"{self.path} holds a run whose {manifest.name} or {self.layout.config.name} doesn't read: {cause}",
                "Choose another folder with --out, or restore these two files.",
                code="corrupt-run",
                path=str(self.path),
            ) from cause
        if known.get("format", 0) > RUN_FORMAT:
            raise RunConflict(f"{self.path} was written by a newer eef-framework", "Upgrade eef-framework.")
        changes = list(differences(written, config))
        if changes:
            listed = "".join(f"\n    {change}" for change in changes[:12])
            raise RunConflict(
                f"{str(self.path)!r} is the record of a run with another configuration:{listed}",
                "Choose another folder with --out, undo these changes, or delete the folder to start afresh.",
                code="other-configuration",
                path=str(self.path),
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


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield a line for every setting in which two configurations differ: `key: old -> new`."""
    if path in FREE_SETTINGS:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif _plain(old) != _plain(new):
        yield f"{path}: {old!r} -> {new!r}"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return expand_text(value)  # earlier versions recorded paths as given
    return list(value) if isinstance(value, tuple) else value


def _digest(config: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=16).hexdigest()


def _versions() -> dict[str, str]:
    versions = {"python": python_version(), "platform": platform()}
    for name in ("eef-framework", "torch", "transformers", "accelerate", "tokenizers", "pydantic", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _git_state() -> dict[str, Any] | None:
    """Return commit and cleanliness of the git checkout that contains the current folder; None if there is none."""
    here = Path.cwd()
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, encoding="utf-8", errors="replace", timeout=10)
        status = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, encoding="utf-8", errors="replace", timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    if commit.returncode:
        return None
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}
